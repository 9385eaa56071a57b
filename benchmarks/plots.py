"""Bar charts of a run as SVG, drawn here: a plotting library would be the largest dependency of the house.

Lengths are logarithmic where figures span decades, and every bar has its number beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from benchmarks.figures import Figure, plain
from benchmarks.results import Run

WIDTH, LABEL, ROW, HEAD = 860, 330, 22, 44
BAR = WIDTH - LABEL - 110
COLOURS: Mapping[str, str] = {"sqlite": "#3b7dd8", "postgresql": "#d8833b", "-": "#888888"}


def bars(title: str, unit: str, figures: Sequence[Figure]) -> str:
    """A chart with one bar a figure, longest for the greatest."""
    height = HEAD + ROW * len(figures) + 12
    values = [one.value for one in figures if one.value > 0]
    least, most = min(values, default=1.0) / 2, max(values, default=1.0)
    size = f'width="{WIDTH}" height="{height}"'
    legend = f"{escape(unit)}, logarithmic; blue SQLite, orange PostgreSQL"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {height}"'
    parts = [
        f'{head} font-family="sans-serif" font-size="12">',
        f'<rect {size} fill="white"/>',
        f'<text x="8" y="20" font-size="15">{escape(title)}</text>',
        f'<text x="8" y="37" fill="#666666">{legend}</text>',
    ]
    for number, one in enumerate(figures):
        top = HEAD + ROW * number
        part = math.log(one.value / least) / math.log(most / least) if one.value > 0 else 0.0
        colour = COLOURS.get(one.engine, "#888888")
        label = escape(one.name)
        length = max(BAR * part, 1.0)
        parts.append(f'<text x="{LABEL - 6}" y="{top + 14}" text-anchor="end">{label}</text>')
        parts.append(
            f'<rect x="{LABEL}" y="{top + 3}" width="{length:.1f}" height="{ROW - 6}" fill="{colour}"/>'
        )
        parts.append(f'<text x="{LABEL + length + 5:.1f}" y="{top + 14}">{plain(one.value)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _chosen(run: Run, measure: str, *words: str) -> list[Figure]:
    return [one for one in run.figures(measure) if all(word in one.name for word in words)]


PLOTS: Mapping[str, Callable[[Run], str]] = {
    "gaps": lambda run: bars(
        "Idle time of a server between two jobs, median", "ms", _chosen(run, "utilisation", "gap, median")
    ),
    "submit": lambda run: bars(
        "Durable submissions over HTTP", "jobs a second", _chosen(run, "submit", ": rate")
    ),
    "backlog": lambda run: bars(
        "Cost of an operation behind a backlog, median",
        "ms",
        [one for one in run.figures("backlog") if one.unit == "ms" and "lag" not in one.name],
    ),
    "fleet": lambda run: bars("Jobs through gateways", "jobs a second", _chosen(run, "fleet", ": rate")),
    "followers": lambda run: bars(
        "A job's end, heard on event streams after", "ms", _chosen(run, "followers", "end heard")
    ),
}
