"""A slot takes the first job in order that it may run (I4), no job goes twice, no slot takes two (I5)."""

import asyncio
from typing import Any

import pytest

from comfygate.domain.blame import Blame
from comfygate.domain.errors import Conflict
from comfygate.domain.job import Fence, JobState, Lost, Succeeded
from comfygate.store import attempts, jobs
from comfygate.store.attempts import Slot
from comfygate.store.engine import Store
from comfygate.store.rows import ClaimedAttempt
from comfygate.store.settle import Settled
from tests.store.world import NOW, Waiter, World, fresh, takes


def test_nothing_queued_nothing_claimed(world: World) -> None:
    before = world.dump()
    assert world.claim("image") is None
    assert world.claim("video") is None
    assert world.dump() == before


def test_order_is_priority_then_ticket(world: World) -> None:
    regular, gold = world.account(tier="regular"), world.account(tier="black_gold")
    vip = world.account(tier="vip")
    order = [regular, vip, gold, regular, gold, vip]
    queued = [world.submit(account_id).id for account_id in order]
    taken = [world.claimed(number=number).fence.job_id for number in range(6)]
    # black_gold first though submitted later; vip and regular in one line, by ticket
    assert taken == [queued[index] for index in (2, 4, 0, 1, 3, 5)]


def test_a_claim_is_written_before_anything_is_sent(world: World) -> None:
    account_id = world.account()
    asset, _ = world.upload(account_id)
    job = world.submit(account_id, inputs=takes(asset.id), graph="{}")
    attempt = world.claimed(server="gpu", number=3, owner="me")
    assert attempt.fence == Fence(job.id, 1)
    assert (attempt.account_id, attempt.lane, attempt.state) == (account_id, "image", JobState.CLAIMED)
    assert (attempt.server, attempt.slot, attempt.graph, attempt.adopted) == ("gpu", 3, "{}", False)
    assert attempt.inputs == takes(asset.id)
    (row,) = world.run(attempts.list_attempts, job.id)
    assert (row.number, row.prompt_id, row.server, row.ended_at_ms) == (1, attempt.prompt_id, "gpu", None)
    assert world.run(attempts.open_slots, "gpu") == {3}
    assert world.run(attempts.open_slots, "other") == set()
    assert world.told(job.id) == ["job.queued", "job.claimed"]


def test_a_slot_of_several_lanes_takes_the_best_of_all(world: World) -> None:
    regular, gold = world.account(), world.account(tier="black_gold")
    first_image = world.submit(regular, lane="image").id
    first_video = world.submit(regular, lane="video").id
    gold_video = world.submit(gold, lane="video").id
    second_image = world.submit(regular, lane="image").id
    lanes = ("image", "video")
    taken = [world.claimed(*lanes, number=number).fence.job_id for number in range(4)]
    assert taken == [gold_video, first_image, first_video, second_image]


def test_lanes_it_may_not_run_stay_untouched(world: World) -> None:
    account_id = world.account(tier="black_gold")
    video = world.submit(account_id, lane="video")
    image = world.submit(account_id, lane="image")
    assert world.claimed("image").fence.job_id == image.id
    assert world.claim("image", "audio", number=1) is None
    assert world.job(video.id) == video
    assert world.run(jobs.lane_depths) == {"video": 1}


def test_a_slot_without_lanes_takes_nothing(world: World) -> None:
    world.submit(world.account())
    claim = world.run(attempts.claim, Slot("gpu", 0, ()), owner="me", prompt_id="p", lease_ms=1, now_ms=NOW)
    assert claim is None


def test_a_slot_in_use_is_refused_by_the_database(world: World) -> None:
    account_id = world.account()
    world.submit(account_id)
    second = world.submit(account_id)
    world.claimed(number=1)
    before = world.dump()
    with pytest.raises(Conflict, match="slot 1 of server gpu is taken"):
        world.claim(number=1)
    assert world.dump() == before
    assert world.claimed(number=2).fence.job_id == second.id


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.QUEUED])
def test_only_queued_jobs_are_claimed(world: World, state: JobState) -> None:
    account_id = world.account()
    job = world.submit(account_id, price=0)
    ended = state in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED}
    path = {
        JobState.RUNNING: ["claimed"], JobState.CANCELING: ["claimed"],
        JobState.SUCCEEDED: ["claimed"], JobState.FAILED: ["claimed"],
    }  # fmt: skip
    for step in path.get(state, []):
        world.sql("UPDATE jobs SET state = :state WHERE id = :id", state=step, id=job.id)
    world.sql(
        "UPDATE jobs SET state = :state, completed_at_ms = :at, error = '{}' WHERE id = :id",
        state=str(state),
        at=NOW if ended else None,
        id=job.id,
    )
    assert world.claim() is None


def test_a_lost_job_is_claimed_again_before_those_that_came_after_it(world: World) -> None:
    account_id = world.account()
    first, second = (world.submit(account_id) for _ in range(2))
    attempt = world.claimed()
    assert world.settle(attempt.fence, Lost("restarted")).name == "DONE"
    again = world.claimed()
    assert again.fence == Fence(first.id, 2)
    assert world.job(first.id).ticket == first.ticket
    assert world.claimed(number=1).fence.job_id == second.id
    assert [row.number for row in world.run(attempts.list_attempts, first.id)] == [1, 2]


async def claims(store: Store, slots: list[Slot]) -> list[ClaimedAttempt | BaseException | None]:
    running = [
        store.run(attempts.claim, slot, owner="me", prompt_id=fresh("prompt"), lease_ms=60_000, now_ms=NOW)
        for slot in slots
    ]
    return await asyncio.gather(*running, return_exceptions=True)


