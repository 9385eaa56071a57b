"""Settling: an outcome becomes job state, ledger entries, outputs and outbox rows, once, behind the fence.

Every write here matches job, attempt and state; zero rows is an outcome with a name (`Settled.STALE`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from comfygate.domain.blame import CONSEQUENCES, Blame, Decision, decide, sentence_of
from comfygate.domain.credits import EntryKind, HoldState
from comfygate.domain.job import (
    Canceled,
    Failed,
    Fence,
    JobError,
    JobState,
    Lost,
    Outcome,
    Succeeded,
    state_after,
)
from comfygate.store import etas, ledger
from comfygate.store.assets import record_output
from comfygate.store.fit import other_server_for, quarantine_pair
from comfygate.store.jobs import job_row
from comfygate.store.outbox import tell
from comfygate.store.prepared import Prepared
from comfygate.store.rows import JobRow, NewOutput, Screening
from comfygate.store.run_times import learn_run, learn_sample
from comfygate.store.screening import record_screening
from comfygate.store.tables import IN_FLIGHT, attempts, jobs, servers

_NO_MORE = Decision(again=False, elsewhere=False)

_JOB = Prepared(
    select(jobs)
    .where(
        jobs.c.id == bindparam("of_job"),
        jobs.c.attempt == bindparam("of_number"),
        IN_FLIGHT,
    )
    .with_for_update()
)
_THIS_ONE = (
    attempts.c.job_id == bindparam("of_job"),
    attempts.c.number == bindparam("of_number"),
    attempts.c.ended_at_ms.is_(None),
)
_MINE = Prepared(
    select(attempts.c.server, attempts.c.claimed_at_ms, attempts.c.started_at_ms, servers.c.ahead)
    .outerjoin(servers, servers.c.name == attempts.c.server)
    .where(*_THIS_ONE)
)
_ENDED = Prepared(
    update(attempts)
    .where(*_THIS_ONE)
    .values({name: bindparam(name) for name in ("ended_at_ms", "outcome", "cause", "blame", "elsewhere")})
)
_EARLIER = Prepared(
    select(attempts.c.blame)
    .where(attempts.c.job_id == bindparam("of_job"), attempts.c.number < bindparam("of_number"))
    .order_by(attempts.c.number)
)


def _moved(*columns: str) -> Prepared:
    """Moves a job from `was`, with values for these columns."""
    return Prepared(
        update(jobs)
        .where(
            jobs.c.id == bindparam("of_job"),
            jobs.c.attempt == bindparam("of_number"),
            jobs.c.state == bindparam("was"),
        )
        .values({name: bindparam(name) for name in ("state", "cause", *columns)})
    )


_BACK = _moved()
_OVER = _moved("hold", "completed_at_ms", "expires_at_ms")
_FAILED = _moved("hold", "completed_at_ms", "expires_at_ms", "error")


class Settled(Enum):
    """What came of a settling write."""

    DONE = "done"
    STALE = "stale"
    """Zero rows matched: the attempt is an old one or was settled before. Nothing was changed."""


def settle(
    conn: Connection,
    fence: Fence,
    outcome: Outcome,
    *,
    outputs: Sequence[NewOutput] = (),
    attempts_max: int,
    results_seconds: int,
    now_ms: int,
    pair_quarantine_ms: int = 0,
    screening: Screening | None = None,
) -> Settled:
    """Turn an outcome into what it means, once.

    The table of blame decides whether the job goes back in its lane, under its old ticket. A workflow that
    hung is kept off the server for `pair_quarantine_ms`.
    """
    this = {"of_job": fence.job_id, "of_number": fence.attempt}
    row = _JOB.one(conn, this)
    if row is None:
        return Settled.STALE
    job = job_row(row)
    mine = _MINE.one(conn, this)
    if mine is None:
        return Settled.STALE
    blame = outcome.blame if isinstance(outcome, Failed | Lost) else None
    if blame is not None and CONSEQUENCES[blame].quarantine_pair:
        quarantine_pair(conn, job.workflow, mine.server, _cause(outcome), now_ms + pair_quarantine_ms)
    decision = _NO_MORE if blame is None else _decided(conn, job, mine, blame, attempts_max, now_ms)
    _end_attempt(conn, fence, outcome, decision, now_ms)
    after = state_after(job.state, outcome, may_run_again=decision.again)
    if after is JobState.QUEUED:
        _move(conn, _BACK, job, after, {"cause": _cause(outcome)})
        tell(conn, job, "job.queued", {"again": True}, now_ms)
        return Settled.DONE
    _end_job(conn, job, after, outcome, results_seconds, now_ms)
    expires_at_ms = now_ms + results_seconds * 1000
    if screening is not None:
        failed = after is JobState.FAILED
        record_screening(conn, job, screening, expires_at_ms, now_ms, failed=failed)
    if after is JobState.SUCCEEDED:
        for position, output in enumerate(outputs):
            record_output(conn, job, output, position, now_ms, expires_at_ms)
        learn_run(conn, job.workflow, now_ms - (mine.started_at_ms or mine.claimed_at_ms), now_ms)
        learn_sample(conn, etas.kind_of(job), mine.server, now_ms - _busy_since(mine), now_ms)
        etas.judge(conn, job.id, now_ms)
    tell(
        conn,
        job,
        f"job.{after}",
        {"refunded": 0 if after is JobState.SUCCEEDED else job.price},
        now_ms,
    )
    return Settled.DONE


def _busy_since(mine: Any) -> int:
    """Since when the attempt kept its slot busy: where prompts wait for one another, not since its claim."""
    began: int | None = mine.started_at_ms if mine.ahead else None
    return began or int(mine.claimed_at_ms)


def _decided(
    conn: Connection, job: JobRow, mine: Any, blame: Blame, attempts_max: int, now_ms: int
) -> Decision:
    """What the table of blame says, given the job's earlier attempts and the other servers of its lane."""
    earlier = _EARLIER.rows(conn, {"of_job": job.id, "of_number": job.attempt})
    before = [None if row.blame is None else Blame(row.blame) for row in earlier]
    other = other_server_for(conn, job, besides=mine.server, now_ms=now_ms)
    return decide(blame, before, attempts_max=attempts_max, other_server=other)


