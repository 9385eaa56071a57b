"""Attempts: claim, start, renew, take over, settle; every settling write fenced by (job, attempt, state)."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, cast, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.domain.credits import EntryKind, HoldState
from comfygate.domain.errors import Conflict
from comfygate.domain.job import (
    IN_FLIGHT,
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
from comfygate.domain.retry import may_run_again
from comfygate.store import ledger
from comfygate.store.assets import record_output
from comfygate.store.jobs import get_graph, get_job, inputs_of, job_row
from comfygate.store.outbox import tell
from comfygate.store.rows import AttemptRow, ClaimedAttempt, JobRow, NewOutput
from comfygate.store.tables import IS_QUEUED, attempts, jobs

_IN_FLIGHT = [state.value for state in sorted(IN_FLIGHT)]


@dataclass(frozen=True, slots=True)
class Slot:
    """One unit of a server's capacity, and the lanes it may take jobs from."""

    server: str
    number: int
    lanes: tuple[str, ...]


def lease_clock(conn: Connection, now_ms: int) -> ColumnElement[int]:
    """Now, as leases count it: the database's own clock where several machines share it, else ours."""
    if conn.dialect.name == "postgresql":
        return cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    return literal(now_ms, BigInteger)


def claim(
    conn: Connection, slot: Slot, *, owner: str, prompt_id: str, lease_ms: int, now_ms: int
) -> ClaimedAttempt | None:
    """Give the slot the first job in order that its server may run; None if there is none.

    Number, prompt_id and lease are written before anything is sent. The database refuses a second open
    attempt on the slot, whatever two gateways believe: that raises Conflict, and nothing is written.
    """
    head = _head_of_lanes(conn, slot.lanes)
    if head is None:
        return None
    taken = conn.execute(
        update(jobs)
        .where(jobs.c.ticket == head.ticket, jobs.c.state == "queued")
        .values(state=JobState.CLAIMED.value, attempt=jobs.c.attempt + 1)
    )
    if taken.rowcount == 0:
        return None
    job = get_job(conn, head.id)
    try:
        conn.execute(
            insert(attempts).values(
                job_id=job.id,
                number=job.attempt,
                prompt_id=prompt_id,
                server=slot.server,
                slot=slot.number,
                owner=owner,
                lease_until_at_ms=lease_clock(conn, now_ms) + lease_ms,
                claimed_at_ms=now_ms,
            )
        )
    except IntegrityError as error:
        raise Conflict(f"slot {slot.number} of server {slot.server} is taken") from error
    tell(conn, job, "job.claimed", {}, now_ms)
    return _claimed(conn, job, prompt_id, slot.server, slot.number, adopted=False)


def _head_of_lanes(conn: Connection, lanes: Sequence[str]) -> Row[tuple[int, int, str]] | None:
    """The best of the lanes' first jobs. Only the winner is locked, so no other lane's head is skipped.

    A lane whose queued jobs are all being taken by others is passed over for the next best.
    """
    heads: list[tuple[int, int, str]] = []
    for lane in lanes:
        row = conn.execute(_first_in(lane)).one_or_none()
        if row is not None:
            heads.append((row.priority, row.ticket, lane))
    for _priority, _ticket, lane in sorted(heads):
        taken = conn.execute(_first_in(lane).with_for_update(skip_locked=True)).one_or_none()
        if taken is not None:
            return taken
    return None


def _first_in(lane: str):  # type: ignore[no-untyped-def]  # a select
    return (
        select(jobs.c.priority, jobs.c.ticket, jobs.c.id)
        .where(jobs.c.lane == lane, IS_QUEUED)
        .order_by(jobs.c.priority, jobs.c.ticket)
        .limit(1)
    )


def _claimed(
    conn: Connection, job: JobRow, prompt_id: str, server: str, slot: int, *, adopted: bool
) -> ClaimedAttempt:
    return ClaimedAttempt(
        fence=job.fence,
        account_id=job.account_id,
        lane=job.lane,
        state=job.state,
        prompt_id=prompt_id,
        server=server,
        slot=slot,
        graph=get_graph(conn, job.id),
        inputs=inputs_of(conn, job.id),
        adopted=adopted,
    )


