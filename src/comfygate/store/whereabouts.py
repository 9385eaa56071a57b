"""What the database knows of why a job is where it is, beside its own row."""

from __future__ import annotations

from sqlalchemy import Connection, func, literal, select, tuple_

from comfygate.store.rows import JobRow
from comfygate.store.tables import IS_QUEUED, jobs, pair_quarantines


def queue_deadline(conn: Connection, job: JobRow) -> int:
    """When the job expires if nobody took it, in ms since 1970."""
    query = select(jobs.c.queue_deadline_at_ms).where(jobs.c.ticket == job.ticket)
    return int(conn.execute(query).scalar_one())


def better_ahead(conn: Connection, job: JobRow, cap: int) -> int:
    """How many queued jobs of its lane have a better priority, counted up to `cap` + 1."""
    ahead = (
        select(literal(1))
        .where(IS_QUEUED, jobs.c.lane == job.lane, jobs.c.priority < job.priority)
        .limit(cap + 1)
    )
    return conn.execute(select(func.count()).select_from(ahead.subquery())).scalar_one()


def ahead_by_priority(conn: Connection, job: JobRow, cap: int) -> dict[int, int]:
    """How many of the first `cap` jobs ahead of it have each priority, best first."""
    ahead = (
        select(jobs.c.priority)
        .where(
            IS_QUEUED,
            jobs.c.lane == job.lane,
            tuple_(jobs.c.priority, jobs.c.share, jobs.c.ticket)
            < tuple_(literal(job.priority), literal(job.share), literal(job.ticket)),
        )
        .order_by(jobs.c.priority, jobs.c.share, jobs.c.ticket)
        .limit(cap)
        .subquery()
    )
    counted = select(ahead.c.priority, func.count().label("jobs")).group_by(ahead.c.priority)
    return {row.priority: row.jobs for row in conn.execute(counted.order_by(ahead.c.priority))}


def pairs_of(conn: Connection, workflow: str, now_ms: int) -> dict[str, tuple[int, str]]:
    """Servers that this workflow is kept off now: until when, and why."""
    query = select(pair_quarantines).where(
        pair_quarantines.c.workflow == workflow, pair_quarantines.c.until_at_ms > now_ms
    )
    return {row.server: (row.until_at_ms, row.reason) for row in conn.execute(query)}
