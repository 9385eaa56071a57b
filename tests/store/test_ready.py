"""The next job is made ready without being taken: it waits like any other, and is claimed once sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from comfygate.domain.errors import Conflict
from comfygate.domain.job import Fence, JobState, Succeeded
from comfygate.store import attempts, jobs, lanes, leases, ready, servers
from comfygate.store.accounts import add_server
from comfygate.store.attempts import Slot
from comfygate.store.fit import Taste
from comfygate.store.ready import Late, Ready
from comfygate.store.rows import ClaimedAttempt
from tests.store.world import NOW, TIERS, World, fresh, takes

LEASE = "server:gpu"
SLOT = Slot("gpu", 0, ("image", "video"))
BOTH = frozenset({"image", "video"})


@pytest.fixture(autouse=True)
def owned(world: World) -> None:
    """The server is there, and ours."""
    world.run(add_server, "gpu", "http://gpu", 1, ("image", "video"), NOW)
    assert world.run(leases.take, LEASE, "me", 60_000, NOW)


def make(world: World, sole: frozenset[str] = BOTH, **taste: Any) -> Ready | None:
    return world.run(
        ready.make_ready,
        SLOT,
        sole,
        owner="me",
        prompt_id=fresh("prompt"),
        now_ms=NOW,
        under_lease=LEASE,
        taste=Taste(**taste),
    )


def made(world: World, **taste: Any) -> ClaimedAttempt:
    found = make(world, **taste)
    assert found is not None
    return found.attempt


def claim(world: World, attempt: ClaimedAttempt, owner: str = "me", left: tuple[Fence, ...] = ()) -> bool:
    return late(world, attempt, owner, left) is Late.CLAIMED


def late(world: World, attempt: ClaimedAttempt, owner: str = "me", left: tuple[Fence, ...] = ()) -> Late:
    return world.run(
        ready.claim_ready,
        attempt,
        owner=owner,
        lease_ms=60_000,
        now_ms=NOW,
        under_lease=LEASE,
        left=left,
    )


def is_first(world: World, job_id: str) -> bool:
    return world.run(ready.is_first, SLOT, job_id, NOW, Taste(), owner="me", under_lease=LEASE)


def rows(world: World) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in world.sql("SELECT server, job_id, number, prompt_id FROM ready")]


def test_what_is_ready_waits_like_any_other(world: World) -> None:
    account_id = world.account()
    asset, _ = world.upload(account_id)
    job = world.submit(account_id, inputs=takes(asset.id), graph="{}")
    found = make(world)
    assert found is not None
    attempt = found.attempt
    assert attempt.ready
    assert (attempt.fence, attempt.slot, attempt.graph) == (Fence(job.id, 1), 0, "{}")
    assert attempt.inputs == takes(asset.id)
    assert found.place == job.place
    assert rows(world) == [("gpu", job.id, 1, attempt.prompt_id)]
    assert world.job(job.id) == job, "nothing of the job has changed"
    assert world.told(job.id) == ["job.queued"]
    assert world.run(attempts.list_attempts, job.id) == []
    with world.open() as conn:
        assert jobs.position(conn, job, 10) == 1


def test_it_is_claimed_once_it_was_sent(world: World) -> None:
    job = world.submit(world.account())
    attempt = made(world)
    assert claim(world, attempt)
    assert world.state(job.id) is JobState.CLAIMED
    assert rows(world) == []
    (row,) = world.run(attempts.list_attempts, job.id)
    assert (row.number, row.prompt_id, row.server, row.slot) == (1, attempt.prompt_id, "gpu", 0)
    assert world.told(job.id) == ["job.queued", "job.claimed"]
    before = world.dump()
    assert claim(world, attempt), "a commit whose answer was lost is repeated"
    assert world.dump() == before
    world.succeed(attempt.fence)
    assert late(world, attempt) is Late.GONE, "its attempt is over"
    world.assert_books_balance()


def test_the_one_before_gives_its_slot_up_in_the_same_transaction(world: World) -> None:
    account_id = world.account()
    for _ in range(2):
        world.submit(account_id)
    first = world.claimed()
    attempt = made(world)
    with pytest.raises(Conflict):
        claim(world, attempt)
    assert rows(world) == [("gpu", attempt.fence.job_id, 1, attempt.prompt_id)], "nothing was written"
    assert world.state(attempt.fence.job_id) is JobState.QUEUED
    assert claim(world, attempt, left=(first.fence,))
    assert world.settle(first.fence, Succeeded()).value == "done"


def test_a_better_job_displaces_it_for_nothing(world: World) -> None:
    regular, gold = world.account(), world.account(tier="black_gold")
    job = world.submit(regular)
    before = made(world)
    assert is_first(world, job.id)
    better = world.submit(gold)
    assert better.place.before(job.place)
    assert not is_first(world, job.id)
    after = made(world)
    assert after.fence.job_id == better.id
    assert rows(world) == [("gpu", better.id, 1, after.prompt_id)]
    assert claim(world, after)
    assert world.state(job.id) is JobState.QUEUED
    assert world.run(attempts.list_attempts, job.id) == []
    assert before.prompt_id != after.prompt_id


def canceled(world: World, job_id: str) -> None:
    world.run(jobs.cancel, job_id, None, NOW)


def expired(world: World, job_id: str) -> None:
    assert world.run(jobs.expire_queued, world.job(job_id).expires_at_ms, 10) == 1


def taken_by_another(world: World, job_id: str) -> None:
    assert world.claimed(server="other", owner="another").fence.job_id == job_id


def drained(world: World, _job_id: str) -> None:
    world.run(servers.drain, "gpu", LEASE, NOW)


def given_to_another(world: World, _job_id: str) -> None:
    world.run(leases.release, LEASE, "me")
    assert world.run(leases.take, LEASE, "another", 60_000, NOW)


@pytest.mark.parametrize("happens", [canceled, expired, taken_by_another, drained, given_to_another])
def test_what_is_no_longer_to_be_had_is_not_claimed(world: World, happens: Any) -> None:
    job = world.submit(world.account())
    attempt = made(world)
    happens(world, job.id)
    before = world.dump()
    came = Late.NOT_OURS if happens is given_to_another else Late.GONE
    assert late(world, attempt) is came
    # The row stays: its prompt may be on the server, and whoever finds the row looks for it there.
    assert world.dump() == before
    world.assert_books_balance()


@pytest.mark.parametrize("happens", [canceled, expired, drained, given_to_another])
def test_what_may_not_begin_is_not_first(world: World, happens: Any) -> None:
    job = world.submit(world.account())
    assert made(world).fence.job_id == job.id
    happens(world, job.id)
    assert not is_first(world, job.id)
    if happens is not given_to_another:
        assert make(world) is None


def test_of_a_paused_lane_nothing_is_ready(world: World) -> None:
    job = world.submit(world.account())
    made(world)
    world.run(lanes.pause, "image", NOW)
    assert not is_first(world, job.id)
    assert make(world) is None


def test_what_another_server_may_begin_sooner_is_not_made_ready(world: World) -> None:
    world.submit(world.account(), lane="image")
    assert make(world, frozenset({"video"})) is None
    assert make(world, frozenset({"image"})) is not None
    # The best of all lanes decides: it is not passed over for one that could be made ready.
    world.submit(world.account(tier="black_gold"), lane="video")
    assert make(world, frozenset({"image"})) is None


def test_where_more_than_the_order_decides_nothing_is_ready(world: World) -> None:
    account_id = world.account()
    world.submit(account_id, models="sdxl")
    assert make(world, limits={"image": 3}) is None, "the oldest may have to go before"
    assert make(world, warm="flux", window=8) is None, "one with warm models may go before"
    assert make(world, warm="sdxl", window=8) is not None
    assert make(world, warm="flux", window=0) is not None
    one_at_a_time = {name: replace(tier, jobs_running_max=1) for name, tier in TIERS.items()}
    world.submit(world.account(tier="black_gold"), tiers=one_at_a_time)
    assert make(world) is None, "its account may have one on a server when the slot is free"


def test_what_the_server_cannot_run_is_passed_over_and_known(world: World) -> None:
    account_id = world.account()
    world.submit(account_id, workflow="odd", graph="odd")
    fits = world.submit(account_id, workflow="plain", graph="plain")
    attempt = made(world, judge=lambda graph: "node class X" if graph == "odd" else "")
    assert attempt.fence.job_id == fits.id
    assert world.sql("SELECT workflow FROM misfits")[0][0] == "odd"
    assert is_first(world, fits.id)


def test_only_the_owner_of_the_server_makes_ready(world: World) -> None:
    world.submit(world.account())
    given_to_another(world, "")
    with pytest.raises(Conflict, match="another replica"):
        make(world)
    assert rows(world) == []


def test_a_later_process_finds_what_may_have_been_sent(world: World) -> None:
    assert world.run(ready.found_ready, "gpu") is None
    account_id = world.account()
    job = world.submit(account_id)
    lost = world.claimed(server="gpu")
    world.settle(lost.fence, Succeeded())
    second = world.submit(account_id)
    attempt = made(world)
    found = world.run(ready.found_ready, "gpu")
    assert found is not None
    assert (found.fence, found.prompt_id) == (Fence(second.id, 1), attempt.prompt_id)
    assert found.adopted
    assert found.ready
    assert claim(world, found)
    assert world.state(job.id) is JobState.SUCCEEDED


def test_what_was_not_sent_is_forgotten_by_its_prompt(world: World) -> None:
    world.submit(world.account())
    attempt = made(world)
    world.run(ready.forget_ready, "gpu", "another prompt")
    assert len(rows(world)) == 1
    world.run(ready.forget_ready, "gpu", attempt.prompt_id)
    assert rows(world) == []
