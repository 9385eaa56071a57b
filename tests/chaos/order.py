"""I4 from what is left behind: did a job start while one before it, in its lane, was certainly queued?

Rows are stamped before their transaction begins, so a stamp alone proves little. Proven is: the earlier job
was known to be queued (its caller had the answer, or the settling that put it back was logged) before the
later one's claim was stamped, and it was claimed or ended, by stamp, only after that claim was logged or its
prompt had reached a server. A job is not held against a server that it was on before, which may be avoided,
nor once its cancel was asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.chaos.callers import Notes
from tests.chaos.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Waiting:
    """A time in which a job was queued for certain, both ends in milliseconds of the machine's clock."""

    since_ms: int
    until_ms: int
    rank: tuple[int, int]
    job_id: str


def order_violations(found: Evidence, notes: Notes) -> list[str]:
    """Every start that went past a job before it."""
    waits: dict[str, list[Waiting]] = defaultdict(list)
    for job_id, job in found.jobs.items():
        for waiting in _waits(found, job_id, notes):
            waits[job.lane].append(waiting)
    claims: dict[str, list[tuple[int, int, Any]]] = defaultdict(list)
    done_by = _claimed_by_ms(found)
    for attempt in found.attempts:
        end = done_by.get(attempt.prompt_id)
        if end is not None:
            claims[found.jobs[attempt.job_id].lane].append((attempt.claimed_at_ms, end, attempt))
    return [line for lane, made in claims.items() for line in _overtaken(found, made, waits[lane])]


def _overtaken(found: Evidence, claims: list[tuple[int, int, Any]], waits: list[Waiting]) -> Iterator[str]:
    waits.sort(key=lambda one: one.since_ms)
    claims.sort(key=lambda one: one[0])
    open_: list[Waiting] = []
    position = 0
    for stamped, done, attempt in claims:
        while position < len(waits) and waits[position].since_ms < stamped:
            open_.append(waits[position])
            position += 1
        open_ = [one for one in open_ if one.until_ms > stamped]
        job = found.jobs[attempt.job_id]
        rank = (job.priority, job.ticket)
        for one in open_:
            if one.rank < rank and one.until_ms > done and not _was_on(found, one.job_id, attempt):
                yield (
                    f"job {attempt.job_id} {rank} was claimed for {attempt.server} at {stamped} (by {done}) "
                    f"while job {one.job_id} {one.rank} waited from {one.since_ms} to {one.until_ms}"
                )
                break


def _waits(found: Evidence, job_id: str, notes: Notes) -> Iterator[Waiting]:
    job = found.jobs[job_id]
    rank = (job.priority, job.ticket)
    tries = found.attempts_of_job.get(job_id, [])
    ends = [one.claimed_at_ms for one in tries] + [job.completed_at_ms or 2**62]
    # Being canceled, it need not start; its row may be locked by that, and passed over.
    asked = notes.cancel_asked_at_ms.get(job_id, 2**62)
    ends = [min(one, asked) for one in ends]
    if job_id in notes.known_at_ms:
        yield Waiting(notes.known_at_ms[job_id], ends[0], rank, job_id)
    settled = (
        {one.attempt: one.at_ms for one in found.said if one.job == job_id and one.event == "attempt.settled"}
        if len(tries) > 1
        else {}
    )
    for one, end in zip(tries, ends[1:], strict=True):
        if one.outcome == "lost" and one.number in settled:
            yield Waiting(settled[one.number], end, rank, job_id)


def _claimed_by_ms(found: Evidence) -> dict[str, int]:
    """By prompt_id, a time at which its claim had been committed for certain."""
    by: dict[str, int] = {}
    for lines in found.journals.values():
        for line in lines:
            if line.kind == "received":
                by.setdefault(line.prompt_id, line.at_ms)
    logged = {
        (one.job, one.attempt): one.at_ms for one in reversed(found.said) if one.event == "attempt.claimed"
    }
    for attempt in found.attempts:
        at = logged.get((attempt.job_id, attempt.number))
        if at is not None:
            by[attempt.prompt_id] = min(at, by.get(attempt.prompt_id, at))
    return by


def _was_on(found: Evidence, job_id: str, claimed: Any) -> bool:
    """Whether the job had been on the server that claimed another, before that."""
    return any(
        one.server == claimed.server and one.claimed_at_ms < claimed.claimed_at_ms
        for one in found.attempts_of_job.get(job_id, [])
    )
