"""What the estimates were worth: by lane, what jobs were told against what they took."""

from __future__ import annotations

from typing import Any

from comfygate.domain.errors import InvalidRequest
from comfygate.domain.eta_error import Errors, errors_of
from comfygate.gate.context import Context
from comfygate.store import etas
from comfygate.store.engine import Connection

Json = dict[str, Any]


async def eta_report(ctx: Context, lane: str | None = None) -> Json:
    """By lane and priority, of the newest jobs that succeeded: shares that ended within p50 and p90, and the
    error of p50.

    Raises InvalidRequest for a lane that is not in the settings and has no estimates.
    """
    return {"lanes": await ctx.store.read(_report, ctx, lane)}


def _report(conn: Connection, ctx: Context, lane: str | None) -> list[Json]:
    known = sorted({*ctx.rules.lanes, *etas.lanes_judged(conn)})
    if lane is not None and lane not in known:
        raise InvalidRequest(
            f"lane is {lane!r}: it must be one of {', '.join(known)}", details={"field": "lane"}
        )
    rows = []
    for name in [lane] if lane is not None else known:
        by_priority = etas.judged(conn, name)
        everyone = [one for found in by_priority.values() for one in found]
        rows.append(
            {
                "lane": name,
                **_errors(errors_of(everyone)),
                "by_priority": [
                    {"priority": priority, **_errors(errors_of(found))}
                    for priority, found in by_priority.items()
                ],
            }
        )
    return rows


def _errors(errors: Errors | None) -> Json:
    """Nulls where nothing was judged yet."""
    if errors is None:
        nothing = ("within_p50", "within_p90", "error_p50_ms", "error_p90_ms", "relative_p50", "relative_p90")
        return {"jobs": 0, **dict.fromkeys(nothing)}
    return {name: getattr(errors, name) for name in Errors.__slots__}
