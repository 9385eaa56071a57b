"""An outcome is settled once, by the attempt that holds the fence (I8), and ends the hold with it (I2)."""

import json

import pytest
from sqlalchemy import Connection

from comfygate.domain.credits import Balance, HoldState
from comfygate.domain.job import Canceled, Failed, Fence, JobError, JobState, Lost, Outcome, Succeeded
from comfygate.store import assets, attempts, jobs, outbox, settle
from comfygate.store.rows import ClaimedAttempt
from comfygate.store.settle import Settled
from tests.store.world import NOW, Waiter, World, blob, fresh, output

ERROR = JobError("node_error", "Node 3 failed.", "3", "KSampler")
FAILED = Failed(ERROR, cause="CUDA out of memory at /srv/comfy")
OUTCOMES: tuple[Outcome, ...] = (Succeeded(), FAILED, Canceled(), Lost("restarted"))


def canceling(world: World, account_id: str) -> ClaimedAttempt:
    attempt = world.running(account_id)
    job = world.run(jobs.cancel, attempt.fence.job_id, account_id, NOW + 2)
    assert job.state is JobState.CANCELING
    return attempt


def test_success_captures_and_delivers(world: World) -> None:
    account_id = world.account(credits=10)
    attempt = world.running(account_id)
    outputs = [output("b.png"), output("a.png"), output("c.mp4")]
    world.succeed(attempt.fence, *outputs)
    job = world.job(attempt.fence.job_id)
    assert (job.state, job.hold, job.error) == (JobState.SUCCEEDED, HoldState.CAPTURED, None)
    assert job.completed_at_ms == NOW + 5
    assert job.expires_at_ms == NOW + 5 + 7 * 86_400_000
    assert world.balance(account_id) == Balance(available=7, held=0)
    assert world.entries(account_id) == [("grant", 10), ("hold", 3), ("capture", 3)]
    delivered = world.run(assets.outputs_of, [job.id])[job.id]
    assert [(item.id, item.name) for item in delivered] == [(item.asset_id, item.name) for item in outputs]
    assert {item.expires_at_ms for item in delivered} == {job.expires_at_ms}
    world.assert_books_balance()


@pytest.mark.parametrize("claimed_only", [False, True])
def test_failure_releases_and_says_why(world: World, claimed_only: bool) -> None:
    account_id = world.account(credits=10)
    if claimed_only:
        world.submit(account_id)
        attempt = world.claimed()
    else:
        attempt = world.running(account_id)
    assert world.settle(attempt.fence, FAILED, output()) is Settled.DONE
    job = world.job(attempt.fence.job_id)
    assert (job.state, job.hold, job.error) == (JobState.FAILED, HoldState.RELEASED, ERROR)
    assert job.cause == "CUDA out of memory at /srv/comfy"
    assert world.balance(account_id) == Balance(available=10, held=0)
    assert world.run(assets.outputs_of, [job.id]) == {}, "a failed job delivers nothing"
    world.assert_books_balance()


@pytest.mark.parametrize("price", [0, 3])
@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_what_is_told_is_what_the_ledger_says(world: World, outcome: Outcome, price: int) -> None:
    account_id = world.account(credits=10)
    attempt = world.running(account_id, price=price)
    world.settle(attempt.fence, outcome, attempts_max=1)
    told = world.run(outbox.waiting, 10)[-1]
    released = sum(amount for kind, amount in world.entries(account_id) if kind == "release")
    assert told.kind == f"job.{world.state(attempt.fence.job_id)}"
    assert told.payload == {"refunded": released}
    assert released == (0 if isinstance(outcome, Succeeded) else price)
    world.assert_books_balance()


