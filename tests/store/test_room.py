"""Room in a lane is known without counting it, and its limit holds all the same."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import event

from comfygate.domain.errors import QueueFull
from comfygate.store import jobs
from comfygate.store.admission import JOBS_COUNTED_A_MS, Depths
from comfygate.store.engine import POOL_SIZE, Store
from comfygate.store.rows import JobRow
from tests.store.test_plans import ROWS, crowd, plan
from tests.store.world import KEY_SECONDS, NOW, TIERS, World, new_job


def submit(world: World, account_id: str, depths: Depths, **changed: Any) -> JobRow:
    return world.run(jobs.submit, new_job(account_id, **changed), TIERS, KEY_SECONDS, depths)


def seen(world: World, account_id: str, depths: Depths, **changed: Any) -> list[tuple[str, object]]:
    """Submit, undo it, and give what was sent to the database."""
    found: list[tuple[str, object]] = []
    with world.open() as conn:
        event.listen(conn, "before_cursor_execute", lambda *given: found.append((given[2], given[3])))
        jobs.submit(conn, new_job(account_id, **changed), TIERS, KEY_SECONDS, depths)
    return found


def test_the_limit_is_exact_for_one_submitter_whatever_was_known(world: World) -> None:
    account_id, depths = world.account(), Depths()
    queued = [submit(world, account_id, depths, depth_max=5) for _ in range(5)]
    for _ in range(3):
        with pytest.raises(QueueFull) as refused:
            submit(world, account_id, depths, depth_max=5)
        assert refused.value.details == {"limit": "depth_max", "value": 5}
    world.run(jobs.cancel, queued[2].id, account_id, NOW)
    submit(world, account_id, depths, depth_max=5)
    with pytest.raises(QueueFull):
        submit(world, account_id, depths, depth_max=5)


def test_tickets_of_other_lanes_and_of_gone_jobs_take_no_room(world: World) -> None:
    account_id, depths = world.account(credits=1000), Depths()
    submit(world, account_id, depths, depth_max=3)
    for _ in range(6):
        submit(world, account_id, depths, lane="video", depth_max=100)
        gone = submit(world, account_id, depths, depth_max=3)
        world.run(jobs.cancel, gone.id, account_id, NOW)
    submit(world, account_id, depths, depth_max=3)


def test_jobs_that_another_process_queued_are_known(world: World) -> None:
    account_id, ours, theirs = world.account(), Depths(), Depths()
    submit(world, account_id, ours, depth_max=4)
    for _ in range(3):
        submit(world, account_id, theirs, depth_max=4)
    with pytest.raises(QueueFull):
        submit(world, account_id, ours, depth_max=4)


def test_a_full_lane_is_counted_again_after_its_time_and_not_before(world: World) -> None:
    most = 2 * JOBS_COUNTED_A_MS
    account_id, depths = world.account(), Depths(known={"image": (most, 0)}, full_at_ms={"image": NOW})
    for at_ms in (NOW, NOW + 1):
        with pytest.raises(QueueFull):
            submit(world, account_id, depths, depth_max=most, now_ms=at_ms)
    submit(world, account_id, depths, depth_max=most, now_ms=NOW + 2)
    # A clock that was set back does not shut the lane.
    depths = Depths(known={"image": (most, 0)}, full_at_ms={"image": NOW})
    submit(world, account_id, depths, depth_max=most, now_ms=NOW - 3_600_000)


async def test_many_at_once_overshoot_by_no_more_than_the_writers_there_are(
    world: World, store: Store
) -> None:
    owners, depths, most = [world.account() for _ in range(40)], Depths(), 20
    sent = [
        store.run(jobs.submit, new_job(owner, depth_max=most), TIERS, KEY_SECONDS, depths) for owner in owners
    ]
    results = await asyncio.gather(*sent, return_exceptions=True)
    accepted = sum(isinstance(result, JobRow) for result in results)
    assert sum(isinstance(result, QueueFull) for result in results) == 40 - accepted
    assert most <= accepted <= most + (POOL_SIZE - 1 if world.dialect == "postgresql" else 0)
    assert world.run(jobs.lane_depths) == {"image": accepted}


async def test_the_accounts_limit_is_exact_however_many_submit_at_once(world: World, store: Store) -> None:
    account_id, depths = world.account(tier="small"), Depths()
    sent = [store.run(jobs.submit, new_job(account_id), TIERS, KEY_SECONDS, depths) for _ in range(24)]
    results = await asyncio.gather(*sent, return_exceptions=True)
    assert sum(isinstance(result, JobRow) for result in results) == TIERS["small"].jobs_queued_max


def test_a_submission_reads_no_more_of_a_long_lane_than_of_an_empty_one(world: World) -> None:
    account_id, depths = world.account(), Depths()
    alone = [statement for statement, _ in seen(world, account_id, depths)]
    crowd(world)
    if world.dialect == "postgresql":
        world.sql("SELECT setval(pg_get_serial_sequence('jobs', 'ticket'), :newest)", newest=ROWS)
    depths = Depths()
    first = seen(world, account_id, depths)
    assert [statement for statement, _ in first] == alone
    later = [statement for statement, _ in seen(world, account_id, depths)]
    assert len(later) == len(alone) - 1, "the lane's oldest is looked up once"
    with world.open() as conn:
        for statement, values in first:
            if not statement.startswith("SELECT") or "FROM jobs" not in statement:
                continue
            shown = plan(conn, statement, values)
            assert "SCAN jobs" not in shown.replace("SCAN jobs USING", ""), shown
            assert "Seq Scan on jobs" not in shown, shown
            if world.dialect == "postgresql":
                rows = conn.exec_driver_sql(f"EXPLAIN (ANALYZE) {statement}", values)  # type: ignore[arg-type]
                read = "\n".join(row[0] for row in rows)
                assert f"rows={ROWS // 2}" not in read.replace("cost", ""), read


def test_many_places_at_once_are_those_asked_one_by_one(world: World) -> None:
    vip, regular = world.account(tier="black_gold"), world.account()
    made = [world.submit(owner, lane=lane) for owner in (regular, vip) * 4 for lane in ("image", "video")]
    world.run(jobs.cancel, made[0].id, regular, NOW)
    made = [world.job(job.id) for job in made]
    for cap in (1, 3, 100):
        together = world.run(jobs.positions, made, cap)
        assert together == {job.id: world.run(jobs.position, job, cap) for job in made}
        assert set(together.values()) - {None} <= set(range(1, cap + 2))
