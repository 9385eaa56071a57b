"""Writes the tables and plots of docs/performance.md from the committed results.

A table stands between `<!-- bench NAME -->` and `<!-- end -->`; what stands there is replaced. `keep` as an
argument first makes the last run the committed one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import results
from benchmarks.figures import Figure
from benchmarks.goals import HEADINGS, goals
from benchmarks.plots import PLOTS

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_MARKED = re.compile(r"(<!-- bench (?P<name>[a-z]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, run: results.Run) -> str:
    """The page with every marked table written anew, and a sentence where the run has none."""

    def table(found: re.Match[str]) -> str:
        name = found["name"]
        if name == "machine":
            return f"{found[1]}{_machine(run)}\n{found[3]}"
        if name == "goals":
            return f"{found[1]}{_table(HEADINGS, goals(run))}\n{found[3]}"
        if name not in run.rows:
            return f"{found[1]}Not measured in this run.\n{found[3]}"
        rows = [row.cells() if isinstance(row, Figure) else row for row in run.rows[name]]
        written = _table(("measured", "engine", "figure", "in the same run"), rows)
        return f"{found[1]}{written}\n\nMeasured in {run.seconds[name]:.0f} s.\n{found[3]}"

    return _MARKED.sub(table, page)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines)


def _machine(run: results.Run) -> str:
    said = run.machine
    total = sum(run.seconds.values())
    return (
        f"Run of {said['at']}: Python {said['python']}, {said['machine']}, {said['cores']} cores,"
        f" load average {said['load']} at the start; {total / 60:.0f} minutes in all."
    )


def main(arguments: list[str]) -> int:
    """Write page and plots; 2 if there is nothing to write them from."""
    if "keep" in arguments:
        results.BASELINE.write_text(results.LAST.read_text(encoding="utf-8"), encoding="utf-8")
    if not results.BASELINE.exists():
        print(f"{results.BASELINE} is not there; make bench, then make bench-plots KEEP=1")
        return 2
    run = results.read(results.BASELINE)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), run), encoding="utf-8")
    for name, draw in PLOTS.items():
        (PAGE.parent / "images").mkdir(exist_ok=True)
        (PAGE.parent / "images" / f"bench-{name}.svg").write_text(draw(run), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