def _end_attempt(conn: Connection, fence: Fence, outcome: Outcome, decision: Decision, now_ms: int) -> None:
    blame = outcome.blame if isinstance(outcome, Failed | Lost) else None
    values = {
        "of_job": fence.job_id,
        "of_number": fence.attempt,
        "ended_at_ms": now_ms,
        "outcome": type(outcome).__name__.lower(),
        "cause": _cause(outcome),
        "blame": None if blame is None else blame.value,
        "elsewhere": decision.again and decision.elsewhere,
    }
    _ENDED.count(conn, values)


def _end_job(
    conn: Connection, job: JobRow, after: JobState, outcome: Outcome, results_seconds: int, now_ms: int
) -> None:
    paid = after is JobState.SUCCEEDED
    hold = HoldState.NONE if not job.price else HoldState.CAPTURED if paid else HoldState.RELEASED
    values: dict[str, object] = {
        "hold": hold.value,
        "completed_at_ms": now_ms,
        "expires_at_ms": now_ms + results_seconds * 1000,
        "cause": _cause(outcome),
    }
    if after is JobState.FAILED:
        values["error"] = json.dumps(_why(outcome).to_json())
    _move(conn, _FAILED if after is JobState.FAILED else _OVER, job, after, values)
    if job.price:
        kind = EntryKind.CAPTURE if paid else EntryKind.RELEASE
        ledger.settle_hold(conn, kind, job.account_id, job.id, job.price, f"job {after}", now_ms)


def _move(
    conn: Connection, moved: Prepared, job: JobRow, after: JobState, values: Mapping[str, object]
) -> None:
    this = {"of_job": job.id, "of_number": job.attempt, "was": job.state.value}
    moved.count(conn, {**this, "state": after.value, **values})


def _cause(outcome: Outcome) -> str:
    return outcome.cause if isinstance(outcome, Failed | Lost) else ""


def _why(outcome: Outcome) -> JobError:
    """What the user of a failed job reads."""
    match outcome:
        case Failed(error=error):
            return error
        case Lost(blame=blame):
            return JobError(CONSEQUENCES[blame].code, sentence_of(blame))
        case Canceled() | Succeeded():
            return JobError("interrupted", "The job was stopped on the server by somebody else.")
