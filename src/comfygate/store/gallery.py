"""What an account has in its gallery: pages of its jobs, the files that went into them, forgetting one.

What an index cannot tell apart (states, workflows, what is past its time) is looked for in a window of
EXAMINED_MAX jobs, so that no page costs more for who has had more of them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from comfygate.domain.errors import AssetInUse, JobNotEnded, NotFound
from comfygate.domain.job import TERMINAL, JobState
from comfygate.store.assets import assets_needed, owned_assets
from comfygate.store.jobs import job_row
from comfygate.store.rows import AssetRow, JobInput, JobRow
from comfygate.store.screening_tables import WAITING, reviews
from comfygate.store.tables import IN_FLIGHT, IS_QUEUED, assets, job_inputs, jobs

EXAMINED_MAX = 5000
"""Jobs of an account that one page looks at."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs of an account: in `states` (any if empty), of one workflow of the catalogue (any if None),
    older than a ticket."""

    states: tuple[JobState, ...] = ()
    workflow: str | None = None
    before_ticket: int | None = None


def page(
    conn: Connection, account_id: str, wanted: Wanted, limit: int, now_ms: int
) -> tuple[list[JobRow], int | None]:
    """Up to `limit` of the account's jobs that it may still see, newest first, and the ticket before which
    the next page begins (None: there is none). A page may be short, or empty, and still have a next one."""
    mine = [jobs.c.account_id == account_id]
    if wanted.before_ticket is not None:
        mine.append(jobs.c.ticket < wanted.before_ticket)
    newest_first = select(jobs.c.ticket).where(*mine).order_by(jobs.c.ticket.desc())
    last = conn.execute(newest_first.limit(1).offset(EXAMINED_MAX - 1)).scalar()
    query = select(jobs).where(*mine, jobs.c.completed_at_ms.is_(None) | (jobs.c.expires_at_ms > now_ms))
    if last is not None:
        query = query.where(jobs.c.ticket >= last)
    if wanted.states:
        query = query.where(jobs.c.state.in_([state.value for state in wanted.states]))
    if wanted.workflow is not None:
        query = query.where(jobs.c.workflow_name == wanted.workflow)
    found = [job_row(row) for row in conn.execute(query.order_by(jobs.c.ticket.desc()).limit(limit + 1))]
    return found[:limit], found[limit - 1].ticket if len(found) > limit else last


def open_jobs(conn: Connection, account_id: str, limit: int) -> list[JobRow]:
    """Up to `limit` jobs of the account that have not ended, oldest first."""
    found: list[JobRow] = []
    # Each in the words of its partial index: else all jobs that the account ever had are gone through.
    for open_now in (IS_QUEUED, IN_FLIGHT):
        query = select(jobs).where(jobs.c.account_id == account_id, open_now)
        found += [job_row(row) for row in conn.execute(query.order_by(jobs.c.ticket).limit(limit))]
    return sorted(found, key=lambda job: job.ticket)[:limit]


def sent_along(
    conn: Connection, account_id: str, job_ids: Collection[str], now_ms: int
) -> dict[str, list[tuple[JobInput, AssetRow]]]:
    """The account's files that went into these jobs and are still there, by job."""
    query = select(job_inputs).where(job_inputs.c.job_id.in_(list(job_ids)))
    rows = conn.execute(query.order_by(job_inputs.c.job_id, job_inputs.c.position)).all()
    there = owned_assets(conn, account_id, sorted({row.asset_id for row in rows}), now_ms) if rows else {}
    found: dict[str, list[tuple[JobInput, AssetRow]]] = {}
    for row in rows:
        if row.asset_id in there:
            place = JobInput(row.node_id, tuple(json.loads(row.path)), row.asset_id)
            found.setdefault(row.job_id, []).append((place, there[row.asset_id]))
    return found


def forget(conn: Connection, job_id: str, account_id: str, now_ms: int) -> None:
    """Delete what an ended job made or is held of it, and show the job to its account no more. The books stay
    as they are.

    Raises NotFound (unknown, another's or gone), JobNotEnded, and AssetInUse where a job that has not ended
    takes one of its results.
    """
    row = conn.execute(
        select(jobs).where(jobs.c.id == job_id, jobs.c.account_id == account_id).with_for_update()
    ).one_or_none()
    if row is None or (row.completed_at_ms is not None and row.expires_at_ms <= now_ms):
        raise NotFound(f"no job with the id {job_id!r}")
    if row.state not in {state.value for state in TERMINAL}:
        raise JobNotEnded(f"job {job_id} has not ended: cancel it first, or wait for its end")
    # Waits for submissions that are about to take one as an input.
    made: Sequence[str] = list(
        conn.execute(select(assets.c.id).where(assets.c.job_id == job_id).with_for_update()).scalars()
    )
    if assets_needed(conn, made):
        raise AssetInUse(f"results of job {job_id} cannot be deleted now: another job takes one of them")
    conn.execute(delete(assets).where(assets.c.id.in_(made)))
    # What was held is nobody's to release any more; what counts against the account stays.
    conn.execute(
        update(reviews)
        .where(reviews.c.job_id == job_id, WAITING)
        .values(state="rejected", decided_at_ms=now_ms)
    )
    conn.execute(update(jobs).where(jobs.c.id == job_id).values(expires_at_ms=now_ms))
