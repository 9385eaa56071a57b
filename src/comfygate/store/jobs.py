"""Jobs as their users see them: submit, look, cancel, expire."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Select,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    tuple_,
    update,
)

from comfygate.domain.credits import EntryKind, HoldState
from comfygate.domain.errors import Forbidden, NotFound
from comfygate.domain.job import JobError, JobState
from comfygate.domain.order import Tier, tier_named
from comfygate.domain.pricing import Charge, charge, day_of, may_be_free
from comfygate.store import ledger, turns
from comfygate.store.accounts import locked_account
from comfygate.store.admission import Depths, check_inputs, check_room
from comfygate.store.idempotency import claim_key
from comfygate.store.outbox import tell
from comfygate.store.prepared import Prepared
from comfygate.store.rows import JobInput, JobRow, NewJob
from comfygate.store.tables import IS_QUEUED, job_graphs, job_inputs, jobs

# Statements are built once: building one costs more than running it.
_NEW_JOB = Prepared(
    insert(jobs).returning(*jobs.c),
    [
        "id", "account_id", "lane", "priority", "state", "price", "base_price", "free_day", "hold",
        "created_at_ms", "queue_deadline_at_ms", "expires_at_ms", "workflow", "retry_of", "workflow_name",
        "style", "deliver", "share", "share_cost", "running_max", "models", "shape",
    ],
)  # fmt: skip
_NEW_GRAPH = Prepared(insert(job_graphs).inline(), ["job_id", "graph"])
_NEW_INPUT = Prepared(insert(job_inputs).inline(), ["job_id", "position", "node_id", "path", "asset_id"])
_FREE_USED = Prepared(
    select(func.count().label("used")).where(
        jobs.c.account_id == bindparam("account_id"),
        jobs.c.free_day == bindparam("day"),
        jobs.c.state.not_in([literal_column(f"'{state}'") for state in ("failed", "canceled", "expired")]),
    )
)


def submit(
    conn: Connection,
    new: NewJob,
    tiers: Mapping[str, Tier],
    idempotency_seconds: int,
    depths: Depths | None = None,
) -> JobRow:
    """Accept a job: limits, key, price, hold, row with its ticket, outbox; all of it or nothing.

    `depths`: what this process knows of the lanes. Raises Forbidden (disabled account, or its tier),
    IdempotencyKeyReuse, QueueFull (account or lane), MissingAsset (an input is not the account's, or has
    expired) and InsufficientCredits. After any of them the idempotency key is free again.
    """
    # One submission of an account at a time: what it counts below stays true until it commits.
    account = locked_account(conn, new.account_id)
    if account.disabled_at_ms is not None:
        raise Forbidden("this account is disabled")
    tier = tier_named(tiers, account.tier)
    if new.idempotency_key is not None:
        claim_key(
            conn,
            new.account_id,
            new.idempotency_key,
            new.request_hash,
            new.id,
            new.now_ms,
            idempotency_seconds,
        )
    _check_tier(new, tier)
    check_room(conn, new, tier, depths)
    check_inputs(conn, new)
    cost = charge_of(conn, new.account_id, new.price, tier, new.now_ms)
    if cost.charged:
        ledger.debit(conn, new.account_id, cost.charged)
    job = _write(conn, new, tier, cost)
    if cost.charged:
        ledger.record_hold(conn, new.account_id, new.id, cost.charged, new.now_ms)
    tell(conn, job, "job.queued", {"price": cost.charged}, new.now_ms)
    return job


def _write(conn: Connection, new: NewJob, tier: Tier, cost: Charge) -> JobRow:
    share, share_cost = turns.turn_of(conn, new, tier)
    written = _NEW_JOB.one(
        conn,
        {
            "id": new.id,
            "account_id": new.account_id,
            "lane": new.lane,
            "priority": tier.priority_in(new.lane),
            "state": JobState.QUEUED.value,
            "price": cost.charged,
            "base_price": new.price,
            "free_day": day_of(new.now_ms) if cost.free else None,
            "hold": (HoldState.PLACED if cost.charged else HoldState.NONE).value,
            "created_at_ms": new.now_ms,
            "queue_deadline_at_ms": new.queue_deadline_at_ms,
            "expires_at_ms": new.expires_at_ms,
            "workflow": new.workflow,
            "retry_of": new.retry_of,
            "workflow_name": new.workflow_name,
            "style": new.style,
            "deliver": json.dumps(list(new.deliver)),
            "share": share,
            "share_cost": share_cost,
            "running_max": tier.jobs_running_max or None,
            "models": new.models,
            "shape": new.shape,
        },
    )
    _NEW_GRAPH.count(conn, {"job_id": new.id, "graph": new.graph})
    for position, item in enumerate(new.inputs):
        _NEW_INPUT.count(
            conn,
            {
                "job_id": new.id,
                "position": position,
                "node_id": item.node_id,
                "path": json.dumps(list(item.path)),
                "asset_id": item.asset_id,
            },
        )
    return job_row(written)


def charge_of(conn: Connection, account_id: str, price: int, tier: Tier, now_ms: int) -> Charge:
    """What a job of this price would cost the account now.

    Of the day's free jobs those count that are open or succeeded: one that came to nothing is given back.
    """
    used = 0
    if may_be_free(price, tier):
        used = _FREE_USED.one(conn, {"account_id": account_id, "day": day_of(now_ms)}).used
    return charge(price, tier, used)


def may_submit(new: NewJob, tier: Tier) -> bool:
    """Whether accounts of the tier may submit this."""
    return (tier.raw_graphs or not new.raw) and all(tier.name in wanted for wanted in new.tiers)


def _check_tier(new: NewJob, tier: Tier) -> None:
    if new.raw and not tier.raw_graphs:
        raise Forbidden(
            f"accounts of tier {tier.name} may not send graphs of their own; order from the catalogue",
            details={"limit": "raw_graphs", "value": False},
        )
    for wanted in new.tiers:
        if tier.name not in wanted:
            what = f"workflow {new.workflow_name}" + (f" in style {new.style}" if new.style else "")
            raise Forbidden(
                f"{what} is for {' and '.join(sorted(wanted))} only, and this account is {tier.name}",
                details={"limit": "tiers", "value": sorted(wanted)},
            )


def job_row(row: Any) -> JobRow:
    """A JobRow from a row of the jobs table."""
    return JobRow(
        ticket=row.ticket,
        id=row.id,
        account_id=row.account_id,
        lane=row.lane,
        priority=row.priority,
        state=JobState(row.state),
        attempt=row.attempt,
        price=row.price,
        hold=HoldState(row.hold),
        error=JobError(**json.loads(row.error)) if row.error else None,
        cause=row.cause,
        created_at_ms=row.created_at_ms,
        started_at_ms=row.started_at_ms,
        completed_at_ms=row.completed_at_ms,
        expires_at_ms=row.expires_at_ms,
        workflow=row.workflow,
        retry_of=row.retry_of,
        workflow_name=row.workflow_name,
        style=row.style,
        base_price=row.base_price,
        deliver=tuple(json.loads(row.deliver)),
        share=row.share,
        running_max=row.running_max,
        models=row.models,
        shape=row.shape,
    )


_JOB = select(jobs).where(jobs.c.id == bindparam("job_id"))
_BY_ID, _LOCKED = Prepared(_JOB), Prepared(_JOB.with_for_update())
_OF_ACCOUNT = Prepared(_JOB.where(jobs.c.account_id == bindparam("account_id")))
_GRAPH = Prepared(select(job_graphs.c.graph).where(job_graphs.c.job_id == bindparam("job_id")))
_INPUTS = Prepared(
    select(job_inputs).where(job_inputs.c.job_id == bindparam("job_id")).order_by(job_inputs.c.position)
)


def get_job(conn: Connection, job_id: str, account_id: str | None = None) -> JobRow:
    """The job, if it is this account's (None: the operator). Raises NotFound, unknown or foreign alike."""
    if account_id is None:
        row = _BY_ID.one(conn, {"job_id": job_id})
    else:
        row = _OF_ACCOUNT.one(conn, {"job_id": job_id, "account_id": account_id})
    if row is None:
        raise NotFound(f"no job with the id {job_id!r}")
    return job_row(row)


