"""The operator's lists over HTTP: pages of JSON with cursors, or the whole list as a CSV file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from comfygate.api.csv_answer import Row, csv_answer
from comfygate.api.face import TheFace
from comfygate.api.ops_auth import PREFIX, PRIVATE, TheOperator
from comfygate.api.reference import refusals
from comfygate.gate import ops_lists
from comfygate.gate.ops_lists import PAGE_MAX, SEARCH_CHARS_MAX

router = APIRouter(prefix=PREFIX, tags=["operations"])

EXPORT_ROWS_MAX: Final = 100_000
"""Rows of one CSV file; the newest."""

Json = dict[str, Any]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Rows of a page.")]
Cursor = Annotated[
    str | None, Query(max_length=100, description="`next_cursor` of the page before; a page may be empty.")
]
Format = Annotated[
    Literal["json", "csv"],
    Query(description=f"csv: every row from the cursor on, up to {EXPORT_ROWS_MAX}, as a file."),
]
Word = Annotated[str | None, Query(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]

JOB_COLUMNS: Final = (
    "id", "ticket", "account_id", "account_name", "lane", "priority", "status", "state", "queue_position",
    "workflow", "style", "price", "hold", "attempt", "server", "outcome", "blame", "error_code", "retry_of",
    "created_at_ms", "started_at_ms", "completed_at_ms",
)  # fmt: skip
ACCOUNT_COLUMNS: Final = (
    "id", "name", "tier", "role", "available", "held", "suspicions", "created_at_ms", "disabled_at_ms",
)  # fmt: skip
ENTRY_COLUMNS: Final = (
    "id", "account_id", "account_name", "kind", "words", "amount", "job_id", "reason", "created_at_ms",
)  # fmt: skip
REVIEW_COLUMNS: Final = (
    "job_id", "account_id", "account_name", "state", "score", "created_at_ms", "expires_at_ms",
    "decided_at_ms",
)  # fmt: skip
AUDIT_COLUMNS: Final = ("id", "at_ms", "actor", "actor_name", "operation", "arguments", "result")

_RESPONSES: Final = refusals(401, 403, 404, 422, 429)
Page = Callable[[int, str | None], Awaitable[Json]]


async def _answer(
    name: str, columns: Sequence[str], page: Page, form: str, limit: int, cursor: str | None
) -> Response:
    if form == "json":
        return JSONResponse(await page(limit, cursor), headers=PRIVATE)
    # The first page is read before anything is answered, so that what is wrong is still an error.
    first = await page(PAGE_MAX, cursor)
    return csv_answer(name, columns, _pages(page, first))


async def _pages(page: Page, first: Json) -> AsyncIterator[Sequence[Row]]:
    found, sent = first, 0
    while True:
        rows: list[Json] = found["rows"][: EXPORT_ROWS_MAX - sent]
        yield rows
        sent += len(rows)
        if found["next_cursor"] is None or sent >= EXPORT_ROWS_MAX:
            return
        found = await page(PAGE_MAX, found["next_cursor"])


@router.get("/jobs", operation_id="opsListJobs", response_class=Response, responses=_RESPONSES)
async def list_jobs(
    face: TheFace,
    operator: TheOperator,
    status: Annotated[
        list[str] | None, Query(max_length=20, description="Public statuses or states; any of them.")
    ] = None,
    lane: Word = None,
    account: Annotated[Word, Query(description="Id or name.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    format: Format = "json",  # noqa: A002 - the name in the address
) -> Response:
    """Everybody's jobs, newest first."""
    wanted = [part for one in status or [] for part in one.split(",") if part]

    async def page(limit: int, cursor: str | None) -> Json:
        return await ops_lists.jobs(
            face.ctx, status=wanted, lane=lane, account=account, limit=limit, cursor=cursor
        )

    return await _answer("jobs", JOB_COLUMNS, page, format, limit, cursor)


@router.get("/accounts", operation_id="opsListAccounts", response_class=Response, responses=_RESPONSES)
async def list_accounts(
    face: TheFace,
    operator: TheOperator,
    search: Annotated[
        Word, Query(max_length=SEARCH_CHARS_MAX, description="Part of a name, an id, or a Telegram id.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    format: Format = "json",  # noqa: A002 - the name in the address
) -> Response:
    """Accounts, newest first."""

    async def page(limit: int, cursor: str | None) -> Json:
        return await ops_lists.accounts(face.ctx, search=search or "", limit=limit, cursor=cursor)

    return await _answer("accounts", ACCOUNT_COLUMNS, page, format, limit, cursor)


@router.get("/entries", operation_id="opsListEntries", response_class=Response, responses=_RESPONSES)
async def list_entries(
    face: TheFace,
    operator: TheOperator,
    account: Annotated[Word, Query(description="Id or name; without, of all.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    format: Format = "json",  # noqa: A002 - the name in the address
) -> Response:
    """Entries of the ledger, newest first."""

    async def page(limit: int, cursor: str | None) -> Json:
        return await ops_lists.entries(face.ctx, account=account, limit=limit, cursor=cursor)

    return await _answer("entries", ENTRY_COLUMNS, page, format, limit, cursor)


@router.get("/reviews", operation_id="opsListReviews", response_class=Response, responses=_RESPONSES)
async def list_reviews(
    face: TheFace,
    operator: TheOperator,
    state: Annotated[Word, Query(description="waiting, released, rejected or expired.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    format: Format = "json",  # noqa: A002 - the name in the address
) -> Response:
    """Jobs whose results screening held, newest first."""

    async def page(limit: int, cursor: str | None) -> Json:
        return await ops_lists.reviews(face.ctx, state=state, limit=limit, cursor=cursor)

    return await _answer("reviews", REVIEW_COLUMNS, page, format, limit, cursor)


@router.get("/audit", operation_id="opsListAudit", response_class=Response, responses=_RESPONSES)
async def list_audit(
    face: TheFace,
    operator: TheOperator,
    actor: Annotated[Word, Query(description="cli, control, admin, telegram:ID, account:ID")] = None,
    operation: Annotated[Word, Query(description="One, or all of a noun: `lanes.`")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    format: Format = "json",  # noqa: A002 - the name in the address
) -> Response:
    """What operators did, newest first."""

    async def page(limit: int, cursor: str | None) -> Json:
        return await ops_lists.audit(face.ctx, actor=actor, operation=operation, limit=limit, cursor=cursor)

    return await _answer("audit", AUDIT_COLUMNS, page, format, limit, cursor)
