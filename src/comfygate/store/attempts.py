"""Attempts while they are open: claim, start, renew, take over, let go; settling is `store/settle.py`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache

from sqlalchemy import BigInteger, Connection, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.domain.blame import Blame
from comfygate.domain.errors import Conflict
from comfygate.domain.job import Fence, JobState
from comfygate.store import leases as leases_store
from comfygate.store import turns
from comfygate.store.clock import clock_of, lease_clock
from comfygate.store.fit import Taste, first_for
from comfygate.store.jobs import get_job, inputs_of, job_row
from comfygate.store.outbox import tell
from comfygate.store.prepared import Prepared
from comfygate.store.rows import AttemptRow, ClaimedAttempt, JobRow
from comfygate.store.run_times import USUAL
from comfygate.store.tables import HOLDS_SLOT, attempts, job_graphs, jobs

_TAKE = Prepared(
    update(jobs)
    .where(jobs.c.ticket == bindparam("mine"), jobs.c.state == "queued")
    .values(state=JobState.CLAIMED.value, attempt=jobs.c.attempt + 1)
    .returning(*jobs.c)
)
_LEAVE = Prepared(
    update(attempts)
    .where(attempts.c.job_id == bindparam("of_job"), attempts.c.number == bindparam("of_number"), HOLDS_SLOT)
    .values(left_at_ms=bindparam("now_ms"))
)
_HELD = Prepared(
    select(attempts.c.slot, attempts.c.job_id, attempts.c.number).where(
        attempts.c.server == bindparam("server"), HOLDS_SLOT
    )
)
_GRAPH = Prepared(
    select(job_graphs.c.graph, USUAL.scalar_subquery().label("usual_ms")).where(
        job_graphs.c.job_id == bindparam("job_id")
    )
)
_LOCKED = Prepared(select(jobs.c.ticket).where(jobs.c.id == bindparam("job_id")).with_for_update())
_BEGAN = Prepared(
    update(attempts)
    .where(
        attempts.c.job_id == bindparam("of_job"),
        attempts.c.number == bindparam("of_number"),
        attempts.c.ended_at_ms.is_(None),
        attempts.c.started_at_ms.is_(None),
    )
    .values(started_at_ms=bindparam("now_ms"))
)
_RUNS = Prepared(
    update(jobs)
    .where(
        jobs.c.id == bindparam("of_job"), jobs.c.attempt == bindparam("of_number"), jobs.c.state == "claimed"
    )
    .values(
        state=JobState.RUNNING.value, started_at_ms=func.coalesce(jobs.c.started_at_ms, bindparam("now_ms"))
    )
    .returning(*jobs.c)
)


@cache
def _open(dialect: str) -> Prepared:
    until = clock_of(dialect) + bindparam("lease_ms", type_=BigInteger)
    return Prepared(
        insert(attempts)
        .values(
            job_id=bindparam("job_id"),
            number=bindparam("number"),
            prompt_id=bindparam("prompt_id"),
            server=bindparam("server"),
            slot=bindparam("slot"),
            owner=bindparam("owner"),
            lease_until_at_ms=until,
            claimed_at_ms=bindparam("now_ms"),
        )
        .inline()
    )


@dataclass(frozen=True, slots=True)
class Slot:
    """One unit of a server's capacity, and the lanes it may take jobs from."""

    server: str
    number: int
    lanes: tuple[str, ...]


def claim(
    conn: Connection,
    slot: Slot,
    *,
    owner: str,
    prompt_id: str,
    lease_ms: int,
    now_ms: int,
    under_lease: str | None = None,
    taste: Taste | None = None,
    left: Collection[Fence] = (),
) -> ClaimedAttempt | None:
    """Give the slot the first job in order that its server may run; None if there is none.

    Number, prompt_id and lease are written before anything is sent. Raises Conflict, with nothing written,
    when the slot has an open attempt, whatever two gateways believe, and when `owner` no longer holds the
    lease named `under_lease` (a server has one owner at a time; None: nobody else can be there). `left`: open
    attempts whose prompts are no longer on the server; they give their slots up in the same transaction.
    """
    if under_lease is not None and not leases_store.holds(conn, under_lease, owner, now_ms):
        raise Conflict(f"server {slot.server} belongs to another replica")
    if slot.number in open_slots(conn, slot.server, besides=left):
        # Found before a job is locked: a claim that is undone has made others pass over its job (I4).
        raise Conflict(f"slot {slot.number} of server {slot.server} is taken")
    taste = Taste() if taste is None else taste
    head = first_for(conn, slot.server, slot.lanes, now_ms, taste)
    if head is None:
        return None
    taken = _TAKE.one(conn, {"mine": head.ticket})
    if taken is None:
        return None
    job = job_row(taken)
    turns.began(conn, head.lane, head.priority, head.share)
    if taste.limits.get(head.lane):
        turns.count_overtake(conn, head.lane, head.priority, head.ticket)
    for fence in left:
        leave(conn, fence, now_ms)
    open_attempt(conn, job, slot, prompt_id, owner, lease_ms, now_ms)
    return claimed_attempt(conn, job, prompt_id, slot.server, slot.number, adopted=False)