def get_graph(conn: Connection, job_id: str) -> str:
    """The graph as it was submitted, as JSON text."""
    graph: str = _GRAPH.one(conn, {"job_id": job_id}).graph
    return graph


def list_jobs(
    conn: Connection,
    *,
    account_id: str | None,
    states: Sequence[JobState],
    limit: int,
    before_ticket: int | None,
    unexpired_at_ms: int | None,
) -> list[JobRow]:
    """Jobs, newest first: of one account or (None) of all; in `states`, or in any if empty."""
    query = select(jobs)
    if account_id is not None:
        query = query.where(jobs.c.account_id == account_id)
    if states:
        query = query.where(jobs.c.state.in_([state.value for state in states]))
    if before_ticket is not None:
        query = query.where(jobs.c.ticket < before_ticket)
    if unexpired_at_ms is not None:
        query = query.where(jobs.c.completed_at_ms.is_(None) | (jobs.c.expires_at_ms > unexpired_at_ms))
    return [job_row(row) for row in conn.execute(query.order_by(jobs.c.ticket.desc()).limit(limit))]


_KEY = (jobs.c.priority, jobs.c.share, jobs.c.ticket)
_HERE = tuple_(*(bindparam(f"here_{column.key}", type_=column.type) for column in _KEY))
_FROM = tuple_(*(bindparam(f"from_{column.key}", type_=column.type) for column in _KEY))
_BEFORE: Select[Any] = (
    select(literal_column("1").label("one"))
    .where(IS_QUEUED, jobs.c.lane == bindparam("lane"), tuple_(*_KEY) < _HERE)
    .limit(bindparam("most", type_=Integer))
)
_AHEAD = Prepared(select(func.count().label("jobs")).select_from(_BEFORE.subquery()))
_BETWEEN = Prepared(
    select(func.count().label("jobs")).select_from(_BEFORE.where(tuple_(*_KEY) >= _FROM).subquery())
)


