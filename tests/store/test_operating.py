"""What operators do to lanes and servers holds in the very next claim."""

from __future__ import annotations

import pytest

from comfygate.domain.errors import Conflict, NotFound
from comfygate.domain.health import Health, ServerState
from comfygate.store import accounts, attempts, lanes, leases, server_health, servers
from comfygate.store.attempts import Slot
from tests.store.world import NOW, Waiter, World, fresh

LEASE = "server:gpu"


def _server(world: World, name: str = "gpu") -> None:
    world.run(accounts.add_server, name, "http://127.0.0.1:1", 2, ("image",), NOW)


def test_a_paused_lane_gives_nothing_until_it_is_resumed(world: World) -> None:
    world.submit(world.account())
    assert world.run(lanes.pause, "image", NOW).paused_at_ms == NOW
    assert world.run(lanes.pause, "image", NOW + 9).paused_at_ms == NOW
    assert world.claim("image") is None
    assert world.run(lanes.resume, "image").paused_at_ms is None
    assert world.run(lanes.resume, "never heard of").paused_at_ms is None
    assert world.claim("image") is not None
    assert set(world.run(lanes.list_lanes)) == {"image"}


def test_a_drained_server_gets_nothing_and_its_jobs_go_on(world: World) -> None:
    _server(world)
    account = world.account()
    world.submit(account)
    world.submit(account)
    running = world.claimed("image")
    drained = world.run(servers.drain, "gpu", LEASE, NOW)
    assert drained.drained_at_ms == NOW
    # The row is still "the same server" for the loop that serves it.
    assert drained == world.run(servers.get_server, "gpu")
    assert world.run(servers.drain, "gpu", LEASE, NOW + 5).drained_at_ms == NOW
    assert world.claim("image", number=1) is None
    world.succeed(running.fence)
    assert world.run(servers.undrain, "gpu", NOW).drained_at_ms is None
    assert world.claim("image", number=1) is not None


def test_resuming_ends_a_quarantine(world: World) -> None:
    _server(world)
    sick = Health(ServerState.QUARANTINED, "bad", trips=3, quarantined_until_at_ms=NOW + 10_000)
    world.run(server_health.keep_health, "gpu", sick, "1", NOW)
    world.run(servers.undrain, "gpu", NOW)
    kept = world.run(server_health.health_of, "gpu")
    assert kept is not None
    assert (kept.quarantined_until_at_ms, kept.trips) == (NOW, 0)


def test_a_server_is_removed_only_when_nothing_of_ours_is_on_it(world: World) -> None:
    _server(world)
    world.run(server_health.keep_health, "gpu", Health(), "1", NOW)
    world.submit(world.account())
    attempt = world.claimed("image")
    with pytest.raises(Conflict, match="drain it first"):
        world.run(servers.remove, "gpu", LEASE, NOW)
    assert world.run(servers.open_attempts) == {"gpu": 1}
    assert world.run(servers.get_server, "gpu").name == "gpu"
    world.succeed(attempt.fence)
    world.run(servers.remove, "gpu", LEASE, NOW)
    assert world.run(server_health.health_of, "gpu") is None
    for gone in (servers.remove, servers.drain):
        with pytest.raises(NotFound):
            world.run(gone, "gpu", LEASE, NOW)
    with pytest.raises(NotFound):
        world.run(servers.undrain, "gpu", NOW)


def _claim(world: World) -> object:
    slot = Slot("gpu", 0, ("image",))
    return world.run(
        attempts.claim, slot, owner="me", prompt_id=fresh("p"), lease_ms=60_000, now_ms=NOW, under_lease=LEASE
    )


@pytest.mark.parametrize("owned", [True, False])
def test_no_replica_claims_for_a_removed_server_that_it_still_knows(world: World, *, owned: bool) -> None:
    _server(world)
    world.submit(world.account())
    if owned:
        assert world.run(leases.take, LEASE, "me", 60_000, NOW)
    world.run(servers.remove, "gpu", LEASE, NOW)
    assert not world.run(leases.take, LEASE, "me", 60_000, NOW)
    with pytest.raises(Conflict):
        _claim(world)
    _server(world)
    world.run(servers.take_back, LEASE)
    assert world.run(leases.take, LEASE, "me", 60_000, NOW)
    assert _claim(world) is not None


def test_a_removal_waits_for_the_claim_under_way_and_then_is_refused(pg_world: World) -> None:
    _server(pg_world)
    pg_world.submit(pg_world.account())
    pg_world.run(leases.take, LEASE, "me", 60_000, NOW)
    with pg_world.engine.connect() as conn, conn.begin():
        slot = Slot("gpu", 0, ("image",))
        attempt = attempts.claim(
            conn, slot, owner="me", prompt_id="p", lease_ms=60_000, now_ms=NOW, under_lease=LEASE
        )
        assert attempt is not None
        removal = Waiter(pg_world, lambda c: servers.remove(c, "gpu", LEASE, NOW))
        drain = Waiter(pg_world, lambda c: servers.drain(c, "gpu", LEASE, NOW))
        removal.until_blocked()
        drain.until_blocked()
    with pytest.raises(Conflict):
        removal.done()
    assert drain.done().drained_at_ms == NOW


def test_work_waits_in_a_lane_that_has_jobs_and_is_not_paused(world: World) -> None:
    assert not world.run(lanes.work_waits, ["image", "video"])
    job = world.submit(world.account(), lane="video")
    assert world.run(lanes.work_waits, ["image", "video"])
    assert not world.run(lanes.work_waits, ["image"])
    world.run(lanes.pause, "video", NOW)
    assert not world.run(lanes.work_waits, ["video"])
    world.run(lanes.resume, "video")
    assert world.claimed("video").fence.job_id == job.id
    assert not world.run(lanes.work_waits, ["video"])


def test_open_prompts_are_told_by_server(world: World) -> None:
    account = world.account()
    for _ in range(3):
        world.submit(account)
    one, two = world.claimed(number=0), world.claimed(number=1)
    other = world.claimed(server="other")
    assert {name: set(prompts) for name, prompts in world.run(servers.open_prompts).items()} == {
        "gpu": {one.prompt_id, two.prompt_id},
        "other": {other.prompt_id},
    }
    world.succeed(two.fence)
    assert world.run(servers.open_prompts)["gpu"] == [one.prompt_id]
