"""Every transition is written down in its own transaction, in order a job, and kept until it was told."""

import pytest

from comfygate.domain.job import Failed, JobError, Lost
from comfygate.store import attempts, jobs, outbox
from tests.store.world import NOW, TIERS, World, new_job


def test_one_row_a_transition_in_order(world: World) -> None:
    account_id = world.account()
    job = world.submit(account_id)
    for outcome in (Lost("restarted"), Failed(JobError("x", "y"))):
        fence = world.claimed().fence
        world.run(attempts.mark_started, fence, NOW)
        world.settle(fence, outcome)
    assert world.told(job.id) == [
        "job.queued", "job.claimed", "job.running",
        "job.queued", "job.claimed", "job.running", "job.failed",
    ]  # fmt: skip


def test_a_cancel_in_flight_is_told_twice_asked_and_done(world: World) -> None:
    account_id = world.account()
    fence = world.running(account_id).fence
    world.run(jobs.cancel, fence.job_id, account_id, NOW)
    world.settle(fence, Lost("restarted"))
    assert world.told(fence.job_id)[-2:] == ["job.canceling", "job.canceled"]


def test_rows_wait_in_order_until_they_were_delivered(world: World) -> None:
    account_id = world.account()
    made = [world.submit(account_id, lane=lane) for lane in ("image", "video", "image")]
    rows = world.run(outbox.waiting, 10)
    assert [(row.job_id, row.account_id, row.lane) for row in rows] == [
        (job.id, account_id, job.lane) for job in made
    ]
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    assert world.run(outbox.waiting, 2) == rows[:2]
    world.run(outbox.mark_delivered, [rows[1].id], NOW + 1)
    assert world.run(outbox.waiting, 10) == [rows[0], rows[2]]
    world.run(outbox.mark_delivered, [], NOW + 1)
    assert world.run(outbox.waiting, 10) == [rows[0], rows[2]]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 21])
def test_any_number_of_rows_is_marked_delivered_and_no_other(world: World, count: int) -> None:
    account_id = world.account()
    for _ in range(count + 1):
        world.submit(account_id)
    rows = world.run(outbox.waiting, 100)
    world.run(outbox.mark_delivered, [row.id for row in rows[1:]], NOW + 1)
    assert world.run(outbox.waiting, 100) == rows[:1]


def test_only_delivered_rows_are_pruned(world: World) -> None:
    account_id = world.account()
    for _ in range(3):
        world.submit(account_id)
    rows = world.run(outbox.waiting, 10)
    world.run(outbox.mark_delivered, [rows[0].id], NOW)
    world.run(outbox.mark_delivered, [rows[1].id], NOW + 1)
    assert world.run(outbox.prune, NOW + 1) == 1
    assert [row.id for row in world.sql("SELECT id FROM outbox ORDER BY id")] == [rows[1].id, rows[2].id]
    assert world.run(outbox.waiting, 10) == [rows[2]]


def test_numbers_are_never_used_again(world: World) -> None:
    account_id = world.account()
    world.submit(account_id)
    (row,) = world.run(outbox.waiting, 10)
    world.run(outbox.mark_delivered, [row.id], NOW)
    world.run(outbox.prune, NOW + 1)
    world.submit(account_id)
    assert world.run(outbox.waiting, 10)[0].id > row.id


@pytest.mark.postgresql
def test_a_row_that_becomes_visible_late_is_still_told(pg_world: World) -> None:
    """On PostgreSQL a lower number may be committed after a higher one was delivered."""
    slow, quick = pg_world.account(), pg_world.account()
    with pg_world.open() as one:
        first = jobs.submit(one, new_job(slow), TIERS, 60)
        second = pg_world.submit(quick)
        (seen,) = pg_world.run(outbox.waiting, 10)
        assert seen.job_id == second.id
        pg_world.run(outbox.mark_delivered, [seen.id], NOW)
        one.commit()
    (late,) = pg_world.run(outbox.waiting, 10)
    assert late.job_id == first.id
    assert late.id < seen.id
