"""A second, simpler account of what the store should hold; the machines compare the two."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, select

from comfygate.domain.credits import EntryKind, replay
from comfygate.store import accounts, jobs, ledger
from comfygate.store.tables import entries, metadata

P = ParamSpec("P")
R = TypeVar("R")
ENDED = {"succeeded", "failed", "canceled", "expired"}
IN_FLIGHT = {"claimed", "running", "canceling"}


@dataclass
class ModelAccount:
    """What an account should have."""

    id: str
    priority: int
    available: int
    held: int = 0


@dataclass
class ModelJob:
    """What a job should be."""

    id: str
    account: ModelAccount
    lane: str
    price: int
    order: int
    deadline: int
    state: str = "queued"
    attempt: int = 0
    slot: tuple[str, int] | None = None
    owner: str = ""
    told: list[str] = field(default_factory=lambda: ["queued"])

    @property
    def place(self) -> tuple[int, int]:
        return self.account.priority, self.order

    def move(self, state: str) -> None:
        self.state = state
        self.told.append(state)
        if state in ENDED or state == "queued":
            self.slot = None
        if state in ENDED:
            self.account.held -= self.price
            if state != "succeeded":
                self.account.available += self.price

    def settled(self, outcome: str, attempts_max: int) -> str:
        """Give the state that an outcome should bring this job to."""
        if outcome == "succeeded":
            return "succeeded"
        if self.state == "canceling":
            return "canceled"
        if outcome == "lost" and self.attempt < attempts_max:
            return "queued"
        return "failed"


class Session:
    """One example's transaction, never committed: a savepoint a call, and everything gone at the end."""

    def __init__(self, engine: Engine) -> None:
        self._conn = engine.connect()
        self._transaction = self._conn.begin()

    def run(self, fn: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        with self._conn.begin_nested():
            return fn(self._conn, *args, **kwargs)

    def dump(self) -> list[Any]:
        """Give every row of every table."""
        return [
            sorted((tuple(row) for row in self._conn.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        ]

    def close(self) -> None:
        self._transaction.rollback()
        self._conn.close()

    def compare_money(self, model_accounts: list[ModelAccount], model_jobs: list[ModelJob]) -> None:
        """I1, I2: sums, balances and replays agree; a hold each, and one capture or release once ended."""
        audit = self.run(ledger.audit)
        assert audit.total == 0
        assert audit.faults == ()
        rows = self._conn.execute(select(entries).order_by(entries.c.id)).all()
        for account in model_accounts:
            balance = self.run(accounts.get_account, account.id).balance
            assert (balance.available, balance.held) == (account.available, account.held)
            assert min(balance.available, balance.held) >= 0
            own = [(EntryKind(row.kind), row.amount) for row in rows if row.account_id == account.id]
            assert replay(own) == balance
        for job in model_jobs:
            kinds = [(row.kind, row.amount) for row in rows if row.job_id == job.id]
            ending = {"succeeded": "capture"}.get(job.state, "release" if job.state in ENDED else None)
            expected = [("hold", job.price)] + ([(ending, job.price)] if ending else [])
            assert kinds == (expected if job.price else [])

    def compare_jobs(self, model_jobs: list[ModelJob]) -> None:
        """Every job is where it should be, with the place it was given."""
        found = {job.id: job for job in self.run(
            jobs.list_jobs, account_id=None, states=(), limit=10_000, before_ticket=None, unexpired_at_ms=None
        )}  # fmt: skip
        assert len(found) == len(model_jobs)
        for job in model_jobs:
            row = found[job.id]
            assert (row.state, row.attempt, row.lane, row.priority) == (
                job.state,
                job.attempt,
                job.lane,
                job.account.priority,
            )
        by_ticket = sorted(model_jobs, key=lambda job: found[job.id].ticket)
        assert [job.order for job in by_ticket] == sorted(job.order for job in model_jobs)