def take_over(
    conn: Connection,
    server: str,
    *,
    owner: str,
    lease_ms: int,
    now_ms: int,
    at_once: bool,
    driven: Collection[str] | None = None,
) -> list[ClaimedAttempt]:
    """Make the server's orphaned attempts ours, to be reconciled.

    `at_once`: whoever had them is known dead. `driven`: prompts that this process drives; any other open
    attempt of ours is an orphan too, one whose claim was committed and not heard of. None: all of ours.
    """
    clock = lease_clock(conn, now_ms)
    # A lapsed lease of ours has its driver still.
    orphaned = attempts.c.owner != owner
    if not at_once:
        orphaned &= attempts.c.lease_until_at_ms < clock
    if driven is not None:
        orphaned |= (attempts.c.owner == owner) & attempts.c.prompt_id.not_in(driven)
    query = (
        select(attempts)
        .where(attempts.c.server == server, attempts.c.ended_at_ms.is_(None), orphaned)
        .with_for_update(skip_locked=True)
    )
    adopted = []
    for row in conn.execute(query).all():
        conn.execute(
            update(attempts)
            .where(attempts.c.job_id == row.job_id, attempts.c.number == row.number)
            .values(owner=owner, lease_until_at_ms=clock + lease_ms)
        )
        job = get_job(conn, row.job_id)
        adopted.append(_claimed(conn, job, row.prompt_id, row.server, row.slot, adopted=True))
    return adopted


def open_slots(conn: Connection, server: str) -> set[int]:
    """Numbers of the server's slots that an open attempt holds, whoever owns it."""
    query = select(attempts.c.slot).where(attempts.c.server == server, attempts.c.ended_at_ms.is_(None))
    return set(conn.execute(query).scalars())


def given_up(conn: Connection, server: str, prompt_ids: Collection[str]) -> set[str]:
    """Those of these prompts, found on the server, whose attempt there has ended."""
    query = select(attempts.c.prompt_id).where(
        attempts.c.server == server, attempts.c.prompt_id.in_(prompt_ids), attempts.c.ended_at_ms.is_not(None)
    )
    return set(conn.execute(query).scalars())


def renew(conn: Connection, owner: str, lease_ms: int, now_ms: int) -> int:
    """Renew the leases of all open attempts of `owner`. Returns how many."""
    return conn.execute(
        update(attempts)
        .where(attempts.c.owner == owner, attempts.c.ended_at_ms.is_(None))
        .values(lease_until_at_ms=lease_clock(conn, now_ms) + lease_ms)
    ).rowcount


def canceling_of(conn: Connection, owner: str) -> list[str]:
    """Jobs that `owner` drives and whose cancel was asked for, perhaps of another process."""
    query = (
        select(jobs.c.id)
        .join(attempts, (attempts.c.job_id == jobs.c.id) & (attempts.c.number == jobs.c.attempt))
        .where(attempts.c.owner == owner, attempts.c.ended_at_ms.is_(None), jobs.c.state == "canceling")
    )
    return list(conn.execute(query).scalars())


def still_ours(conn: Connection, fence: Fence, owner: str) -> JobState | None:
    """The job's state if this attempt is open and ours, else None. Asked right before a prompt is sent."""
    state = conn.execute(
        select(jobs.c.state)
        .join(attempts, (attempts.c.job_id == jobs.c.id) & (attempts.c.number == jobs.c.attempt))
        .where(
            jobs.c.id == fence.job_id,
            jobs.c.attempt == fence.attempt,
            attempts.c.owner == owner,
            attempts.c.ended_at_ms.is_(None),
        )
    ).scalar()
    return None if state is None else JobState(state)


