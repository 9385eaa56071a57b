"""Checks the invariants after every commit, from rows read with plain SQL and its own tables of the rules."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from comfygate.domain.job import Fence
from comfygate.store.rows import OutboxRow

if TYPE_CHECKING:
    from tests.sim.people import Holder
    from tests.sim.world import World

ENDED = {"succeeded", "failed", "canceled", "expired"}
MOVES = {
    ("queued", "claimed"), ("queued", "canceled"), ("queued", "expired"),
    ("claimed", "queued"), ("claimed", "running"), ("claimed", "canceling"), ("claimed", "succeeded"),
    ("claimed", "failed"),
    ("running", "queued"), ("running", "canceling"), ("running", "succeeded"), ("running", "failed"),
    ("canceling", "canceled"), ("canceling", "succeeded"), ("canceling", "failed"),
}  # fmt: skip
SIDES = {"grant": ("issued", "available"), "hold": ("available", "held"), "capture": ("held", "revenue"),
         "release": ("held", "available")}  # fmt: skip
JOBS = (
    """SELECT id, state, attempt, hold, price, ticket, priority, lane, account_id FROM jobs ORDER BY ticket"""
)
KEPT_OFF = (
    "SELECT 1 FROM attempts WHERE job_id = ? AND server = ? AND elsewhere UNION ALL "
    "SELECT 1 FROM pair_quarantines JOIN jobs USING (workflow)"
    " WHERE jobs.id = ? AND server = ? AND until_at_ms > ?"
)
READY = """SELECT prompt_id, job_id, number, server FROM ready"""
HEARD_MS = 250
"""Within so many ms of a commit every process has heard of it: an effect takes at most 10 on each side."""
COUNTED = (
    "SELECT (SELECT count(*) FROM outbox WHERE delivered_at_ms IS NOT NULL"
    " AND kind IN ('job.succeeded', 'job.failed', 'job.canceled', 'job.expired')),"
    " (SELECT coalesce(sum(times), 0) FROM buckets WHERE grain = 'day' AND measure = 'ended')"
    " + (SELECT count(*) FROM uncounted WHERE what = 'job')"
)
"""Ends that were told, and ends that are in the aggregates or on the list of what is to be (ADR 22)."""
ATTEMPTS = """SELECT job_id, number, prompt_id, server, slot, ended_at_ms, outcome FROM attempts"""


@dataclass
class Job:
    """What the auditor saw of a job last."""

    id: str
    state: str
    attempt: int
    hold: str
    price: int
    ticket: int
    priority: int
    lane: str
    account_id: str


@dataclass
class Audit:
    """What the auditor has read so far."""

    world: World
    jobs: dict[str, Job] = field(default_factory=dict)
    attempts: dict[tuple[str, int], tuple[Any, ...]] = field(default_factory=dict)
    prompts: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    """prompt id: job, number, server"""
    made_ready: set[str] = field(default_factory=set)
    """Prompts that were written down before their claim."""
    queued_since: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    balances: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: dict[str, list[tuple[int, str, dict[str, Any]]]] = field(default_factory=dict)
    told: dict[str, list[int]] = field(default_factory=dict)
    last_entry: int = 0
    last_row: int = 0

    def committed(self, fence: Fence | None) -> None:
        """Look at everything that may have changed. `fence`: of the attempt that it was written for."""
        read = self.world.database.raw.execute
        touched = self._read_entries(read) | self._read_outbox(read)
        before = self.jobs
        self.jobs = {row[0]: Job(*row) for row in read(JOBS)}
        self._read_attempts(read)
        for prompt_id, job_id, number, server in read(READY):
            self.made_ready.add(prompt_id)
            self.prompts[prompt_id] = (job_id, number, server)
        for job_id, job in self.jobs.items():
            old = before.get(job_id)
            if job.state == "queued" and (old is None or old.state != "queued"):
                self.queued_since[job_id] = self.world.now_ms()
            if old != job:
                self._moved(old, job, before)
                if fence is not None and old is not None and fence != Fence(job_id, old.attempt):
                    self.world.fail(
                        f"I8: job {self._name(job_id)} at attempt {old.attempt} was moved by {fence}"
                    )
            if old != job or job_id in touched:
                self._money_of(job)
                self._words_of(job)
        if before.keys() - self.jobs.keys():
            self.world.fail("I3: a job's row is gone")
        self._balances(read)
        ((told, counted),) = read(COUNTED)
        if told != counted:
            self.world.fail(f"aggregates: {told} ends were told, {counted} are counted or to be")

    def _read_entries(self, read: Any) -> set[str]:
        touched = set()
        query = "SELECT id, kind, account_id, from_side, to_side, amount, job_id FROM entries WHERE id > ?"
        for number, kind, account, source, target, amount, job_id in read(query, (self.last_entry,)):
            self.last_entry = number
            if SIDES.get(kind) != (source, target) or amount <= 0:
                self.world.fail(f"I1: entry {number} is no known move: {kind} {source} {target} {amount}")
            sides = self.balances.setdefault(
                account, dict.fromkeys(("issued", "available", "held", "revenue"), 0)
            )
            sides[source] -= amount
            sides[target] += amount
            if job_id is not None:
                self.kinds.setdefault(job_id, []).append((kind, amount))
                touched.add(job_id)
        return touched

    def _read_outbox(self, read: Any) -> set[str]:
        touched = set()
        for number, job_id, kind, payload in read(
            "SELECT id, job_id, kind, payload FROM outbox WHERE id > ? ORDER BY id", (self.last_row,)
        ):
            self.last_row = number
            self.rows.setdefault(job_id, []).append((number, kind, json.loads(payload)))
            touched.add(job_id)
        return touched

    def _read_attempts(self, read: Any) -> None:
        succeeded: set[str] = set()
        for row in read(ATTEMPTS):
            job_id, number, prompt_id, server, _slot, ended, outcome = row
            key = (job_id, number)
            old = self.attempts.get(key)
            if old is not None and old[5] is not None and old != row:
                self.world.fail(
                    f"I8: attempt {self._name(job_id)}/{number} had ended and was changed: {old} {row}"
                )
            if old is None and number > 1 and (job_id, number - 1) not in self.attempts:
                self.world.fail(f"I8: attempt {self._name(job_id)}/{number} has no attempt before it")
            if outcome == "succeeded":
                if job_id in succeeded:
                    self.world.fail(f"I8: job {self._name(job_id)} succeeded twice")
                succeeded.add(job_id)
            if ended is None and number != self.jobs[job_id].attempt:
                self.world.fail(f"I8: attempt {self._name(job_id)}/{number} is open and not the present one")
            self.attempts[key] = row
            self.prompts[prompt_id] = (job_id, number, server)

    def _name(self, job_id: str) -> str:
        return self.world.alias(job_id)

    def _moved(self, old: Job | None, job: Job, before: dict[str, Job]) -> None:
        name = self._name(job.id)
        if old is None:
            if job.state != "queued":
                self.world.fail(f"job {name} began as {job.state}")
            return
        self.world.note(f"  job {name}: {old.state}/{old.attempt} -> {job.state}/{job.attempt}")
        if old.state != job.state and (old.state, job.state) not in MOVES:
            self.world.fail(f"I8: job {name} went from {old.state} to {job.state}")
        if (old.ticket, old.priority, old.lane, old.price) != (job.ticket, job.priority, job.lane, job.price):
            self.world.fail(f"I4: job {name} lost its place or its price: {old} {job}")
        if job.attempt not in (old.attempt, old.attempt + 1):
            self.world.fail(f"I8: job {name} jumped from attempt {old.attempt} to {job.attempt}")
        if old.state == "queued" and job.state == "claimed":
            self._claimed(job, before)
        if job.state == "succeeded":
            self._delivered(job)
        if job.state in ENDED and old.state not in ("queued", *ENDED):
            row = self.attempts.get((job.id, job.attempt))
            if row is None or row[5] is None:
                self.world.fail(f"I8: job {name} is {job.state} and its attempt {job.attempt} is open")

    def _claimed(self, job: Job, before: dict[str, Job]) -> None:
        _, _, prompt_id, server, *_ = self.attempts[job.id, job.attempt]
        if job.lane not in self.world.lanes_of(server):
            self.world.fail(f"I4: {server} took a job of lane {job.lane}")
        if prompt_id in self.made_ready:
            # Its turn was when it was sent: `begins`.
            return
        for other in before.values():
            if self._goes_before(other, job, server):
                self.world.fail(
                    f"I4: {self._name(job.id)} was claimed while {self._name(other.id)} was before it"
                )

    def begins(self, job_id: str, server: str) -> None:
        """A process is about to send a job's prompt: one that was made ready is still queued then."""
        job = self.jobs[job_id]
        if job.state != "queued":
            return
        for other in self.jobs.values():
            long_since = self.world.now_ms() - self.queued_since.get(other.id, 0) > HEARD_MS
            if long_since and self._goes_before(other, job, server):
                self.world.fail(
                    f"I4: {self._name(job_id)} begins while {self._name(other.id)} was long before it"
                )

    def _goes_before(self, other: Job, job: Job, server: str) -> bool:
        earlier = other.lane == job.lane and (other.priority, other.ticket) < (job.priority, job.ticket)
        return other.state == "queued" and earlier and not self._kept_off(other, server)

    def _kept_off(self, job: Job, server: str) -> bool:
        """Whether this server is out for the job: it failed there, or its workflow hung there."""
        found = self.world.database.raw.execute(
            KEPT_OFF, (job.id, server, job.id, server, self.world.now_ms())
        )
        return found.fetchone() is not None

    def _money_of(self, job: Job) -> None:
        """I2: one hold, and one capture or release, by the transition that ended the job."""
        wanted: list[tuple[str, int]] = []
        if job.price:
            wanted = [("hold", job.price)]
            if job.state in ENDED:
                wanted.append(("capture" if job.state == "succeeded" else "release", job.price))
        found = self.kinds.get(job.id, [])
        if found != wanted:
            self.world.fail(
                f"I2: job {self._name(job.id)} is {job.state}; its entries are {found}, not {wanted}"
            )

    def _words_of(self, job: Job) -> None:
        """I10: the outbox says what the ledger says, once, and nothing after the end."""
        rows = self.rows.get(job.id, [])
        ends = [(kind, payload) for _, kind, payload in rows if kind.removeprefix("job.") in ENDED]
        name = self._name(job.id)
        if not rows or rows[-1][1] != f"job.{job.state}":
            self.world.fail(f"I10: job {name} is {job.state} and the last word was {rows[-1:]}")
        elif len(ends) != (job.state in ENDED):
            self.world.fail(f"I10: job {name} is {job.state} and was told to have ended by {ends}")
        elif ends:
            back = sum(amount for kind, amount in self.kinds.get(job.id, []) if kind == "release")
            if ends[0][1].get("refunded") != back:
                self.world.fail(f"I10: job {name} was told {ends[0][1]}, the ledger gave back {back}")

    def _balances(self, read: Any) -> None:
        """I1: every balance is what its entries make of it, none is negative, and all sums are zero."""
        for account, available, held in read("SELECT id, available, held FROM accounts"):
            sides = self.balances.get(account, {})
            if (available, held) != (sides.get("available", 0), sides.get("held", 0)):
                self.world.fail(f"I1: account {account} has {available} and {held}, its entries say {sides}")
            if available < 0 or held < 0:
                self.world.fail(f"I1: account {account} is overdrawn: {available}, {held}")
            open_holds = sum(
                job.price
                for job in self.jobs.values()
                if job.account_id == account and job.state not in ENDED
            )
            if held != open_holds:
                self.world.fail(f"I1: account {account} holds {held}, its open jobs cost {open_holds}")

    def _delivered(self, job: Job) -> None:
        """I9: every output that the graph asked for, made by this job's own prompt, its bytes in storage."""
        read, name = self.world.database.raw.execute, self._name(job.id)
        graph = json.loads(read("SELECT graph FROM job_graphs WHERE job_id = ?", (job.id,)).fetchone()[0])
        wanted = {node for node, body in graph.items() if body["class_type"].startswith("Save")}
        prompt_id = self.attempts[job.id, job.attempt][2]
        query = """SELECT node_id, key FROM assets JOIN blobs ON blobs.hash = assets.hash WHERE job_id = ?"""
        found = read(query, (job.id,)).fetchall()
        if missing := wanted - {node for node, _ in found}:
            self.world.fail(f"I9: job {name} succeeded without outputs of nodes {sorted(missing)}")
        for node, key in found:
            kept = self.world.disk.get(key)
            if kept is None:
                self.world.fail(f"I9: job {name}: the bytes of node {node} are not in storage")
            elif node in wanted and kept.data != f"{prompt_id}|{node}".encode():
                self.world.fail(f"I9: job {name}: node {node} delivered {kept.data!r} of another prompt")

    def was_told(self, row: OutboxRow) -> None:
        """A subscriber heard a row: the first time of each comes in the order they happened."""
        told = self.told.setdefault(row.job_id, [])
        if row.id not in told:
            if told and row.id < max(told):
                self.world.fail(f"I10: job {self._name(row.job_id)}: row {row.id} was told after {max(told)}")
            told.append(row.id)

    def at_the_end(self) -> None:
        """When everything has come to rest."""
        for job in self.jobs.values():
            if job.state not in ENDED:
                self.world.fail(f"I3: job {self._name(job.id)} is still {job.state} after everything is well")
            if self.told.get(job.id, []) != [number for number, _, _ in self.rows[job.id]]:
                self.world.fail(
                    f"I10: job {self._name(job.id)}: told {self.told.get(job.id)}, {self.rows[job.id]}"
                )
        self._bytes_are_there()
        for holder in self.world.holders:
            self._wishes(holder)

    def _bytes_are_there(self) -> None:
        read = self.world.database.raw.execute
        for job_id, key in read("SELECT job_id, key FROM assets JOIN blobs ON blobs.hash = assets.hash"):
            if key not in self.world.disk:
                self.world.fail(f"I9: bytes of a result are gone: job {self._name(job_id or 'upload')}")

    def _wishes(self, holder: Holder) -> None:
        """What the holder was told of each request and each top-up is so."""
        read = self.world.database.raw.execute
        made: dict[str, list[str]] = {}
        for job_id, graph in read("SELECT job_id, graph FROM job_graphs"):
            made.setdefault(json.loads(graph)["1"]["inputs"]["request"], []).append(job_id)
        for request in holder.requests:
            jobs = made.get(request.name, [])
            if len(jobs) > 1:
                self.world.fail(f"I2: request {request.name} made {len(jobs)} jobs")
            if request.job_id is not None and jobs != [request.job_id]:
                self.world.fail(f"I3: request {request.name} was accepted as {request.job_id} and is {jobs}")
            if (request.made and not jobs) or (request.refused and jobs):
                self.world.fail(f"I3: request {request.name}: told {request}, made {jobs}")
        found: dict[str, list[int]] = {}
        query = "SELECT reason, amount FROM entries WHERE kind = 'grant' AND account_id = ?"
        for reason, amount in read(query, (holder.id,)):
            found.setdefault(reason, []).append(amount)
        for reason, amount in holder.grants.items():
            amounts = found.get(reason, [])
            if amounts not in ([amount], []) or (reason in holder.granted and not amounts):
                self.world.fail(f"I1: {reason!r} of {amount} was booked as {amounts}")
