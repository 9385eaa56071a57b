"""Whatever happens to jobs in any order: settled once (I8), in order (I4), a slot each (I5), paid right."""

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

from comfygate.domain.errors import Conflict, IdempotencyKeyReuse
from comfygate.domain.job import Canceled, Failed, Fence, JobError, Lost, Outcome, Succeeded
from comfygate.store import accounts, attempts, jobs, outbox, settle
from comfygate.store.attempts import Slot
from comfygate.store.settle import Settled
from tests.store.books import IN_FLIGHT, ModelAccount, ModelJob, Session
from tests.store.world import KEY_SECONDS, NOW, TIERS, World, fresh, new_job, output

EXAMPLES = {"sqlite": 25, "postgresql": 10}
STEPS = 40
ATTEMPTS_MAX = 3
LANES = ("image", "video")
SLOTS = (("one", 0, ("image",)), ("one", 1, ("image", "video")), ("two", 0, ("video",)))
OWNERS = ("me", "you")
OUTCOMES: dict[str, Outcome] = {
    "succeeded": Succeeded(),
    "failed": Failed(JobError("x", "y")),
    "canceled": Canceled(),
    "lost": Lost("restarted"),
}
pick = st.integers(0, 1000)
outcomes = st.sampled_from(sorted(OUTCOMES))


