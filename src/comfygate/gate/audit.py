"""The audit log: who changed what, by which way, and what came of it. Reads are not recorded.

A row is written after its operation, in a transaction of its own: between the two a crash can lose the row,
never the operation. No secret is written: operations take none, and what looks like one all the same (an API
key, credentials or a query in an address) is taken out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import structlog

from comfygate.domain.errors import GateError, InvalidRequest, StoreTrouble
from comfygate.gate.context import COUNTING, Context
from comfygate.store import audit_log

OK = "ok"
TEXT_CHARS_MAX = 2000
"""Longer arguments and results are cut."""
ROW_ID_MAX = 2**63 - 1

_KEY = re.compile(r"(cgk_|[Bb]earer\s+)[^\s\"'\\]+")
_CREDENTIALS = re.compile(r"(\w+://)[^/@\s\"'\\]*@")
_QUERY = re.compile(r"(\w+://[^?#\s\"'\\]*)[?#][^\s\"'\\]*")

log = structlog.get_logger(__name__)


async def record(
    ctx: Context, actor: str, operation: str, arguments: Mapping[str, Any], error: BaseException | None
) -> None:
    """Write one row; trouble in doing so is logged, as the operation itself is over."""
    given = scrubbed(json.dumps(arguments, sort_keys=True, default=str))
    result = OK if error is None else scrubbed(_said(error))
    # It may have moved credits.
    ctx.bells.ring(COUNTING)
    try:
        await ctx.store.run(audit_log.record, actor, operation, given, result, ctx.now_ms())
    except StoreTrouble as trouble:
        log.error(
            "audit.not_recorded", actor=actor, operation=operation, result=result, error=trouble.message
        )
    finally:
        # After it is written down: whoever hears of it reads the log.
        ctx.feed.note(ctx.now_ms(), "operation", actor=actor, operation=operation, result=result)


def _said(error: BaseException) -> str:
    return f"{error.code}: {error.message}" if isinstance(error, GateError) else type(error).__name__


def scrubbed(text: str) -> str:
    """The text without anything that looks like a secret, on one line, cut to its limit."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    for pattern, kept in ((_KEY, r"\1…"), (_CREDENTIALS, r"\1…@"), (_QUERY, r"\1?…")):
        plain = pattern.sub(kept, plain)
    return plain[:TEXT_CHARS_MAX]


async def audit_list(ctx: Context, limit: int = 50, before: int | None = None) -> dict[str, Any]:
    """What operators did, newest first; `before` takes `next_before` of the page before.

    Raises InvalidRequest for a limit outside 1 to `page_limit_max`, or an impossible `before`.
    """
    most = ctx.rules.limits.page_limit_max
    if not 1 <= limit <= most:
        raise InvalidRequest(f"limit is {limit}: it must be from 1 to {most}", details={"field": "limit"})
    if before is not None and not 1 <= before <= ROW_ID_MAX:
        raise InvalidRequest(
            f"before is {before}: it must be the id of a row, from 1", details={"field": "before"}
        )
    rows = await ctx.store.read(audit_log.list_audit, limit + 1, before)
    shown = rows[:limit]
    return {
        "audit": [
            {
                "id": row.id,
                "at_ms": row.at_ms,
                "actor": row.actor,
                "operation": row.operation,
                "arguments": row.arguments,
                "result": row.result,
            }
            for row in shown
        ],
        "next_before": shown[-1].id if len(rows) > limit else None,
    }
