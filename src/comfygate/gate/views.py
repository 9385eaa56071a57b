"""A job as its user sees it: its row, its place in line, its progress and its outputs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from comfygate.domain.errors import InvalidRequest, NotFound, StoreTrouble
from comfygate.domain.job import PUBLIC_STATUS, JobState
from comfygate.gate.context import Context
from comfygate.gate.live import ProgressEvent
from comfygate.store import assets as assets_store
from comfygate.store import jobs as jobs_store
from comfygate.store.engine import Connection
from comfygate.store.rows import AssetRow, JobRow

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class JobView:
    """Everything there is to show of a job."""

    job: JobRow
    position: int | None
    progress: ProgressEvent | None
    outputs: tuple[AssetRow, ...]

    @property
    def status(self) -> str:
        return PUBLIC_STATUS[self.job.state]


Key = tuple[str, str | None]
"""A job's id, and the account whose it must be (None: the operator asks)."""


async def get_job(ctx: Context, job_id: str, account_id: str | None) -> JobView:
    """The job, if it is this account's (None: the operator). Raises NotFound for all others, and once
    expired."""
    return found((await get_jobs(ctx, [(job_id, account_id)])).get((job_id, account_id)), job_id)


def found(view: JobView | None, job_id: str) -> JobView:
    """The job that was looked for. Raises NotFound where there is none."""
    if view is None:
        raise NotFound(f"no job with the id {job_id!r}")
    return view


async def get_jobs(ctx: Context, keys: Collection[Key]) -> Mapping[Key, JobView]:
    """Several jobs as of one moment; those that `get_job` would not find are left out."""
    return await ctx.store.read(read_jobs, ctx, keys)


def read_jobs(conn: Connection, ctx: Context, keys: Collection[Key]) -> dict[Key, JobView]:
    """As `get_jobs`, in the caller's snapshot."""
    rows: dict[Key, JobRow] = {}
    for key in keys:
        try:
            job = jobs_store.get_job(conn, *key)
        except NotFound:
            continue
        gone = job.completed_at_ms is not None and job.expires_at_ms <= ctx.now_ms()
        if key[1] is None or not gone:
            rows[key] = job
    return dict(zip(rows, views_of(conn, ctx, list(rows.values())), strict=True))


def views_of(conn: Connection, ctx: Context, of: Sequence[JobRow]) -> tuple[JobView, ...]:
    """What there is to show of these jobs, in their order."""
    ended = [job.id for job in of if job.completed_at_ms]
    outputs = assets_store.outputs_of(conn, ended) if ended else {}
    places = jobs_store.positions(conn, of, ctx.rules.limits.position_cap)
    return tuple(
        JobView(job, places[job.id], ctx.live.progress_of(job.id), tuple(outputs.get(job.id, ())))
        for job in of
    )


async def place_of(ctx: Context, job: JobRow) -> int | None:
    """The place in line of a job that was just accepted; None where it cannot be read now.

    One read serves all who ask at the same time.
    """
    cap = ctx.rules.limits.position_cap

    async def read(asked: Collection[JobRow]) -> Mapping[JobRow, int]:
        places = await ctx.store.read(jobs_store.positions, asked, cap)
        return {one: place for one in asked if (place := places[one.id]) is not None}

    try:
        return await ctx.places.ask(job, read)
    except StoreTrouble as error:
        # The job is accepted all the same.
        log.warning("job.place_not_read", job=job.id, error=error.message)
        return None


async def get_workflow(ctx: Context, job_id: str, account_id: str | None) -> dict[str, Any]:
    """The graph of a job, as it was submitted. Raises NotFound as `get_job` does."""
    view = await get_job(ctx, job_id, account_id)
    graph: dict[str, Any] = json.loads(await ctx.store.read(jobs_store.get_graph, view.job.id))
    return graph


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs, newest first, and the cursor of the next page if there is one."""

    jobs: tuple[JobView, ...]
    next_cursor: str | None


async def list_jobs(
    ctx: Context, account_id: str | None, *, statuses: Sequence[str], limit: int, cursor: str | None
) -> Page:
    """A page of jobs: the account's own, or (None) everybody's.

    Raises InvalidRequest for an unknown status, a limit outside 1 to `page_limit_max`, or a foreign cursor.
    """
    states, before = checked_page(ctx, statuses, limit, cursor)
    return await ctx.store.read(_page, ctx, account_id, states, limit, before)


def checked_page(
    ctx: Context, statuses: Sequence[str], limit: int, cursor: str | None
) -> tuple[list[JobState], int | None]:
    """The states, and the ticket before which the page begins. Raises InvalidRequest as `list_jobs`."""
    most = ctx.rules.limits.page_limit_max
    if not 1 <= limit <= most:
        raise InvalidRequest(f"limit is {limit}: it must be from 1 to {most}", details={"field": "limit"})
    return [state for status in statuses for state in _states(status)], _ticket(cursor)


def _page(
    conn: Connection,
    ctx: Context,
    account_id: str | None,
    states: Sequence[JobState],
    limit: int,
    before: int | None,
) -> Page:
    rows = jobs_store.list_jobs(
        conn,
        account_id=account_id,
        states=states,
        limit=limit + 1,
        before_ticket=before,
        unexpired_at_ms=None if account_id is None else ctx.now_ms(),
    )
    shown = rows[:limit]
    return Page(views_of(conn, ctx, shown), str(shown[-1].ticket) if len(rows) > limit else None)


def _states(status: str) -> list[JobState]:
    states = [state for state, public in PUBLIC_STATUS.items() if public == status]
    if not states:
        known = ", ".join(sorted(set(PUBLIC_STATUS.values())))
        raise InvalidRequest(f"status is {status!r}: it must be one of {known}", details={"field": "status"})
    return states


def _ticket(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise InvalidRequest("cursor is not one that this list gave out", details={"field": "cursor"})
    return int(cursor)
