"""Reads for those who watch the service: how much waits, and the plain facts of jobs. Every one is bounded.

The counts stop at a limit that the caller gives, so that watching a long queue costs no more than that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from comfygate.store.tables import IS_QUEUED, accounts, attempts, jobs, outbox


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What of a job is counted. `claimed_at_ms` is its first claim. Times in ms since 1970."""

    lane: str
    tier: str
    price: int
    submitted_at_ms: int
    claimed_at_ms: int | None


@dataclass(frozen=True, slots=True)
class LaneCensus:
    """Jobs that wait in a lane, by priority, and since when the oldest does (ms since 1970)."""

    waiting: Mapping[int, int]
    oldest_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Census:
    """How much waits: in each lane to be run, in the outbox to be told."""

    lanes: Mapping[str, LaneCensus]
    untold: int
    untold_oldest_at_ms: int | None


def census(conn: Connection, lanes: Sequence[str], most: int) -> Census:
    """Count what waits, each count up to `most`."""
    untold = select(outbox.c.id).where(outbox.c.delivered_at_ms.is_(None)).order_by(outbox.c.id)
    first = select(outbox.c.created_at_ms).where(outbox.c.delivered_at_ms.is_(None)).order_by(outbox.c.id)
    return Census(
        lanes={lane: _lane(conn, lane, most) for lane in lanes},
        untold=conn.execute(select(func.count()).select_from(untold.limit(most).subquery())).scalar_one(),
        untold_oldest_at_ms=conn.execute(first.limit(1)).scalar(),
    )


def _lane(conn: Connection, lane: str, most: int) -> LaneCensus:
    waiting = (
        select(jobs.c.priority)
        .where(jobs.c.lane == lane, IS_QUEUED)
        .order_by(jobs.c.priority, jobs.c.share, jobs.c.ticket)
        .limit(most)
        .subquery()
    )
    counted = select(waiting.c.priority, func.count().label("waiting")).group_by(waiting.c.priority)
    oldest = (
        select(jobs.c.created_at_ms).where(jobs.c.lane == lane, IS_QUEUED).order_by(jobs.c.ticket).limit(1)
    )
    return LaneCensus(
        waiting={row.priority: row.waiting for row in conn.execute(counted)},
        oldest_at_ms=conn.execute(oldest).scalar(),
    )


def facts_of(conn: Connection, job_ids: Collection[str]) -> dict[str, JobFacts]:
    """The facts of these jobs, by id."""
    claims = (
        select(attempts.c.job_id, func.min(attempts.c.claimed_at_ms).label("at_ms"))
        .where(attempts.c.job_id.in_(job_ids))
        .group_by(attempts.c.job_id)
    )
    claimed: dict[str, int] = {row.job_id: row.at_ms for row in conn.execute(claims)}
    query = (
        select(jobs.c.id, jobs.c.lane, accounts.c.tier, jobs.c.price, jobs.c.created_at_ms)
        .join(accounts, accounts.c.id == jobs.c.account_id)
        .where(jobs.c.id.in_(job_ids))
    )
    return {
        row.id: JobFacts(row.lane, row.tier, row.price, row.created_at_ms, claimed.get(row.id))
        for row in conn.execute(query)
    }
