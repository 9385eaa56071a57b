"""Which job goes to which server: order, pauses, drains, and pairs that do not go together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Row, delete, exists, insert, select

from comfygate.store import turns
from comfygate.store.rows import JobRow
from comfygate.store.tables import ELSEWHERE, IS_QUEUED, attempts, jobs, lanes, pair_quarantines, servers


def first_for(
    conn: Connection,
    server: str,
    of_lanes: Sequence[str],
    now_ms: int,
    overtakes_max: Mapping[str, int] | None = None,
) -> Row[tuple[int, int, str]] | None:
    """The best of the lanes' first jobs that this server may run. Only the winner is locked, so no other
    lane's head is skipped.

    A lane whose queued jobs are all being taken by others is passed over for the next best. In a lane with
    a bound on overtaking that is reached, the oldest job comes before all else. An account that has as many
    jobs on servers as it may has no job here.
    """
    full: set[str] = set()
    while True:
        taken = _best(conn, server, of_lanes, now_ms, overtakes_max or {}, full)
        if taken is None or taken.running_max is None:
            return taken
        if turns.may_begin(conn, taken.account_id, taken.running_max):
            return taken
        full.add(taken.account_id)


def _best(
    conn: Connection,
    server: str,
    of_lanes: Sequence[str],
    now_ms: int,
    overtakes_max: Mapping[str, int],
    full: set[str],
) -> Row[tuple[int, int, str]] | None:
    heads: list[tuple[int, int, int, str]] = []
    for lane in of_lanes:
        bound = overtakes_max.get(lane, 0)
        oldest = bool(bound) and turns.overtakes_in(conn, lane) >= bound
        row = conn.execute(_first_in(lane, server, now_ms, full, oldest=oldest)).one_or_none()
        if row is not None:
            heads.append((0 if oldest else 1, row.priority, row.ticket, lane))
    for rank, _priority, _ticket, lane in sorted(heads):
        query = _first_in(lane, server, now_ms, full, oldest=rank == 0)
        taken = conn.execute(query.with_for_update(skip_locked=True, of=jobs)).one_or_none()
        if taken is not None:
            return taken
    return None


def _first_in(lane: str, server: str, now_ms: int, full: set[str], *, oldest: bool):  # type: ignore[no-untyped-def]  # a select
    failed_there = exists().where(attempts.c.job_id == jobs.c.id, attempts.c.server == server, ELSEWHERE)
    hung_there = exists().where(
        pair_quarantines.c.workflow == jobs.c.workflow,
        pair_quarantines.c.server == server,
        pair_quarantines.c.until_at_ms > now_ms,
    )
    paused = exists().where(lanes.c.name == lane, lanes.c.paused_at_ms.is_not(None))
    drained = exists().where(servers.c.name == server, servers.c.drained_at_ms.is_not(None))
    order = (jobs.c.ticket,) if oldest else (jobs.c.priority, jobs.c.share, jobs.c.ticket)
    query = (
        select(
            jobs.c.priority,
            jobs.c.share,
            jobs.c.ticket,
            jobs.c.id,
            jobs.c.lane,
            jobs.c.account_id,
            jobs.c.running_max,
        )
        .where(jobs.c.lane == lane, IS_QUEUED, ~failed_there, ~hung_there, ~paused, ~drained)
        .order_by(*order)
        .limit(1)
    )
    return query.where(jobs.c.account_id.not_in(full)) if full else query


def other_server_for(conn: Connection, job: JobRow, *, besides: str, now_ms: int) -> bool:
    """Whether another server has the job's lane, is not drained, and neither this job nor its workflow is
    kept off it. One that is down counts: it may come back."""
    out = set(
        conn.execute(
            select(attempts.c.server).where(attempts.c.job_id == job.id, attempts.c.elsewhere)
        ).scalars()
    )
    out |= set(
        conn.execute(
            select(pair_quarantines.c.server).where(
                pair_quarantines.c.workflow == job.workflow, pair_quarantines.c.until_at_ms > now_ms
            )
        ).scalars()
    )
    return any(
        job.lane in json.loads(row.lanes)
        for row in conn.execute(
            select(servers.c.name, servers.c.lanes).where(
                servers.c.name != besides, servers.c.drained_at_ms.is_(None)
            )
        )
        if row.name not in out
    )


def quarantine_pair(conn: Connection, workflow: str, server: str, reason: str, until_at_ms: int) -> None:
    """Keep a workflow off a server until then. A job of an older schema has no workflow: nothing is kept."""
    if not workflow:
        return
    conn.execute(
        delete(pair_quarantines).where(
            pair_quarantines.c.workflow == workflow, pair_quarantines.c.server == server
        )
    )
    conn.execute(
        insert(pair_quarantines).values(
            workflow=workflow, server=server, reason=reason, until_at_ms=until_at_ms
        )
    )


def forget_old_pairs(conn: Connection, now_ms: int) -> int:
    """Drop quarantines that are over. Returns how many."""
    return conn.execute(delete(pair_quarantines).where(pair_quarantines.c.until_at_ms <= now_ms)).rowcount
