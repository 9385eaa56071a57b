"""Estimates: what jobs were told of their end, and how far off that was."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from comfygate.cli.output import print_json, say, table
from comfygate.cli.shared_options import AsJson, ask, example

eta = typer.Typer(help="How good the estimates of jobs' ends are.")


@eta.command("report", epilog=example("comfygate eta report --lane image"))
def eta_report(
    ctx: typer.Context,
    lane: Annotated[str | None, typer.Option(help="Only this lane.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show by lane what jobs were told of their end against what they took: the shares that ended within p50
    (half should) and p90 (nine of ten), and the median and ninth decile of the error of p50."""
    answer = ask(ctx, "eta.report", lane=lane)
    if as_json:
        print_json(answer)
        return
    rows = [row for one in answer["lanes"] if one["jobs"] for row in _rows(one)]
    if rows:
        table(
            "Estimates",
            ("lane", "priority", "jobs", "within p50", "within p90", "error p50", "error p90"),
            rows,
        )
    for one in answer["lanes"]:
        if not one["jobs"]:
            say(f"Lane {one['lane']}: no job that was told an estimate has succeeded yet.")


def _rows(lane: dict[str, Any]) -> list[tuple[Any, ...]]:
    """The lane's own row, and one of each priority where it has several."""
    parts = lane["by_priority"] if len(lane["by_priority"]) > 1 else []
    return [
        (
            lane["lane"],
            one.get("priority", "all"),
            one["jobs"],
            f"{one['within_p50']:.0%}",
            f"{one['within_p90']:.0%}",
            _error(one["error_p50_ms"], one["relative_p50"]),
            _error(one["error_p90_ms"], one["relative_p90"]),
        )
        for one in (lane, *parts)
    ]


def _error(off_ms: float, relative: float) -> str:
    return f"{off_ms / 1000:.1f} s ({relative:.0%})"