def open_attempt(
    conn: Connection, job: JobRow, slot: Slot, prompt_id: str, owner: str, lease_ms: int, now_ms: int
) -> None:
    """Write down that the slot has the claimed job, and tell it. Raises Conflict if it has another."""
    try:
        _open(conn.dialect.name).count(
            conn,
            {
                "job_id": job.id,
                "number": job.attempt,
                "prompt_id": prompt_id,
                "server": slot.server,
                "slot": slot.number,
                "owner": owner,
                "lease_ms": lease_ms,
                "now_ms": now_ms,
                "clock": now_ms,
            },
        )
    except IntegrityError as error:
        raise Conflict(f"slot {slot.number} of server {slot.server} is taken") from error
    tell(conn, job, "job.claimed", {}, now_ms)


def claimed_attempt(
    conn: Connection,
    job: JobRow,
    prompt_id: str,
    server: str,
    slot: int,
    *,
    adopted: bool,
    left: bool = False,
) -> ClaimedAttempt:
    """The job's present attempt with what is needed to drive it."""
    graph, usual_ms = _GRAPH.one(conn, {"job_id": job.id, "workflow": job.workflow})
    return ClaimedAttempt(
        fence=job.fence,
        account_id=job.account_id,
        lane=job.lane,
        state=job.state,
        prompt_id=prompt_id,
        server=server,
        slot=slot,
        graph=graph,
        inputs=inputs_of(conn, job.id),
        adopted=adopted,
        workflow=job.workflow,
        usual_ms=usual_ms,
        deliver=job.deliver,
        models=job.models,
        left=left,
        submitted_at_ms=job.created_at_ms,
    )


def take_over(
    conn: Connection,
    server: str,
    *,
    owner: str,
    lease_ms: int,
    now_ms: int,
    at_once: bool = False,
    under_lease: str | None = None,
    driven: Collection[str] | None = None,
) -> list[ClaimedAttempt]:
    """Make the server's orphaned attempts ours, to be reconciled: those whose lease ran out.

    `at_once`: whoever had them is known dead. `under_lease`: whoever holds this lease of the server has
    all of its attempts, whatever their own leases say; without it nothing is taken. `driven`: prompts that
    this process drives; any other open attempt of ours is an orphan too, one whose claim was committed and
    not heard of. None: all of ours.
    """
    if under_lease is not None:
        at_once = leases_store.holds(conn, under_lease, owner, now_ms)
        if not at_once:
            return []
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
        left = row.left_at_ms is not None
        adopted.append(
            claimed_attempt(conn, job, row.prompt_id, row.server, row.slot, adopted=True, left=left)
        )
    return adopted


def open_slots(conn: Connection, server: str, besides: Collection[Fence] = ()) -> set[int]:
    """Numbers of the server's slots that an open attempt holds, whoever owns it, but for those `besides`."""
    held = _HELD.rows(conn, {"server": server})
    return {row.slot for row in held if Fence(row.job_id, row.number) not in besides}


def leave(conn: Connection, fence: Fence, now_ms: int) -> None:
    """The attempt's prompt is no longer on its server: its slot may be given to the next."""
    _LEAVE.count(conn, {"of_job": fence.job_id, "of_number": fence.attempt, "now_ms": now_ms})


def renew(conn: Connection, owner: str, servers: Collection[str], lease_ms: int, now_ms: int) -> int:
    """Renew the leases of all open attempts of `owner` on these servers. Returns how many.

    On a server that is another's now nothing is renewed: its new owner has them to adopt.
    """
    return conn.execute(
        update(attempts)
        .where(attempts.c.owner == owner, attempts.c.server.in_(servers), attempts.c.ended_at_ms.is_(None))
        .values(lease_until_at_ms=lease_clock(conn, now_ms) + lease_ms)
    ).rowcount


def let_go(conn: Connection, owner: str) -> None:
    """End the leases of all open attempts of `owner`: it stops, and others need not wait for them to run
    out."""
    conn.execute(
        update(attempts)
        .where(attempts.c.owner == owner, attempts.c.ended_at_ms.is_(None))
        .values(lease_until_at_ms=0)
    )


def given_up(conn: Connection, server: str, prompt_ids: Collection[str]) -> set[str]:
    """Those of these prompts, found on the server, whose attempt there has ended."""
    query = select(attempts.c.prompt_id).where(
        attempts.c.server == server, attempts.c.prompt_id.in_(prompt_ids), attempts.c.ended_at_ms.is_not(None)
    )
    return set(conn.execute(query).scalars())


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
    _LOCKED.one(conn, {"job_id": fence.job_id})
    values = {"of_job": fence.job_id, "of_number": fence.attempt, "now_ms": now_ms}
    if _BEGAN.count(conn, values) == 0:
        return False
    if (moved := _RUNS.one(conn, values)) is not None:
        tell(conn, job_row(moved), "job.running", {}, now_ms)
    return True


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
            blame=None if row.blame is None else Blame(row.blame),
            elsewhere=row.elsewhere,
        )
        for row in conn.execute(
            select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number)
        )
    ]
