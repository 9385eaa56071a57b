"""The operator's lists as JSON-ready pages: `{"rows": […], "next_cursor": …}`, newest first.

A page may be short or empty and still have a next one: it looks at a bounded number of rows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Final

from comfygate.domain.credits import WORDS
from comfygate.domain.errors import InvalidRequest
from comfygate.domain.job import PUBLIC_STATUS, JobState
from comfygate.domain.staff import Role
from comfygate.gate.context import Context
from comfygate.store import accounts as accounts_store
from comfygate.store import jobs as jobs_store
from comfygate.store import ops_lists as lists
from comfygate.store import staff as staff_store
from comfygate.store.engine import Connection
from comfygate.store.ops_lists import AccountLine
from comfygate.store.rows import JobRow
from comfygate.store.screening_tables import STATES

SEARCH_CHARS_MAX: Final = 100
PAGE_MAX: Final = 500
"""Rows of a page; more than the API's other lists have, for exports."""
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")
_PLACE: Final = re.compile(r"([0-9]{1,15})\.([0-9a-zA-Z-]{1,64})")
ACTOR: Final = "account:"
"""Before the id of the account, where one operated over HTTP or the pages."""

Json = dict[str, Any]


async def jobs(
    ctx: Context,
    *,
    status: Sequence[str] = (),
    lane: str | None = None,
    account: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Json:
    """Everybody's jobs. `account`: id or name. Raises InvalidRequest, and NotFound for an unknown account."""
    states = [state for one in status for state in _states(one)]
    given = (_number(cursor), _limit(limit))
    return await ctx.store.read(_jobs, ctx, states, lane, account, *given)


def _jobs(
    conn: Connection,
    ctx: Context,
    states: Collection[JobState],
    lane: str | None,
    account: str | None,
    before: int | None,
    limit: int,
) -> Json:
    account_id = None if account is None else accounts_store.get_account(conn, account).id
    rows, following = lists.list_jobs(
        conn,
        account_id=account_id,
        lane=lane,
        states=states,
        lanes=ctx.rules.lanes,
        before=before,
        limit=limit,
    )
    return {"rows": job_lines(conn, ctx, rows), "next_cursor": None if following is None else str(following)}


def job_lines(conn: Connection, ctx: Context, rows: Sequence[JobRow]) -> list[Json]:
    """Jobs as lines of a list, with the name of their account and where they were last."""
    names = lists.account_names(conn, [job.account_id for job in rows])
    last = lists.last_attempts(conn, rows)
    places = jobs_store.positions(conn, rows, ctx.rules.limits.position_cap)
    return [_job(job, names, last, places) for job in rows]


def _job(
    job: JobRow, names: dict[str, str], last: dict[str, lists.LastAttempt], places: dict[str, int | None]
) -> Json:
    attempt = last.get(job.id)
    return {
        "id": job.id,
        "ticket": job.ticket,
        "account_id": job.account_id,
        "account_name": names.get(job.account_id, ""),
        "lane": job.lane,
        "priority": job.priority,
        "status": PUBLIC_STATUS[job.state],
        "state": job.state.value,
        "queue_position": places[job.id],
        "workflow": job.workflow_name or None,
        "style": job.style or None,
        "price": job.price,
        "hold": job.hold.value,
        "attempt": job.attempt,
        "server": attempt.server if attempt else None,
        "outcome": attempt.outcome if attempt else None,
        "blame": attempt.blame if attempt else None,
        "error_code": job.error.code if job.error else None,
        "retry_of": job.retry_of,
        "created_at_ms": job.created_at_ms,
        "started_at_ms": job.started_at_ms,
        "completed_at_ms": job.completed_at_ms,
    }


async def accounts(ctx: Context, *, search: str = "", limit: int = 50, cursor: str | None = None) -> Json:
    """Accounts, by a part of their name, or by id or Telegram id. Raises InvalidRequest."""
    if len(search) > SEARCH_CHARS_MAX:
        raise InvalidRequest(
            f"search must have at most {SEARCH_CHARS_MAX} characters", details={"field": "search"}
        )
    return await ctx.store.read(_accounts, search.strip(), _place(cursor), _limit(limit))


def _accounts(conn: Connection, search: str, before: tuple[int, str] | None, limit: int) -> Json:
    rows, following = lists.list_accounts(conn, search, before, limit)
    ids = [row.id for row in rows]
    roles = staff_store.roles_of(conn, ids)
    counting = lists.suspicions_counting(conn, ids)
    return {
        "rows": [_account(row, roles, counting) for row in rows],
        "next_cursor": None if following is None else f"{following[0]}.{following[1]}",
    }


def _account(row: AccountLine, roles: dict[str, Role], counting: dict[str, int]) -> Json:
    return {
        "id": row.id,
        "name": row.name,
        "tier": row.tier,
        "role": roles.get(row.id, Role.USER).value,
        "available": row.available,
        "held": row.held,
        "suspicions": counting.get(row.id, 0),
        "created_at_ms": row.created_at_ms,
        "disabled_at_ms": row.disabled_at_ms,
    }


async def entries(
    ctx: Context, *, account: str | None = None, limit: int = 50, cursor: str | None = None
) -> Json:
    """Entries of the ledger, of one account or of all. Raises InvalidRequest and NotFound."""
    return await ctx.store.read(_entries, account, _number(cursor), _limit(limit))


def _entries(conn: Connection, account: str | None, before: int | None, limit: int) -> Json:
    account_id = None if account is None else accounts_store.get_account(conn, account).id
    found = lists.list_entries(conn, account_id, before, limit + 1)
    rows = found[:limit]
    names = lists.account_names(conn, [row.account_id for row in rows])
    return {
        "rows": [
            {
                "id": row.entry.id,
                "account_id": row.account_id,
                "account_name": names.get(row.account_id, ""),
                "kind": row.entry.kind.value,
                "words": WORDS[row.entry.kind],
                "amount": row.entry.amount,
                "job_id": row.entry.job_id,
                "reason": row.entry.reason,
                "created_at_ms": row.entry.created_at_ms,
            }
            for row in rows
        ],
        "next_cursor": str(rows[-1].entry.id) if len(found) > limit else None,
    }


async def reviews(
    ctx: Context, *, state: str | None = None, limit: int = 50, cursor: str | None = None
) -> Json:
    """What screening held, in one state or any. Raises InvalidRequest."""
    if state is not None and state not in STATES:
        raise InvalidRequest(
            f"state is {state!r}: it must be one of {', '.join(STATES)}", details={"field": "state"}
        )
    return await ctx.store.read(_reviews, state, _place(cursor), _limit(limit))


def _reviews(conn: Connection, state: str | None, before: tuple[int, str] | None, limit: int) -> Json:
    found = lists.list_reviews(conn, state, before, limit + 1)
    rows = found[:limit]
    names = lists.account_names(conn, [row.account_id for row in rows])
    return {
        "rows": [
            {
                **{name: getattr(row, name) for name in type(row).__slots__},
                "account_name": names.get(row.account_id, ""),
            }
            for row in rows
        ],
        "next_cursor": f"{rows[-1].created_at_ms}.{rows[-1].job_id}" if len(found) > limit else None,
    }


async def audit(
    ctx: Context,
    *,
    actor: str | None = None,
    operation: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Json:
    """What operators did, by one actor or any; `operation`: this one, or with a dot at its end all of a noun.

    Raises InvalidRequest.
    """
    return await ctx.store.read(_audit, actor, operation, _number(cursor), _limit(limit))


def _audit(
    conn: Connection, actor: str | None, operation: str | None, before: int | None, limit: int
) -> Json:
    rows, following = lists.list_audit(conn, actor, operation, before, limit)
    ids = [row.actor.removeprefix(ACTOR) for row in rows if row.actor.startswith(ACTOR)]
    names = lists.account_names(conn, ids)
    return {
        "rows": [
            {
                **{name: getattr(row, name) for name in type(row).__slots__},
                "actor_name": names.get(row.actor.removeprefix(ACTOR)),
            }
            for row in rows
        ],
        "next_cursor": None if following is None else str(following),
    }


def _states(status: str) -> list[JobState]:
    """The states behind a public status, or the state of that name."""
    found = [state for state, public in PUBLIC_STATUS.items() if status in {public, state.value}]
    if not found:
        known = ", ".join(sorted({*PUBLIC_STATUS.values(), *JobState}))
        raise InvalidRequest(f"status is {status!r}: it must be one of {known}", details={"field": "status"})
    return found


def _limit(limit: int) -> int:
    if not 1 <= limit <= PAGE_MAX:
        raise InvalidRequest(f"limit is {limit}: it must be from 1 to {PAGE_MAX}", details={"field": "limit"})
    return limit


def _number(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if _NUMBER.fullmatch(cursor) is None:
        raise _foreign()
    return int(cursor)


def _place(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    match = _PLACE.fullmatch(cursor)
    if match is None:
        raise _foreign()
    return int(match[1]), match[2]


def _foreign() -> InvalidRequest:
    return InvalidRequest("cursor is not one that this list gave out", details={"field": "cursor"})
