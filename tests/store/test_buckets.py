"""Every end is counted once: whoever tells it, whoever counts it, and wherever a process dies between."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from comfygate.domain.buckets import DAY_MS, KEPT_MS, Grain, Measure, Sample, added_up
from comfygate.domain.credits import EntryKind
from comfygate.domain.job import Canceled, Succeeded
from comfygate.gate import counting
from comfygate.gate.relay import _hand_on
from comfygate.store import buckets, jobs, ledger, outbox
from tests.store.world import NOW, World

ENDS = {"job.succeeded", "job.failed", "job.canceled", "job.expired"}


def tell(world: World) -> None:
    """Tell what waits, as the relay does."""
    rows = world.run(outbox.waiting, 10_000)
    ended = {row.id: row.job_id for row in rows if row.kind in ENDS}
    world.run(_hand_on, [row.id for row in rows], sorted({row.job_id for row in rows}), ended, NOW + 6)


def count(world: World) -> int:
    """Count one batch, as the loop does."""
    listed, sums = world.run(counting.sums_of_list, NOW + 10)
    return len(listed) if world.run(buckets.count, listed, sums) else 0


def found(world: World, measure: Measure, grain: Grain = Grain.DAY) -> dict[tuple[str, str], tuple[int, int]]:
    cells = world.run(buckets.cells, grain, measure, 0, NOW + 2 * DAY_MS)
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for cell in cells:
        times, total = sums.get((cell.series, cell.part), (0, 0))
        sums[cell.series, cell.part] = (times + cell.times, total + cell.total)
    return sums


def run_one(world: World, account_id: str, lane: str = "image", server: str = "gpu") -> None:
    world.submit(account_id, lane=lane)
    attempt = world.claimed(lane, server=server)
    world.succeed(attempt.fence)


def test_a_job_is_counted_with_all_that_became_of_it(world: World) -> None:
    account_id = world.account()
    run_one(world, account_id)
    tell(world)
    assert count(world) == 2, "the job, and the entry of the opening credits"
    assert found(world, Measure.ENDED) == {("image", "succeeded"): (1, 5)}
    assert found(world, Measure.WAIT) == {("image", "regular"): (1, 0)}
    assert found(world, Measure.BLAME) == {("image", "succeeded"): (1, 0)}
    assert found(world, Measure.BUSY) == {("gpu", ""): (0, 5)}
    assert found(world, Measure.CREDITS) == {("in", "grant"): (1, 100), ("out", "capture"): (1, 3)}
    for grain in Grain:
        assert found(world, Measure.ENDED, grain) == {("image", "succeeded"): (1, 5)}
    assert count(world) == 0


def test_a_refund_goes_back_and_what_is_taken_back_goes_out(world: World) -> None:
    account_id = world.account()
    world.submit(account_id)
    attempt = world.claimed()
    world.run(jobs.cancel, attempt.fence.job_id, account_id, NOW + 2)
    world.settle(attempt.fence, Canceled())
    world.run(ledger.take, EntryKind.WITHDRAW, account_id, 4, "paid back", NOW + 3, "charge 1")
    tell(world)
    count(world)
    assert found(world, Measure.CREDITS) == {
        ("in", "grant"): (1, 100),
        ("back", "release"): (1, 3),
        ("out", "withdraw"): (1, 4),
    }


def test_what_is_told_twice_is_counted_once(world: World) -> None:
    run_one(world, world.account())
    rows = world.run(outbox.waiting, 100)
    tell(world)
    count(world)
    # Another replica read the rows before they were marked, and hands them on too.
    ended = {row.id: row.job_id for row in rows if row.kind in ENDS}
    world.run(_hand_on, [row.id for row in rows], [], ended, NOW + 7)
    assert count(world) == 0
    assert found(world, Measure.ENDED) == {("image", "succeeded"): (1, 5)}


def test_two_that_count_the_same_count_it_once(world: World) -> None:
    run_one(world, world.account())
    tell(world)
    one = world.run(counting.sums_of_list, NOW + 10)
    other = world.run(counting.sums_of_list, NOW + 10)
    assert world.run(buckets.count, *one) is True
    assert world.run(buckets.count, *other) is False
    assert found(world, Measure.ENDED) == {("image", "succeeded"): (1, 5)}


def test_a_batch_that_shares_a_job_with_one_that_was_counted_does_nothing(world: World) -> None:
    account_id = world.account()
    run_one(world, account_id)
    tell(world)
    first = world.run(counting.sums_of_list, NOW + 10)
    run_one(world, account_id)
    tell(world)
    both = world.run(counting.sums_of_list, NOW + 10)
    assert world.run(buckets.count, *first) is True
    assert world.run(buckets.count, *both) is False
    assert count(world) == 1
    assert found(world, Measure.ENDED) == {("image", "succeeded"): (2, 10)}


def test_a_crash_before_the_commit_counts_nothing_and_loses_nothing(world: World) -> None:
    run_one(world, world.account())
    tell(world)
    with world.open() as conn:
        assert buckets.count(conn, *counting.sums_of_list(conn, NOW + 10)) is True
    assert found(world, Measure.ENDED) == {}
    assert count(world) == 2
    assert found(world, Measure.ENDED) == {("image", "succeeded"): (1, 5)}


def test_what_is_not_told_yet_is_not_counted(world: World) -> None:
    run_one(world, world.account())
    assert found(world, Measure.ENDED) == {}
    assert all(what == buckets.ENTRY for what, _ in world.run(buckets.waiting_to_be_counted, 10))


def test_a_million_samples_are_added_to_what_is_there(world: World) -> None:
    def add(conn: Connection, times: int) -> None:
        buckets.to_be_counted(conn, buckets.JOB, [f"job {times}"])
        sums = added_up([Sample(Measure.ENDED, NOW, "image", "failed", times=times)], NOW)
        assert buckets.count(conn, [(buckets.JOB, f"job {times}")], sums)

    world.run(add, 1)
    world.run(add, 1_000_000)
    assert found(world, Measure.ENDED) == {("image", "failed"): (1_000_001, 0)}


@pytest.mark.parametrize("grain", list(Grain))
def test_buckets_go_when_their_time_is_over(world: World, grain: Grain) -> None:
    run_one(world, world.account())
    tell(world)
    count(world)
    kept_ms = KEPT_MS[grain]
    world.run(buckets.forget_buckets, NOW + (kept_ms or 1000 * DAY_MS) - DAY_MS)
    assert found(world, Measure.ENDED, grain)
    world.run(buckets.forget_buckets, NOW + (kept_ms or 1000 * DAY_MS) + DAY_MS)
    assert bool(found(world, Measure.ENDED, grain)) is (kept_ms is None)


def test_a_settled_job_knows_how_far_off_its_estimate_was(world: World) -> None:
    account_id = world.account()
    job = world.submit(account_id)
    world.sql(
        "INSERT INTO etas (job_id, lane, priority, at_ms, p50_ms, p90_ms, model_p50_ms, model_p90_ms)"
        " VALUES (:id, 'image', 100, :now, 4, 5, 4, 5)",
        id=job.id,
        now=NOW,
    )
    world.settle(world.claimed().fence, Succeeded())
    tell(world)
    count(world)
    assert found(world, Measure.ETA) == {("image", "met"): (1, 1)}