class JobMachine(RuleBasedStateMachine):
    """Users, two gateways and the janitor, each doing what it may do at any time."""

    engine: Engine

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(self.engine)
        self.accounts = [self.open_account(tier) for tier in ("regular", "black_gold", "regular")]
        self.jobs: list[ModelJob] = []
        self.keys: set[tuple[str, str]] = set()
        self.fences: list[Fence] = []
        self.clock = NOW

    def open_account(self, tier: str) -> ModelAccount:
        name = fresh("account")
        self.session.run(accounts.add_account, name, name, tier, fresh("digest"), 1000, NOW)
        return ModelAccount(name, TIERS[tier].priority, 1000)

    def teardown(self) -> None:
        self.session.close()

    def holder(self, fence: Fence) -> ModelJob | None:
        """Give the job that this fence still speaks for."""
        for job in self.jobs:
            if job.id == fence.job_id and job.attempt == fence.attempt and job.state in IN_FLIGHT:
                return job
        return None

    def in_flight(self) -> list[ModelJob]:
        return [job for job in self.jobs if job.state in IN_FLIGHT]

    @rule(number=pick, lane=st.sampled_from(LANES), price=st.sampled_from([0, 1, 7]), wait=st.integers(1, 50))
    def submit(self, number: int, lane: str, price: int, wait: int) -> None:
        self.accept(number, lane=lane, price=price, queue_deadline_at_ms=self.clock + wait)

    @rule(number=pick, key=st.sampled_from(["k1", "k2"]))
    def submit_under_a_key(self, number: int, key: str) -> None:
        account = self.accounts[number % 3]
        if (account.id, key) in self.keys:
            before = self.session.dump()
            with pytest.raises(IdempotencyKeyReuse):
                self.accept(number, lane="image", price=1, idempotency_key=key)
            assert self.session.dump() == before
        else:
            self.accept(number, lane="image", price=1, idempotency_key=key)
            self.keys.add((account.id, key))

    def accept(self, number: int, *, lane: str, price: int, **changed: object) -> None:
        account = self.accounts[number % 3]
        new = new_job(account.id, lane=lane, price=price, now_ms=self.clock, **changed)
        self.session.run(jobs.submit, new, TIERS, KEY_SECONDS)
        account.available -= price
        account.held += price
        self.jobs.append(ModelJob(new.id, account, lane, price, len(self.jobs), new.queue_deadline_at_ms))

    @rule(
        slot=st.sampled_from(SLOTS), owner=st.sampled_from(OWNERS), lease_ms=st.sampled_from([-1000, 60_000])
    )
    def claim(self, slot: tuple[str, int, tuple[str, ...]], owner: str, lease_ms: int) -> None:
        server, number, lanes = slot
        waiting = [job for job in self.jobs if job.state == "queued" and job.lane in lanes]
        taken = any(job.slot == (server, number) for job in self.jobs)
        asked = {"owner": owner, "prompt_id": fresh("prompt"), "lease_ms": lease_ms, "now_ms": NOW}
        if taken:
            before = self.session.dump()
            with pytest.raises(Conflict):
                self.session.run(attempts.claim, Slot(*slot), **asked)  # type: ignore[arg-type]
            assert self.session.dump() == before
            return
        attempt = self.session.run(attempts.claim, Slot(*slot), **asked)  # type: ignore[arg-type]
        if not waiting:
            assert attempt is None
            return
        job = min(waiting, key=lambda job: job.place)
        assert attempt is not None
        assert attempt.fence == Fence(job.id, job.attempt + 1)
        job.attempt += 1
        job.slot = (server, number)
        job.owner = owner
        job.move("claimed")
        self.fences.append(attempt.fence)

    @rule(number=pick)
    @precondition(lambda self: self.fences)
    def start(self, number: int) -> None:
        fence = self.fences[number % len(self.fences)]
        job = self.holder(fence)
        before = self.session.dump()
        noted = self.session.run(attempts.mark_started, fence, NOW)
        if job is None:
            assert noted is False
        if noted is False:
            assert self.session.dump() == before
        elif job is not None and job.state == "claimed":
            job.move("running")

    @rule(number=pick, outcome=outcomes)
    @precondition(lambda self: self.in_flight())
    def settle(self, number: int, outcome: str) -> None:
        job = self.in_flight()[number % len(self.in_flight())]
        self.settle_with(Fence(job.id, job.attempt), outcome)

    @rule(number=pick, off=st.integers(-1, 2), outcome=outcomes)
    @precondition(lambda self: self.fences)
    def settle_late_or_wrongly(self, number: int, off: int, outcome: str) -> None:
        fence = self.fences[number % len(self.fences)]
        self.settle_with(Fence(fence.job_id, fence.attempt + off), outcome)

    @rule(number=pick, outcome=outcomes)
    @precondition(lambda self: self.jobs)
    def settle_what_is_not_in_flight(self, number: int, outcome: str) -> None:
        job = self.jobs[number % len(self.jobs)]
        self.settle_with(Fence(job.id, 0), outcome)

    def settle_with(self, fence: Fence, outcome: str) -> None:
        job = self.holder(fence)
        before = self.session.dump()
        settled = self.session.run(
            settle.settle, fence, OUTCOMES[outcome], outputs=(output(),),
            attempts_max=ATTEMPTS_MAX, results_seconds=60, now_ms=NOW,
        )  # fmt: skip
        if job is None:
            assert settled is Settled.STALE
            assert self.session.dump() == before
        else:
            assert settled is Settled.DONE
            job.move(job.settled(outcome, ATTEMPTS_MAX))

    @rule(number=pick)
    @precondition(lambda self: self.jobs)
    def cancel(self, number: int) -> None:
        job = self.jobs[number % len(self.jobs)]
        before = self.session.dump()
        answered = self.session.run(jobs.cancel, job.id, job.account.id, self.clock)
        if job.state == "queued":
            job.move("canceled")
        elif job.state in {"claimed", "running"}:
            job.move("canceling")
        else:
            assert self.session.dump() == before
        assert answered.state == job.state

    @rule(passed=st.integers(0, 40), limit=st.integers(1, 3))
    def expire(self, passed: int, limit: int) -> None:
        self.clock += passed
        due = [job for job in self.jobs if job.state == "queued" and job.deadline <= self.clock]
        assert self.session.run(jobs.expire_queued, self.clock, limit) == min(limit, len(due))
        states = {job.id: self.session.run(jobs.get_job, job.id).state for job in due}
        gone = [job for job in due if states[job.id] == "expired"]
        left = [job for job in due if job not in gone]
        assert all(old.deadline <= young.deadline for old in gone for young in left)
        for job in gone:
            job.move("expired")

    @rule(server=st.sampled_from(["one", "two"]), heir=st.sampled_from(OWNERS))
    def take_over_from_the_dead(self, server: str, heir: str) -> None:
        orphans = [
            job for job in self.in_flight() if job.slot and job.slot[0] == server and job.owner != heir
        ]
        adopted = self.session.run(
            attempts.take_over, server, owner=heir, lease_ms=60_000, now_ms=NOW, at_once=True
        )
        assert {attempt.fence for attempt in adopted} == {Fence(job.id, job.attempt) for job in orphans}
        for job in orphans:
            job.owner = heir

    @invariant()
    def everything_is_where_it_should_be(self) -> None:
        self.session.compare_money(self.accounts, self.jobs)
        self.session.compare_jobs(self.jobs)
        told: dict[str, list[str]] = {job.id: [] for job in self.jobs}
        for row in self.session.run(outbox.waiting, 10_000):
            told[row.job_id].append(row.kind.removeprefix("job."))
        assert told == {job.id: job.told for job in self.jobs}

    @invariant()
    def slots_hold_one_each_and_owners_are_known(self) -> None:
        for server in ("one", "two"):
            expected = [job.slot[1] for job in self.in_flight() if job.slot and job.slot[0] == server]
            assert len(expected) == len(set(expected))
            assert self.session.run(attempts.open_slots, server) == set(expected)
        for job in self.in_flight():
            fence = Fence(job.id, job.attempt)
            assert self.session.run(attempts.still_ours, fence, job.owner) == job.state
            other = OWNERS[1 - OWNERS.index(job.owner)]
            assert self.session.run(attempts.still_ours, fence, other) is None

    @invariant()
    def positions_count_what_is_ahead(self) -> None:
        for lane in LANES:
            waiting = sorted(
                (job for job in self.jobs if job.state == "queued" and job.lane == lane),
                key=lambda job: job.place,
            )
            for place, job in enumerate(waiting, start=1):
                row = self.session.run(jobs.get_job, job.id)
                assert self.session.run(jobs.position, row, 1000) == place


def test_jobs_against_a_model(world: World) -> None:
    class Machine(JobMachine):
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
