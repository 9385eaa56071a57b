"""Whatever is asked of the ledger in whatever order, credits are neither made nor lost (I1, I2)."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from comfygate.domain.credits import CREDITS_MAX, EntryKind
from comfygate.domain.errors import GateError, InsufficientCredits, InvalidRequest, LedgerViolation
from comfygate.domain.job import Failed, JobError, Lost, Outcome, Succeeded
from comfygate.store import accounts, attempts, jobs, ledger, settle
from comfygate.store.attempts import Slot
from tests.store.books import ENDED, ModelAccount, ModelJob, Session
from tests.store.world import KEY_SECONDS, NOW, TIERS, World, fresh, new_job

EXAMPLES = {"sqlite": 60, "postgresql": 15}
STEPS = 25
OUTCOMES: dict[str, Outcome] = {
    "succeeded": Succeeded(),
    "failed": Failed(JobError("x", "y")),
    "lost": Lost("restarted"),
}
amounts = st.integers(1, 20) | st.sampled_from([1, CREDITS_MAX, CREDITS_MAX - 1, 10**9])
pick = st.integers(0, 1000)


class LedgerMachine(RuleBasedStateMachine):
    """Grants, holds, captures and releases, the honest ones and those that must be refused."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(self.engine)
        self.accounts: list[ModelAccount] = []
        self.jobs: list[ModelJob] = []
        self.open_account(credits=10)

    def teardown(self) -> None:
        self.session.close()

    def account(self, number: int) -> ModelAccount:
        return self.accounts[number % len(self.accounts)]

    def job(self, number: int) -> ModelJob:
        return self.jobs[number % len(self.jobs)]

    @rule(credits=st.integers(0, 50))
    @precondition(lambda self: len(self.accounts) < 4)
    def open_account(self, credits: int) -> None:
        name = fresh("account")
        self.session.run(accounts.add_account, name, name, "regular", fresh("digest"), credits, NOW)
        self.accounts.append(ModelAccount(name, 100, credits))

    @rule(number=pick, amount=amounts)
    def grant(self, number: int, amount: int) -> None:
        account = self.account(number)
        if account.available + account.held + amount <= CREDITS_MAX:
            self.session.run(ledger.grant, account.id, amount, "gift", NOW)
            account.available += amount
        else:
            with pytest.raises(InvalidRequest):
                self.session.run(ledger.grant, account.id, amount, "gift", NOW)

    @rule(number=pick, price=st.just(0) | amounts)
    def submit(self, number: int, price: int) -> None:
        account = self.account(number)
        new = new_job(account.id, price=price, lane=fresh("lane"))
        if price > account.available:
            with pytest.raises(InsufficientCredits):
                self.session.run(jobs.submit, new, TIERS, KEY_SECONDS)
            return
        self.session.run(jobs.submit, new, TIERS, KEY_SECONDS)
        account.available -= price
        account.held += price
        self.jobs.append(ModelJob(new.id, account, new.lane, price, len(self.jobs), NOW))

    @rule(number=pick)
    @precondition(lambda self: self.jobs)
    def cancel(self, number: int) -> None:
        job = self.job(number)
        self.session.run(jobs.cancel, job.id, job.account.id, NOW)
        if job.state == "queued":
            job.move("canceled")

    @rule(number=pick, outcome=st.sampled_from(sorted(OUTCOMES)), attempts_max=st.integers(1, 2))
    @precondition(lambda self: any(job.state == "queued" for job in self.jobs))
    def run_to_an_end(self, number: int, outcome: str, attempts_max: int) -> None:
        waiting = [job for job in self.jobs if job.state == "queued"]
        job = waiting[number % len(waiting)]
        attempt = self.session.run(
            attempts.claim,
            Slot("gpu", 0, (job.lane,)),
            owner="me",
            prompt_id=fresh("prompt"),
            lease_ms=1,
            now_ms=NOW,
        )
        assert attempt is not None
        job.attempt += 1
        self.session.run(
            settle.settle, attempt.fence, OUTCOMES[outcome],
            attempts_max=attempts_max, results_seconds=60, now_ms=NOW,
        )  # fmt: skip
        job.move(job.settled(outcome, attempts_max))

    @rule(number=pick, kind=st.sampled_from([EntryKind.CAPTURE, EntryKind.RELEASE]))
    @precondition(lambda self: any(job.price and job.state in ENDED for job in self.jobs))
    def settle_an_ended_hold_again(self, number: int, kind: EntryKind) -> None:
        ended = [job for job in self.jobs if job.price and job.state in ENDED]
        job = ended[number % len(ended)]
        with pytest.raises((IntegrityError, LedgerViolation)):
            self.session.run(ledger.settle_hold, kind, job.account.id, job.id, job.price, "again", NOW)

    @rule(number=pick)
    @precondition(lambda self: any(job.price for job in self.jobs))
    def hold_a_second_time(self, number: int) -> None:
        paid = [job for job in self.jobs if job.price]
        job = paid[number % len(paid)]
        with pytest.raises(IntegrityError):
            self.session.run(ledger.record_hold, job.account.id, job.id, job.price, NOW)

    @rule(number=pick, more=st.integers(1, 5), kind=st.sampled_from([EntryKind.CAPTURE, EntryKind.RELEASE]))
    @precondition(lambda self: self.jobs)
    def settle_more_than_is_held(self, number: int, more: int, kind: EntryKind) -> None:
        job = self.job(number)
        amount = job.account.held + more
        with pytest.raises(LedgerViolation):
            self.session.run(ledger.settle_hold, kind, job.account.id, job.id, amount, "too much", NOW)

    @rule(number=pick, price=amounts)
    def submit_what_breaks_after_the_debit(self, number: int, price: int) -> None:
        """The job's id is taken, which shows only once the credits have moved: they must move back."""
        taken = self.jobs[number % len(self.jobs)].id if self.jobs else fresh("nobody")
        account = self.account(number)
        if not self.jobs or price > account.available:
            return
        with pytest.raises((IntegrityError, GateError)):
            self.session.run(jobs.submit, new_job(account.id, id=taken, price=price), TIERS, KEY_SECONDS)

    @invariant()
    def the_books_agree(self) -> None:
        self.session.compare_money(self.accounts, self.jobs)


def test_the_ledger_against_a_model(world: World) -> None:
    class Machine(LedgerMachine):
        engine = world.engine

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES[world.dialect],
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
