"""A lane without a server that could take its jobs: noticed, ended when one comes, refunded when none
does."""

import pytest

from comfygate.domain.health import Health, ServerState
from comfygate.domain.job import JobState
from comfygate.store import accounts, unable
from comfygate.store.server_health import keep_health
from tests.store.world import NOW, World

HOUR_MS = 3_600_000


def noted(world: World, now_ms: int = NOW) -> frozenset[str]:
    return world.run(unable.note_unable_lanes, ["image", "video"], now_ms)


def server(world: World, state: ServerState | None, name: str = "gpu", *lanes: str) -> None:
    world.run(accounts.add_server, name, "http://127.0.0.1:1", 1, lanes or ("image",), NOW)
    if state is not None:
        world.run(keep_health, name, Health(state, quarantined_until_at_ms=None), "1", NOW)


@pytest.mark.parametrize("state", [None, ServerState.UP, ServerState.SUSPECT])
def test_a_lane_with_a_server_that_may_take_jobs_is_able(world: World, state: ServerState | None) -> None:
    server(world, state)
    assert noted(world) == {"video"}


@pytest.mark.parametrize("state", [ServerState.DOWN, ServerState.QUARANTINED])
def test_a_lane_whose_servers_take_none_is_not(world: World, state: ServerState) -> None:
    server(world, state)
    assert noted(world) == {"image", "video"}
    server(world, ServerState.UP, "other")
    assert noted(world) == {"video"}


def test_a_drained_server_takes_none(world: World) -> None:
    server(world, ServerState.UP)
    world.sql("UPDATE servers SET drained_at_ms = 1")
    assert noted(world) == {"image", "video"}


def test_only_what_waited_long_enough_in_a_lane_unable_for_long_enough_expires(world: World) -> None:
    account_id = world.account(credits=9)
    old = world.submit(account_id, queue_deadline_at_ms=NOW + 100 * HOUR_MS)
    noted(world)
    late = world.submit(account_id, now_ms=NOW + HOUR_MS // 2, queue_deadline_at_ms=NOW + 100 * HOUR_MS)

    def expired(now_ms: int) -> int:
        noted(world, now_ms)
        return world.run(unable.expire_unable, HOUR_MS, now_ms, 10)

    assert expired(NOW + HOUR_MS - 1) == 0
    assert expired(NOW + HOUR_MS) == 1
    assert (world.state(old.id), world.state(late.id)) == (JobState.EXPIRED, JobState.QUEUED)
    assert world.job(old.id).cause == "no server could take it"
    assert world.told(old.id)[-1] == "job.expired"
    assert world.balance(account_id).available == 6
    world.assert_books_balance()
    server(world, ServerState.UP)
    assert expired(NOW + 2 * HOUR_MS) == 0, "a server came: the clock begins anew"
    world.sql("DELETE FROM servers")
    assert expired(NOW + 2 * HOUR_MS + 1) == 0
    assert expired(NOW + 3 * HOUR_MS + 1) == 1