def mark_started(conn: Connection, fence: Fence, now_ms: int) -> bool:
    """ComfyUI began this attempt. False, and nothing written, if the attempt no longer counts."""
    # The job before the attempt, as in `settle`: two that lock in different orders wait for each other.
    conn.execute(select(jobs.c.ticket).where(jobs.c.id == fence.job_id).with_for_update())
    started = conn.execute(
        update(attempts)
        .where(
            attempts.c.job_id == fence.job_id,
            attempts.c.number == fence.attempt,
            attempts.c.ended_at_ms.is_(None),
            attempts.c.started_at_ms.is_(None),
        )
        .values(started_at_ms=now_ms)
    )
    if started.rowcount == 0:
        return False
    moved = conn.execute(
        update(jobs)
        .where(jobs.c.id == fence.job_id, jobs.c.attempt == fence.attempt, jobs.c.state == "claimed")
        .values(state=JobState.RUNNING.value, started_at_ms=func.coalesce(jobs.c.started_at_ms, now_ms))
    )
    if moved.rowcount:
        tell(conn, get_job(conn, fence.job_id), "job.running", {}, now_ms)
    return True


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
) -> Settled:
    """Turn an outcome into job state, ledger entries, outputs and outbox rows, once, behind the fence."""
    row = conn.execute(
        select(jobs)
        .where(
            jobs.c.id == fence.job_id,
            jobs.c.attempt == fence.attempt,
            jobs.c.state.in_(_IN_FLIGHT),
        )
        .with_for_update()
    ).one_or_none()
    if row is None:
        return Settled.STALE
    job = job_row(row)
    if not _end_attempt(conn, fence, outcome, now_ms):
        return Settled.STALE
    after = state_after(job.state, outcome, may_run_again=may_run_again(job.attempt, attempts_max))
    if after is JobState.QUEUED:
        _move(conn, job, after, {"cause": _cause(outcome)})
        tell(conn, get_job(conn, job.id), "job.queued", {"again": True}, now_ms)
        return Settled.DONE
    _end_job(conn, job, after, outcome, results_seconds, now_ms)
    if after is JobState.SUCCEEDED:
        for position, output in enumerate(outputs):
            record_output(conn, job, output, position, now_ms, now_ms + results_seconds * 1000)
    tell(
        conn,
        get_job(conn, job.id),
        f"job.{after}",
        {"refunded": 0 if after is JobState.SUCCEEDED else job.price},
        now_ms,
    )
    return Settled.DONE


def _end_attempt(conn: Connection, fence: Fence, outcome: Outcome, now_ms: int) -> bool:
    ended = conn.execute(
        update(attempts)
        .where(
            attempts.c.job_id == fence.job_id,
            attempts.c.number == fence.attempt,
            attempts.c.ended_at_ms.is_(None),
        )
        .values(ended_at_ms=now_ms, outcome=type(outcome).__name__.lower(), cause=_cause(outcome))
    )
    return ended.rowcount == 1


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
    _move(conn, job, after, values)
    if job.price:
        kind = EntryKind.CAPTURE if paid else EntryKind.RELEASE
        ledger.settle_hold(conn, kind, job.account_id, job.id, job.price, f"job {after}", now_ms)


def _move(conn: Connection, job: JobRow, after: JobState, values: dict[str, object]) -> None:
    conn.execute(
        update(jobs)
        .where(jobs.c.id == job.id, jobs.c.attempt == job.attempt, jobs.c.state == job.state.value)
        .values(state=after.value, **values)
    )


def _cause(outcome: Outcome) -> str:
    return outcome.cause if isinstance(outcome, Failed | Lost) else ""


def _why(outcome: Outcome) -> JobError:
    """What the user of a failed job reads."""
    match outcome:
        case Failed(error=error):
            return error
        case Lost():
            return JobError("server_lost", "The server lost this job more often than it may be tried again.")
        case Canceled() | Succeeded():
            return JobError("interrupted", "The job was stopped on the server by somebody else.")


def list_attempts(conn: Connection, job_id: str) -> list[AttemptRow]:
    """The job's attempts, oldest first."""
    return [
        AttemptRow(
            number=row.number,
            prompt_id=row.prompt_id,
            server=row.server,
            slot=row.slot,
            claimed_at_ms=row.claimed_at_ms,
            started_at_ms=row.started_at_ms,
            ended_at_ms=row.ended_at_ms,
            outcome=row.outcome,
            cause=row.cause,
        )
        for row in conn.execute(
            select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number)
        )
    ]
