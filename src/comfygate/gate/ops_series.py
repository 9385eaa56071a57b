"""Plots from the aggregates: one measure over one stretch of time, ready to draw.

Points where nothing happened are left out. A stretch is read by one index, and its cost follows from how much
of it was busy, never from how many jobs there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from comfygate.domain.buckets import (
    DAY_MS,
    HOUR_MS,
    LENGTH_MS,
    Grain,
    Measure,
    busy,
    quantile,
    ratio_of,
    wait_ms,
)
from comfygate.domain.errors import InvalidRequest
from comfygate.gate.context import Context
from comfygate.store import accounts as accounts_store
from comfygate.store import buckets as buckets_store
from comfygate.store.buckets import Cell
from comfygate.store.engine import Connection

RANGES: Final[Mapping[str, tuple[Grain, int]]] = {
    "1h": (Grain.MINUTE, HOUR_MS),
    "24h": (Grain.HOUR, DAY_MS),
    "7d": (Grain.HOUR, 7 * DAY_MS),
    "30d": (Grain.DAY, 30 * DAY_MS),
}

Json = dict[str, Any]
Line = tuple[str, str]


async def series(ctx: Context, measure: str, range: str) -> Json:  # noqa: A002 - as it is asked for
    """A measure over a stretch up to now. Raises InvalidRequest for another measure or range."""
    for field, value, known in (
        ("measure", measure, [one.value for one in Measure]),
        ("range", range, list(RANGES)),
    ):
        if value not in known:
            raise InvalidRequest(
                f"{field} is {value!r}: it must be one of {', '.join(known)}", details={"field": field}
            )
    return await ctx.store.read(_series, Measure(measure), range, ctx.now_ms())


def _series(conn: Connection, measure: Measure, name: str, now_ms: int) -> Json:
    grain, length_ms = RANGES[name]
    step_ms = LENGTH_MS[grain]
    from_ms = (now_ms - length_ms) // step_ms * step_ms
    cells = buckets_store.cells(conn, grain, measure, from_ms, now_ms + 1)
    if measure is Measure.BUSY:
        cells += _running_now(conn, step_ms, from_ms, now_ms)
    lines: dict[Line, dict[int, list[Cell]]] = {}
    for cell in cells:
        line = lines.setdefault(_line(measure, cell), {})
        line.setdefault(cell.at_ms, []).append(cell)
    shown = _SHOWN[measure]
    slots = {row.name: row.slots for row in accounts_store.list_servers(conn)}

    def point(line: Line, at_ms: int, cells: Sequence[Cell]) -> Json:
        span_ms = max(min(step_ms, now_ms - at_ms), 1)
        return {"at_ms": at_ms, **shown(cells, span_ms * slots.get(line[0], 1))}

    return {
        "measure": measure.value,
        "range": name,
        "step_ms": step_ms,
        "from_at_ms": from_ms,
        "until_at_ms": now_ms,
        "series": [
            {
                "series": line[0],
                "part": line[1],
                "points": [point(line, at_ms, found) for at_ms, found in sorted(points.items())],
                "whole": shown(
                    [cell for found in points.values() for cell in found],
                    (now_ms - from_ms) * slots.get(line[0], 1),
                ),
            }
            for line, points in sorted(lines.items())
        ],
    }


def _line(measure: Measure, cell: Cell) -> Line:
    """What is drawn as one line: of estimates, a lane, whether they were met or not."""
    return cell.series, "" if measure is Measure.ETA else cell.part


def _running_now(conn: Connection, step_ms: int, from_ms: int, now_ms: int) -> list[Cell]:
    """What runs at this moment counts for its server's time too, though it is counted when it ends."""
    found = []
    for server, since_ms in buckets_store.open_since(conn):
        for sample in busy(server, max(since_ms, from_ms), now_ms):
            at_ms = sample.at_ms // step_ms * step_ms
            found.append(Cell(at_ms, server, "", 0, 0, sample.total))
    return found


def _bins(cells: Iterable[Cell]) -> dict[int, int]:
    bins: dict[int, int] = {}
    for cell in cells:
        bins[cell.bin] = bins.get(cell.bin, 0) + cell.times
    return bins


def _sums(cells: Iterable[Cell]) -> tuple[int, int]:
    found = list(cells)
    return sum(cell.times for cell in found), sum(cell.total for cell in found)


def _waits(cells: Sequence[Cell], _: int) -> Json:
    times, total = _sums(cells)
    bins = _bins(cells)

    def seconds(share: float) -> float | None:
        number = quantile(bins, share)
        return None if number is None else round(wait_ms(number) / 1000, 3)

    return {
        "jobs": times,
        "mean_seconds": round(total / times / 1000, 3) if times else None,
        "p50_seconds": seconds(0.5),
        "p95_seconds": seconds(0.95),
    }


def _ends(cells: Sequence[Cell], _: int) -> Json:
    times, total = _sums(cells)
    return {"jobs": times, "mean_seconds": round(total / times / 1000, 3) if times else None}


def _blames(cells: Sequence[Cell], _: int) -> Json:
    return {"attempts": _sums(cells)[0]}


def _shares(cells: Sequence[Cell], span_ms: int) -> Json:
    total = _sums(cells)[1]
    # More than all of it is what a job that ends in the next minute was counted for already.
    return {"busy_seconds": round(total / 1000, 3), "share": round(min(total / span_ms, 1.0), 6)}


def _credits(cells: Sequence[Cell], _: int) -> Json:
    times, total = _sums(cells)
    return {"entries": times, "credits": total}


def _errors(cells: Sequence[Cell], _: int) -> Json:
    times, total = _sums(cells)
    bins = _bins(cells)

    def ratio(share: float) -> float | None:
        number = quantile(bins, share)
        return None if number is None else round(ratio_of(number), 3)

    met = sum(cell.times for cell in cells if cell.part == "met")
    return {
        "jobs": times,
        "mean_late_seconds": round(total / times / 1000, 3) if times else None,
        "ratio_p50": ratio(0.5),
        "ratio_p95": ratio(0.95),
        "met_share": round(met / times, 4) if times else None,
    }


_SHOWN: Final[Mapping[Measure, Callable[[Sequence[Cell], int], Json]]] = {
    Measure.WAIT: _waits,
    Measure.ENDED: _ends,
    Measure.BLAME: _blames,
    Measure.BUSY: _shares,
    Measure.CREDITS: _credits,
    Measure.ETA: _errors,
}


def columns_of(measure: str) -> list[str]:
    """The columns of a measure as a table."""
    return ["at_ms", "series", "part", *_SHOWN[Measure(measure)]([], 1)]


def rows_of(found: Json) -> list[Json]:
    """The points of a series as rows of a table."""
    return [
        {**point, "series": line["series"], "part": line["part"]}
        for line in found["series"]
        for point in line["points"]
    ]
