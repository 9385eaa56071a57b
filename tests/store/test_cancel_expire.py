"""A job that no server had ends by its user's wish or by its deadline; either way it is refunded once."""

import pytest

from comfygate.domain.credits import Balance, HoldState
from comfygate.domain.errors import NotFound
from comfygate.domain.job import JobState, Lost
from comfygate.store import jobs
from tests.store.world import NOW, Waiter, World

DEADLINE = NOW + 3_600_000


def test_a_queued_job_is_canceled_at_once_with_its_refund(world: World) -> None:
    account_id = world.account(credits=10)
    job = world.submit(account_id)
    canceled = world.run(jobs.cancel, job.id, account_id, NOW + 1)
    assert (canceled.state, canceled.hold, canceled.completed_at_ms) == (
        JobState.CANCELED,
        HoldState.RELEASED,
        NOW + 1,
    )
    assert world.balance(account_id) == Balance(10, 0)
    assert world.entries(account_id) == [("grant", 10), ("hold", 3), ("release", 3)]
    assert world.told(job.id) == ["job.queued", "job.canceled"]
    assert world.claim() is None


def test_a_free_job_is_canceled_without_an_entry(world: World) -> None:
    account_id = world.account(credits=10)
    job = world.submit(account_id, price=0)
    assert world.run(jobs.cancel, job.id, account_id, NOW).hold is HoldState.NONE
    assert world.entries(account_id) == [("grant", 10)]


@pytest.mark.parametrize("started", [False, True])
def test_a_job_in_flight_is_marked_and_keeps_its_hold(world: World, started: bool) -> None:
    account_id = world.account(credits=10)
    if started:
        job_id = world.running(account_id).fence.job_id
    else:
        job_id = world.submit(account_id).id
        world.claimed()
    assert world.run(jobs.cancel, job_id, account_id, NOW).state is JobState.CANCELING
    assert world.balance(account_id) == Balance(available=7, held=3)
    before = world.dump()
    assert world.run(jobs.cancel, job_id, account_id, NOW + 9).state is JobState.CANCELING
    assert world.dump() == before, "asking again must not tell again"


def test_what_has_ended_stays_as_it_is(world: World) -> None:
    account_id = world.account()
    canceled = world.submit(account_id).id
    world.run(jobs.cancel, canceled, account_id, NOW)
    expired = world.submit(account_id).id
    world.run(jobs.expire_queued, DEADLINE, 10)
    done = world.running(account_id).fence
    world.succeed(done)
    before = world.dump()
    for job_id, state in ((canceled, "canceled"), (expired, "expired"), (done.job_id, "succeeded")):
        assert world.run(jobs.cancel, job_id, account_id, NOW + 9).state == state
    assert world.dump() == before


def test_anothers_job_and_no_job_look_the_same(world: World) -> None:
    job = world.submit(world.account())
    stranger = world.account()
    before = world.dump()
    for job_id in (job.id, "no-such-job"):
        with pytest.raises(NotFound, match=f"^no job with the id '{job_id}'$"):
            world.run(jobs.cancel, job_id, stranger, NOW)
        with pytest.raises(NotFound, match=f"^no job with the id '{job_id}'$"):
            world.run(jobs.get_job, job_id, stranger)
    assert world.dump() == before
    assert world.run(jobs.cancel, job.id, None, NOW).state is JobState.CANCELED, "the operator may"


def test_jobs_expire_at_their_deadline_with_their_refund(world: World) -> None:
    account_id = world.account(credits=100)
    late = world.submit(account_id, price=5, queue_deadline_at_ms=NOW + 10)
    free = world.submit(account_id, price=0, queue_deadline_at_ms=NOW + 10)
    patient = world.submit(account_id, queue_deadline_at_ms=NOW + 11)
    assert world.run(jobs.expire_queued, NOW + 9, 10) == 0
    assert world.run(jobs.expire_queued, NOW + 10, 10) == 2
    assert world.run(jobs.expire_queued, NOW + 10, 10) == 0
    assert [world.state(job.id) for job in (late, free, patient)] == ["expired", "expired", "queued"]
    assert world.balance(account_id) == Balance(available=97, held=3)
    assert world.entries(account_id) == [("grant", 100), ("hold", 5), ("hold", 3), ("release", 5)]
    assert world.told(late.id) == ["job.queued", "job.expired"]
    world.assert_books_balance()


def test_expiry_takes_the_longest_overdue_first_up_to_its_limit(world: World) -> None:
    account_id = world.account()
    overdue = [world.submit(account_id, queue_deadline_at_ms=NOW + at).id for at in (30, 10, 20)]
    assert world.run(jobs.expire_queued, DEADLINE, 2) == 2
    assert [world.state(job_id) for job_id in overdue] == ["queued", "expired", "expired"]