def position(conn: Connection, job: JobRow, cap: int) -> int | None:
    """1 for the next in line, 0 once a server took it, None after that. As `positions`."""
    return positions(conn, [job], cap)[job.id]


def positions(conn: Connection, of: Collection[JobRow], cap: int) -> dict[str, int | None]:
    """The places of several jobs, by id; counted up to `cap` + 1, which means 'more than cap'.

    Counts index entries before the jobs, never the whole lane: exact counting took 80 ms at a million queued.
    However many jobs are asked about, at most `cap` entries of a lane are counted: what is before the first
    of them, then what is between one and the next.
    """
    found: dict[str, int | None] = {job.id: 0 if job.state is JobState.CLAIMED else None for job in of}
    waiting = sorted((job for job in of if job.state is JobState.QUEUED), key=_order)
    before: JobRow | None = None
    ahead = 0
    for job in waiting:
        if before is None or before.lane != job.lane:
            before, ahead = None, 0
        if ahead < cap:
            values = {"lane": job.lane, "most": cap - ahead}
            values |= {f"here_{column.key}": getattr(job, column.key) for column in _KEY}
            if before is None:
                ahead = _AHEAD.one(conn, values).jobs
            else:
                values |= {f"from_{column.key}": getattr(before, column.key) for column in _KEY}
                ahead += _BETWEEN.one(conn, values).jobs
        found[job.id], before = ahead + 1, job
    return found


def _order(job: JobRow) -> tuple[str, int, int, int]:
    return job.lane, job.priority, job.share, job.ticket


def front_of_lane(conn: Connection, lane: str, limit: int) -> list[str]:
    """Ids of the first `limit` queued jobs of a lane, in the order they will run."""
    query = (
        select(jobs.c.id)
        .where(jobs.c.lane == lane, IS_QUEUED)
        .order_by(jobs.c.priority, jobs.c.share, jobs.c.ticket)
        .limit(limit)
    )
    return list(conn.execute(query).scalars())


def lane_depths(conn: Connection) -> dict[str, int]:
    """Number of queued jobs of every lane that has any."""
    query = select(jobs.c.lane, func.count().label("depth")).where(IS_QUEUED).group_by(jobs.c.lane)
    return {row.lane: row.depth for row in conn.execute(query)}


def cancel(conn: Connection, job_id: str, account_id: str | None, now_ms: int) -> JobRow:
    """Cancel a queued job with its refund, or mark one in flight as canceling. An ended job stays as it
    is."""
    get_job(conn, job_id, account_id)
    # Locked before it is looked at, or a job that just goes back to its lane would be in neither state below.
    job = job_row(_LOCKED.one(conn, {"job_id": job_id}))
    if _end_queued(conn, job, JobState.CANCELED, "canceled while queued", now_ms):
        return get_job(conn, job_id)
    marked = conn.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.in_(["claimed", "running"]))
        .values(state=JobState.CANCELING.value)
    )
    job = get_job(conn, job_id)
    if marked.rowcount:
        tell(conn, job, "job.canceling", {}, now_ms)
    return job


def expire_queued(conn: Connection, now_ms: int, limit: int) -> int:
    """Expire up to `limit` jobs that waited past their deadline, each with its refund. Returns how many."""
    query = (
        select(jobs)
        .where(IS_QUEUED, jobs.c.queue_deadline_at_ms <= now_ms)
        .order_by(jobs.c.queue_deadline_at_ms)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return end_waiting(conn, query, "waited too long", now_ms)


def end_waiting(conn: Connection, query: Select[Any], reason: str, now_ms: int) -> int:
    """Expire the queued jobs that `query` selects (and locks), each with its refund. Returns how many."""
    # Refunds lock accounts: in one order, so that two replicas at this never wait for each other.
    due = sorted((job_row(row) for row in conn.execute(query)), key=lambda job: job.account_id)
    return sum(_end_queued(conn, job, JobState.EXPIRED, reason, now_ms) for job in due)


def _end_queued(conn: Connection, job: JobRow, state: JobState, reason: str, now_ms: int) -> bool:
    """End a job that is still queued and release its hold; False, and nothing done, if it no longer is."""
    hold = HoldState.RELEASED if job.price else HoldState.NONE
    ended = conn.execute(
        update(jobs)
        .where(jobs.c.id == job.id, jobs.c.state == "queued")
        .values(state=state.value, hold=hold.value, completed_at_ms=now_ms, cause=reason)
    )
    if ended.rowcount == 0:
        return False
    if job.price:
        ledger.settle_hold(conn, EntryKind.RELEASE, job.account_id, job.id, job.price, reason, now_ms)
    tell(conn, get_job(conn, job.id), f"job.{state}", {"refunded": job.price}, now_ms)
    return True


def inputs_of(conn: Connection, job_id: str) -> tuple[JobInput, ...]:
    """Where the job's graph takes which asset."""
    found = _INPUTS.rows(conn, {"job_id": job_id})
    return tuple(JobInput(row.node_id, tuple(json.loads(row.path)), row.asset_id) for row in found)
