"""The independent auditor: compares the database, the servers' journals and what the callers were told."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.chaos.callers import ENDED, Notes
from tests.chaos.evidence import Evidence, Line
from tests.chaos.order import order_violations
from tests.chaos.processes import Death
from tests.chaos.stranger import AGENT

_TOUCHES = frozenset({"interrupted", "dequeued", "history-deleted"})
TOLD_MAX = 10
"""Cases shown of one broken promise."""


@dataclass(slots=True)
class Verdict:
    """Figures in the order they are printed, and everything that broke a promise."""

    figures: list[tuple[str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def figure(self, name: str, value: object) -> None:
        """Something to print."""
        self.figures.append((name, str(value)))

    def must_be_none(self, name: str, cases: Sequence[str]) -> None:
        """Something to print that must be 0; the cases are kept."""
        self.figure(name, len(cases))
        self.broken += [f"{name}: {case}" for case in cases[:TOLD_MAX]]
        if len(cases) > TOLD_MAX:
            self.broken.append(f"{name}: and {len(cases) - TOLD_MAX} more")

    def text(self) -> str:
        """For people."""
        lines = [f"  {name:<42} {value}" for name, value in self.figures]
        if self.broken:
            lines += ["", "BROKEN PROMISES:", *(f"  {case}" for case in self.broken)]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Given:
    """What the run itself knows."""

    notes: Notes
    slots: Mapping[str, int]
    foreign: Sequence[str]
    gateway_deaths: Sequence[Death]
    own_ends: Sequence[str]
    ledger_faults: Sequence[str]
    ledger_sum: int


def audit(found: Evidence, given: Given) -> Verdict:
    """Every figure of the run."""
    verdict = Verdict()
    _jobs(verdict, found, given)
    _money(verdict, found, given)
    _runs(verdict, found, given)
    verdict.must_be_none("order violations", order_violations(found, given.notes))
    verdict.must_be_none("slots violations", list(_slots(found, given.slots)))
    verdict.figure("ledger sum", given.ledger_sum)
    if given.ledger_sum:
        verdict.broken.append(f"ledger sum: {given.ledger_sum}")
    verdict.must_be_none("ledger audit faults", list(given.ledger_faults))
    verdict.must_be_none("processes that ended by themselves", list(given.own_ends))
    _take_over(verdict, found, given.gateway_deaths)
    return verdict


def _jobs(verdict: Verdict, found: Evidence, given: Given) -> None:
    notes = given.notes
    states = Counter(job.state for job in found.jobs.values())
    verdict.figure("jobs accepted", len(found.jobs))
    verdict.figure("succeeded", states["succeeded"])
    verdict.figure("failed with refund", states["failed"])
    verdict.figure("canceled", states["canceled"])
    verdict.figure("expired", states["expired"])
    lost = [f"job {job} ({key}) is not in the database" for key, job in notes.accepted.items()
            if job not in found.jobs]  # fmt: skip
    lost += [f"job {job.id} is still {job.state}" for job in found.jobs.values() if job.state not in ENDED]
    verdict.must_be_none("lost", lost)
    known = set(notes.accepted.values())
    verdict.must_be_none(
        "jobs that nobody was told of", [f"job {job}" for job in found.jobs if job not in known]
    )
    marks = Counter(graph.split('"filename_prefix":"')[1].split('"')[0] for graph in found.graphs.values())
    verdict.must_be_none("made twice", [f"{mark}: {n} jobs" for mark, n in marks.items() if n > 1])
    lies = list(notes.changed_mind)
    lies += [
        f"job {job} was told to be {status}, it is {found.jobs[job].state}"
        for job, status in notes.seen_ended.items()
        if job in found.jobs and found.jobs[job].state != status
    ]
    verdict.must_be_none("told otherwise than it was", lies)
    wanted = {job: graph.count('"SaveImage"') for job, graph in found.graphs.items()}
    short = [
        f"job {job.id} delivered {found.outputs_of.get(job.id, 0)} of {wanted[job.id]} outputs"
        for job in found.jobs.values()
        if job.state == "succeeded" and found.outputs_of.get(job.id, 0) != wanted[job.id]
    ]
    verdict.must_be_none("succeeded without every output", short)


def _money(verdict: Verdict, found: Evidence, given: Given) -> None:
    by_job: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in found.entries:
        if entry.job_id is not None:
            by_job[entry.job_id][entry.kind] += 1
    twice = [
        f"job {job}: {dict(kinds)}"
        for job, kinds in by_job.items()
        if kinds["capture"] > 1 or kinds["hold"] > 1 or (kinds["capture"] and kinds["release"])
    ]
    verdict.must_be_none("charged twice", twice)
    verdict.must_be_none(
        "refunded twice",
        [f"job {job}: {dict(kinds)}" for job, kinds in by_job.items() if kinds["release"] > 1],
    )
    unfair = []
    for job in found.jobs.values():
        wanted = {} if not job.price else {"hold": 1, "capture" if job.state == "succeeded" else "release": 1}
        if job.state in ENDED and dict(by_job[job.id]) != wanted:
            unfair.append(f"job {job.id} is {job.state}, price {job.price}: {dict(by_job[job.id])}")
    verdict.must_be_none("ended with other entries than it should", unfair)
    held = [f"job {job.id}: {job.hold}" for job in found.jobs.values() if job.hold == "placed"]
    held += [f"account {one.name} holds {one.held}" for one in found.accounts if one.held]
    verdict.must_be_none("open holds", held)
    names = {one.id: one.name for one in found.accounts}
    granted = Counter((e.reason, names[e.account_id], e.amount) for e in found.entries if e.kind == "grant")
    wrong = [
        f"{reason}: {granted[reason, name, amount]} times"
        for reason, (name, amount) in given.notes.top_ups.items()
        if granted[reason, name, amount] != 1
    ]
    verdict.must_be_none("top-ups not made exactly once", wrong)


def _runs(verdict: Verdict, found: Evidence, given: Given) -> None:
    foreign = set(given.foreign)
    lines = [line for journal in found.journals.values() for line in journal]
    runs = Counter(line.prompt_id for line in lines if line.kind == "started")
    causes: Counter[str] = Counter()
    bugs = []
    for prompt_id, times in runs.items():
        attempt = found.attempt_of_prompt.get(prompt_id)
        if attempt is None:
            if prompt_id not in foreign:
                bugs.append(f"prompt {prompt_id} ran and belongs to no attempt")
            continue
        unanswered = _runs_of_processes_that_died(found, prompt_id) if times > 1 else 0
        if times - unanswered > 1:
            bugs.append(f"prompt {prompt_id} of job {attempt.job_id} ran {times} times")
        if unanswered:
            causes["the server died before it answered; its next process knew nothing"] += unanswered
        if attempt.outcome == "lost":
            causes[_plain(attempt.cause)] += 1
    verdict.figure("runs of ours", sum(times for prompt, times in runs.items() if prompt not in foreign))
    verdict.figure("reruns", sum(causes.values()))
    for cause, times in causes.most_common():
        verdict.figure(f"  {cause[:72]}", times)
    verdict.must_be_none("runs that no attempt explains", bugs)
    verdict.figure("foreign prompts", len(foreign))
    verdict.figure("  of them run", sum(1 for prompt in foreign if runs[prompt]))
    verdict.must_be_none("foreign prompts touched", list(_touched(lines, foreign)))
    verdict.must_be_none("foreign prompts that vanished", list(_vanished(found, foreign)))


def _runs_of_processes_that_died(found: Evidence, prompt_id: str) -> int:
    """How often the prompt ran in a process of its server that was killed, and was sent again to the next.

    Only a server's later process can explain a second run: whoever looks a prompt up in the process that ran
    it finds it.
    """
    again = 0
    for journal in found.journals.values():
        process = 0
        ran_in: int | None = None
        for line in journal:
            if line.kind == "process-started":
                process += 1
            elif line.kind == "started" and line.prompt_id == prompt_id:
                again += ran_in is not None and ran_in != process
                ran_in = process
    return again


def _touched(lines: Sequence[Line], foreign: set[str]) -> Iterator[str]:
    for line in lines:
        by_us = line.agent != AGENT
        if by_us and line.prompt_id in foreign and line.kind in _TOUCHES:
            yield f"{line.prompt_id} was {line.kind} on {line.server} by {line.agent!r}"


def _vanished(found: Evidence, foreign: set[str]) -> Iterator[str]:
    """Accepted by a server that lived on, and never finished there."""
    for server, lines in found.journals.items():
        waiting: set[str] = set()
        for line in lines:
            if line.kind in {"process-started", "restarted"}:
                waiting.clear()
            elif line.prompt_id in foreign and line.kind == "received":
                waiting.add(line.prompt_id)
            elif line.kind == "finished":
                waiting.discard(line.prompt_id)
        for prompt_id in waiting:
            yield f"{prompt_id} was received by {server} and never finished"


def _slots(found: Evidence, slots: Mapping[str, int]) -> Iterator[str]:
    """More of ours on a server than its slots, from the order of its own journal."""
    for server, lines in found.journals.items():
        ours: list[str] = []
        for line in lines:
            if line.kind in {"process-started", "restarted"}:
                ours.clear()
            elif line.prompt_id in found.attempt_of_prompt:
                if line.kind == "received":
                    ours.append(line.prompt_id)
                    if len(ours) > slots[server]:
                        yield f"{server} had {len(ours)} of ours at {line.at_ms}: {', '.join(ours)}"
                elif line.kind in {"finished", "dequeued"} and line.prompt_id in ours:
                    ours.remove(line.prompt_id)


def _take_over(verdict: Verdict, found: Evidence, deaths: Sequence[Death]) -> None:
    """From a gateway's death until every attempt that it had in hand was taken up, or ended, by another."""
    said: dict[str, list[tuple[int, str, str, int]]] = defaultdict(list)
    for one in found.said:
        said[one.job].append((one.at_ms, one.process, one.event, one.attempt))
    ended = {(one.job_id, one.number): one.ended_at_ms for one in found.attempts}
    seconds: list[float] = []
    for death in deaths:
        process = f"{death.name}.{death.life:03}"
        taken = []
        for job, lines in said.items():
            before = [line for line in lines if line[0] <= death.at_ms]
            if not before or before[-1][1] != process or before[-1][2] == "attempt.settled":
                continue
            attempt = before[-1][3]
            end = ended.get((job, attempt))
            after = [line[0] for line in lines if line[0] > death.at_ms and line[1] != process]
            after += [end] if end is not None and end > death.at_ms else []
            if end is None or end > death.at_ms:
                taken.append(min(after, default=2**62))
        if taken:
            seconds.append((max(taken) - death.at_ms) / 1000)
    verdict.figure("gateways killed with work in hand", len(seconds))
    shown = f"{median(seconds):.2f}, {max(seconds):.2f}" if seconds else "-"
    verdict.figure("seconds to take over (median, max)", shown)


def _plain(cause: str) -> str:
    """A cause without its numbers and addresses, so that alike ones count together."""
    first = cause.strip().splitlines()[0] if cause.strip() else "no cause"
    return re.sub(r"\d+(\.\d+)?", "N", re.sub(r"https?://\S+", "ADDRESS", first))