def test_only_waiting_jobs_expire(world: World) -> None:
    account_id = world.account()
    running = world.running(account_id).fence
    world.submit(account_id)
    claimed = world.claimed().fence
    assert world.run(jobs.expire_queued, DEADLINE + 1, 10) == 0
    world.settle(claimed, Lost("restarted"))
    assert world.run(jobs.expire_queued, DEADLINE + 1, 10) == 1, "back in its lane its deadline counts again"
    assert world.state(running.job_id) is JobState.RUNNING
    world.assert_books_balance()


def test_positions_count_from_the_front_and_stop_at_the_cap(world: World) -> None:
    account_id, gold = world.account(), world.account(tier="black_gold")
    queued = [world.submit(account_id) for _ in range(5)]
    world.submit(account_id, lane="video")

    def positions(cap: int = 100) -> list[int | None]:
        return [world.run(jobs.position, world.job(job.id), cap) for job in queued]

    assert positions() == [1, 2, 3, 4, 5]
    assert positions(cap=2) == [1, 2, 3, 3, 3]
    first_in = world.submit(gold)
    assert world.run(jobs.position, first_in, 100) == 1
    assert positions() == [2, 3, 4, 5, 6]
    assert world.run(jobs.front_of_lane, "image", 3) == [first_in.id, queued[0].id, queued[1].id]
    world.run(jobs.cancel, queued[1].id, account_id, NOW)
    world.claimed()
    fence = world.claimed(number=1).fence
    assert positions() == [0, None, 1, 2, 3]
    world.succeed(fence)
    assert positions() == [None, None, 1, 2, 3]


def test_lists_are_newest_first_and_of_one_account(world: World) -> None:
    account_id, other = world.account(), world.account()
    mine = [world.submit(account_id).id for _ in range(4)]
    world.submit(other)
    world.run(jobs.cancel, mine[2], account_id, NOW)

    def listed(**asked: object) -> list[str]:
        values = {
            "account_id": account_id, "states": (), "limit": 10,
            "before_ticket": None, "unexpired_at_ms": None,
        } | asked  # fmt: skip
        return [job.id for job in world.run(jobs.list_jobs, **values)]  # type: ignore[arg-type]

    assert listed() == mine[::-1]
    assert listed(limit=2) == [mine[3], mine[2]]
    assert listed(before_ticket=world.job(mine[2]).ticket) == [mine[1], mine[0]]
    assert listed(states=(JobState.CANCELED,)) == [mine[2]]
    assert listed(states=(JobState.QUEUED, JobState.CLAIMED)) == [mine[3], mine[1], mine[0]]
    assert len(listed(account_id=None)) == 5
    assert mine[2] not in listed(unexpired_at_ms=world.job(mine[2]).expires_at_ms)
    assert mine[2] in listed(unexpired_at_ms=world.job(mine[2]).expires_at_ms - 1)


@pytest.mark.postgresql
def test_replicas_that_expire_at_once_share_the_work(pg_world: World) -> None:
    """Each skips what the other holds, and both take the accounts' rows in one order: no deadlock."""
    accounts = [pg_world.account() for _ in range(2)]
    for at, account_id in enumerate([*accounts, *reversed(accounts)]):
        pg_world.submit(account_id, queue_deadline_at_ms=NOW + at)
    with pg_world.open() as one:
        assert jobs.expire_queued(one, NOW + 10, 1) == 1
        other = Waiter(pg_world, lambda conn: jobs.expire_queued(conn, NOW + 10, 10))
        other.until_blocked()
        one.commit()
    assert other.done() == 3
    assert pg_world.sql("SELECT count(*) FROM entries WHERE kind = 'release'")[0][0] == 4
    pg_world.assert_books_balance()


@pytest.mark.postgresql
def test_refunds_take_accounts_in_one_order(pg_world: World) -> None:
    first, second = sorted(pg_world.account() for _ in range(2))
    pg_world.submit(second, queue_deadline_at_ms=NOW + 1)
    pg_world.submit(first, queue_deadline_at_ms=NOW + 2)
    with pg_world.open() as one:
        one.exec_driver_sql("SELECT 1 FROM accounts WHERE id = %s FOR UPDATE", (first,))
        expiring = Waiter(pg_world, lambda conn: jobs.expire_queued(conn, NOW + 10, 10))
        expiring.until_blocked()
        # Waiting for the first account it must not sit on the second, or two of its kind could cross.
        one.exec_driver_sql("SELECT 1 FROM accounts WHERE id = %s FOR UPDATE NOWAIT", (second,))
        one.commit()
    assert expiring.done() == 2