async def test_slots_that_claim_at_once_never_share_a_job(world: World, store: Store) -> None:
    account_id = world.account(credits=1000)
    queued = {world.submit(account_id).id for _ in range(20)}
    taken: list[str] = []
    for _ in range(20):  # a slot that met a locked head may come away empty, and asks again
        free = [Slot("gpu", number, ("image",)) for number in range(64)]
        open_now = world.run(attempts.open_slots, "gpu")
        answers = await claims(store, [slot for slot in free if slot.number not in open_now][:24])
        assert all(answer is None or isinstance(answer, ClaimedAttempt) for answer in answers), answers
        taken += [answer.fence.job_id for answer in answers if isinstance(answer, ClaimedAttempt)]
        if len(taken) == len(queued):
            break
    assert sorted(taken) == sorted(queued)
    assert world.claim(server="other") is None


async def test_claims_for_one_slot_at_once_open_one_attempt(world: World, store: Store) -> None:
    account_id = world.account(credits=1000)
    for _ in range(16):
        world.submit(account_id)
    answers = await claims(store, [Slot("gpu", 0, ("image",))] * 16)
    won = [answer for answer in answers if isinstance(answer, ClaimedAttempt)]
    assert len(won) == 1
    assert all(answer is None or isinstance(answer, ClaimedAttempt | Conflict) for answer in answers)
    assert world.run(jobs.lane_depths) == {"image": 15}
    assert world.sql("SELECT count(*) FROM attempts")[0][0] == 1


@pytest.mark.postgresql
class TestBesideAnotherClaim:
    """What one claim does while another's transaction is still open, on PostgreSQL."""

    def claim(self, conn: Any, *lanes: str, number: int = 0) -> ClaimedAttempt | None:
        slot = Slot("gpu", number, lanes)
        return attempts.claim(conn, slot, owner="me", prompt_id=fresh("prompt"), lease_ms=60_000, now_ms=NOW)

    def test_it_takes_the_next_job_without_waiting(self, pg_world: World) -> None:
        account_id = pg_world.account()
        first, second = pg_world.submit(account_id).id, pg_world.submit(account_id).id
        with pg_world.open() as one, pg_world.open() as two:
            ours, theirs = self.claim(one, "image"), self.claim(two, "image", number=1)
            assert ours is not None
            assert theirs is not None
            assert (ours.fence.job_id, theirs.fence.job_id) == (first, second)

    def test_it_takes_another_lanes_job_rather_than_none(self, pg_world: World) -> None:
        account_id = pg_world.account()
        pg_world.submit(account_id, lane="image")
        video = pg_world.submit(account_id, lane="video").id
        with pg_world.open() as one, pg_world.open() as two:
            assert self.claim(one, "image") is not None
            theirs = self.claim(two, "image", "video", number=1)
            assert theirs is not None
            assert theirs.fence.job_id == video

    def test_it_skips_a_job_that_is_being_canceled(self, pg_world: World) -> None:
        account_id = pg_world.account()
        first, second = pg_world.submit(account_id).id, pg_world.submit(account_id).id
        with pg_world.open() as one, pg_world.open() as two:
            jobs.cancel(one, first, account_id, NOW)
            theirs = self.claim(two, "image")
            assert theirs is not None
            assert theirs.fence.job_id == second

    def test_a_cancel_waits_for_the_claim_and_marks_the_job(self, pg_world: World) -> None:
        account_id = pg_world.account()
        job_id = pg_world.submit(account_id).id
        with pg_world.open() as one:
            assert self.claim(one, "image") is not None
            canceling = Waiter(pg_world, lambda conn: jobs.cancel(conn, job_id, account_id, NOW))
            canceling.until_blocked()
            one.commit()
        assert canceling.done().state is JobState.CANCELING


def test_a_slot_is_given_on_once_its_prompt_has_left_the_server(world: World) -> None:
    account_id = world.account()
    first, second, third = (world.submit(account_id).id for _ in range(3))
    one = world.claimed()
    with pytest.raises(Conflict):
        world.claim()
    two = world.claimed(left=[one.fence])
    assert (one.fence.job_id, two.fence.job_id) == (first, second)
    # Both are open, each to be settled by its own fence; the slot is the second one's.
    assert world.run(attempts.open_slots, "gpu") == {0}
    with pytest.raises(Conflict):
        world.claim(left=[one.fence])
    assert world.settle(one.fence, Lost("gone", Blame.SERVER_LOST)) is Settled.DONE
    assert world.run(attempts.open_slots, "gpu") == {0}
    assert world.settle(two.fence, Succeeded()) is Settled.DONE
    # The first one came back under its own ticket, before the third.
    assert world.claimed().fence.job_id == first
    assert world.job(third).state is JobState.QUEUED


def test_a_claim_that_finds_nothing_writes_nothing_of_those_that_left(world: World) -> None:
    account_id = world.account()
    world.submit(account_id)
    one = world.claimed()
    before = world.dump()
    assert world.claim(left=[one.fence]) is None
    assert world.dump() == before


def test_who_takes_over_knows_which_prompts_have_left(world: World) -> None:
    account_id = world.account()
    first, second = world.submit(account_id).id, world.submit(account_id).id
    one = world.claimed(lease_ms=-1)
    world.claimed(left=[one.fence], lease_ms=-1)
    adopted = world.run(attempts.take_over, "gpu", owner="other", lease_ms=60_000, now_ms=NOW, at_once=True)
    assert {(found.fence.job_id, found.slot, found.left) for found in adopted} == {
        (first, 0, True),
        (second, 0, False),
    }