def test_somebody_elses_interrupt_is_a_failure_with_refund(world: World) -> None:
    account_id = world.account(credits=10)
    attempt = world.running(account_id)
    world.settle(attempt.fence, Canceled())
    job = world.job(attempt.fence.job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "interrupted"
    assert world.balance(account_id) == Balance(10, 0)


@pytest.mark.parametrize(
    "outcome", [FAILED, Canceled(), Lost("x")], ids=lambda outcome: type(outcome).__name__
)
def test_a_cancel_asked_for_ends_canceled_with_refund(world: World, outcome: Outcome) -> None:
    account_id = world.account(credits=10)
    attempt = canceling(world, account_id)
    assert world.settle(attempt.fence, outcome) is Settled.DONE
    job = world.job(attempt.fence.job_id)
    assert (job.state, job.hold, job.error) == (JobState.CANCELED, HoldState.RELEASED, None)
    assert world.balance(account_id) == Balance(10, 0)


def test_a_cancel_that_came_too_late_is_delivered_and_paid(world: World) -> None:
    account_id = world.account(credits=10)
    attempt = canceling(world, account_id)
    world.succeed(attempt.fence, output())
    job = world.job(attempt.fence.job_id)
    assert (job.state, job.hold) == (JobState.SUCCEEDED, HoldState.CAPTURED)
    assert len(world.run(assets.outputs_of, [job.id])[job.id]) == 1


def test_lost_goes_back_to_its_place_with_its_hold(world: World) -> None:
    account_id = world.account(credits=10)
    before = world.submit(account_id)
    attempt = world.claimed()
    assert world.settle(attempt.fence, Lost("restarted")) is Settled.DONE
    after = world.job(before.id)
    assert (after.state, after.ticket, after.priority) == (JobState.QUEUED, before.ticket, before.priority)
    assert (after.hold, after.attempt, after.cause) == (HoldState.PLACED, 1, "restarted")
    assert world.balance(account_id) == Balance(available=7, held=3)
    assert world.run(attempts.open_slots, "gpu") == set()
    assert world.told(before.id) == ["job.queued", "job.claimed", "job.queued"]
    assert world.run(outbox.waiting, 10)[-1].payload == {"again": True}


def test_lost_too_often_fails_with_one_refund(world: World) -> None:
    account_id = world.account(credits=10)
    job = world.submit(account_id)
    for number in (1, 2, 3):
        attempt = world.claimed()
        assert attempt.fence == Fence(job.id, number)
        assert world.settle(attempt.fence, Lost("restarted"), attempts_max=3) is Settled.DONE
    ended = world.job(job.id)
    assert ended.state is JobState.FAILED
    assert ended.error is not None
    assert ended.error.code == "server_lost"
    assert world.entries(account_id) == [("grant", 10), ("hold", 3), ("release", 3)]
    assert world.claim() is None


def stale(world: World, fence: Fence) -> None:
    """Expect every outcome of this fence to change nothing in any table."""
    before = world.dump()
    for outcome in OUTCOMES:
        assert world.settle(fence, outcome, output(), now_ms=NOW + 99) is Settled.STALE
    assert world.dump() == before


@pytest.mark.parametrize("first", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_settling_twice_changes_nothing(world: World, first: Outcome) -> None:
    attempt = world.running(world.account())
    assert world.settle(attempt.fence, first, attempts_max=1) is Settled.DONE
    stale(world, attempt.fence)


def test_an_older_attempt_changes_nothing_whatever_the_newer_is_doing(world: World) -> None:
    account_id = world.account()
    job = world.submit(account_id)
    old = world.claimed().fence
    world.settle(old, Lost("restarted"))
    stale(world, old)  # queued again
    new = world.claimed().fence
    stale(world, old)  # claimed again
    assert not world.run(attempts.mark_started, old, NOW)
    assert world.run(attempts.mark_started, new, NOW)
    stale(world, old)  # running again
    world.run(jobs.cancel, job.id, account_id, NOW)
    stale(world, old)  # canceling
    world.succeed(new)
    stale(world, old)
    assert [row.outcome for row in world.run(attempts.list_attempts, job.id)] == ["lost", "succeeded"]


@pytest.mark.parametrize("number", [0, 2, -1, 99])
def test_a_wrong_number_or_job_changes_nothing(world: World, number: int) -> None:
    attempt = world.running(world.account())
    stale(world, Fence(attempt.fence.job_id, number))
    stale(world, Fence("no-such-job", 1))


def test_a_queued_job_cannot_be_settled(world: World) -> None:
    job = world.submit(world.account())
    stale(world, job.fence)
    stale(world, Fence(job.id, 1))


def test_starting_is_noted_once_and_never_undoes_a_cancel(world: World) -> None:
    account_id = world.account()
    world.submit(account_id)
    fence = world.claimed().fence
    assert world.run(attempts.mark_started, fence, NOW + 1)
    assert world.state(fence.job_id) is JobState.RUNNING
    before = world.dump()
    assert not world.run(attempts.mark_started, fence, NOW + 2)
    assert not world.run(attempts.mark_started, Fence(fence.job_id, 2), NOW + 2)
    assert world.dump() == before
    canceled = world.submit(account_id, lane="video")
    asked = world.claimed("video", server="other").fence
    world.run(jobs.cancel, canceled.id, account_id, NOW)
    world.run(attempts.mark_started, asked, NOW + 1)
    assert world.state(canceled.id) is JobState.CANCELING
    assert world.told(fence.job_id) == ["job.queued", "job.claimed", "job.running"]


def test_the_first_start_counts_across_attempts(world: World) -> None:
    world.submit(world.account())
    first = world.claimed().fence
    world.run(attempts.mark_started, first, NOW + 1)
    world.settle(first, Lost("restarted"))
    second = world.claimed().fence
    world.run(attempts.mark_started, second, NOW + 50)
    assert world.job(first.job_id).started_at_ms == NOW + 1


def test_two_outputs_of_the_same_bytes_share_them(world: World) -> None:
    attempt = world.running(world.account())
    same = fresh("same")
    world.succeed(attempt.fence, output("a.png", blob(same)), output("b.png", blob(same)))
    first, second = world.run(assets.outputs_of, [attempt.fence.job_id])[attempt.fence.job_id]
    assert first.key == second.key
    assert first.id != second.id


def test_an_error_in_settling_leaves_the_job_as_it_was(world: World) -> None:
    """Two outputs under one asset id cannot be recorded: the capture before them is undone, too."""
    attempt = world.running(world.account())
    twice = output()
    before = world.dump()
    with pytest.raises(Exception, match="assets"):
        world.settle(attempt.fence, Succeeded(), twice, twice)
    assert world.dump() == before


def test_a_stored_error_reads_back_whole(world: World) -> None:
    attempt = world.running(world.account())
    world.settle(attempt.fence, FAILED)
    (row,) = world.sql("SELECT error FROM jobs WHERE id = :id", id=attempt.fence.job_id)
    assert JobError(**json.loads(row.error)) == ERROR


@pytest.mark.postgresql
class TestSettlingBesideOthers:
    """Two transactions on one job, on PostgreSQL, in the orders that matter."""

    def settle(self, conn: Connection, fence: Fence, outcome: Outcome) -> Settled:
        return settle.settle(conn, fence, outcome, outputs=(), attempts_max=3, results_seconds=60, now_ms=NOW)

    def test_two_settle_at_once_and_one_counts(self, pg_world: World) -> None:
        account_id = pg_world.account(credits=10)
        fence = pg_world.running(account_id).fence
        with pg_world.open() as first:
            assert self.settle(first, fence, Succeeded()) is Settled.DONE
            second = Waiter(pg_world, lambda conn: self.settle(conn, fence, FAILED))
            second.until_blocked()
            first.commit()
        assert second.done() is Settled.STALE
        assert pg_world.entries(account_id) == [("grant", 10), ("hold", 3), ("capture", 3)]

    def test_a_start_and_a_settle_do_not_lock_each_other_out(self, pg_world: World) -> None:
        pg_world.submit(pg_world.account())
        fence = pg_world.claimed().fence
        with pg_world.open() as first:
            first.exec_driver_sql("SELECT 1 FROM jobs FOR UPDATE")
            starting = Waiter(pg_world, lambda conn: attempts.mark_started(conn, fence, NOW))
            starting.until_blocked()
            assert self.settle(first, fence, Succeeded()) is Settled.DONE
            first.commit()
        assert starting.done() is False

    def test_a_cancel_is_not_lost_when_the_attempt_is(self, pg_world: World) -> None:
        account_id = pg_world.account(credits=10)
        fence = pg_world.running(account_id).fence
        with pg_world.open() as first:
            assert self.settle(first, fence, Lost("restarted")) is Settled.DONE
            canceling = Waiter(pg_world, lambda conn: jobs.cancel(conn, fence.job_id, account_id, NOW))
            canceling.until_blocked()
            first.commit()
        assert canceling.done().state is JobState.CANCELED
        assert pg_world.balance(account_id) == Balance(10, 0)

    def test_a_cancel_that_meets_success_leaves_it(self, pg_world: World) -> None:
        account_id = pg_world.account(credits=10)
        fence = pg_world.running(account_id).fence
        with pg_world.open() as first:
            assert self.settle(first, fence, Succeeded()) is Settled.DONE
            canceling = Waiter(pg_world, lambda conn: jobs.cancel(conn, fence.job_id, account_id, NOW))
            canceling.until_blocked()
            first.commit()
        assert canceling.done().state is JobState.SUCCEEDED

    def test_a_settle_that_meets_a_cancel_sees_it(self, pg_world: World) -> None:
        account_id = pg_world.account(credits=10)
        fence = pg_world.running(account_id).fence
        with pg_world.open() as first:
            assert jobs.cancel(first, fence.job_id, account_id, NOW).state is JobState.CANCELING
            settling = Waiter(pg_world, lambda conn: self.settle(conn, fence, Lost("restarted")))
            settling.until_blocked()
            first.commit()
        assert settling.done() is Settled.DONE
        assert pg_world.state(fence.job_id) is JobState.CANCELED
