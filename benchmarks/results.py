"""What a run found, kept as JSON, and the ratios of two runs side by side.

`python -m benchmarks.results` compares the last run with the committed one. Ratios only: the times of two
runs say as much about the machines as about the code.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, Row, plain

FOLDER = Path(__file__).parent / "results"
LAST = FOLDER / "last.json"
BASELINE = FOLDER / "baseline.json"
NOISE = 0.15
"""Part by which a ratio may differ from the baseline's before it is marked."""


@dataclass(slots=True)
class Run:
    """One run: what it ran on, and the rows of each measurement."""

    machine: dict[str, Any]
    rows: dict[str, list[Row]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def now(cls) -> Run:
        """An empty run on this machine."""
        return cls(
            {
                "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
                "python": platform.python_version(),
                "machine": platform.machine(),
                "cores": os.cpu_count(),
                "load": round(os.getloadavg()[0], 1),
            }
        )

    def add(self, measure: str, seconds: float, rows: list[Row]) -> None:
        """Keep what a measurement found, and how long it took."""
        self.rows[measure], self.seconds[measure] = rows, round(seconds, 1)

    def figures(self, measure: str) -> list[Figure]:
        """A measurement's rows that are numbers."""
        return [row for row in self.rows.get(measure, []) if isinstance(row, Figure)]

    def write(self, path: Path) -> None:
        """Keep it; what an earlier run found of other measurements stays in the file."""
        found = read(path) if path.exists() else Run(self.machine)
        rows, seconds = found.rows | self.rows, found.seconds | self.seconds
        path.parent.mkdir(exist_ok=True)
        measures = {
            name: {
                "seconds": seconds[name],
                "rows": [row.to_json() if isinstance(row, Figure) else list(row) for row in rows[name]],
            }
            for name in rows
        }
        path.write_text(
            json.dumps({"machine": self.machine, "measures": measures}, indent=1) + "\n", encoding="utf-8"
        )


def read(path: Path) -> Run:
    """Raises OSError and ValueError."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    found = Run(kept["machine"])
    for name, measure in kept["measures"].items():
        rows: list[Row] = [
            Figure.from_json(row) if isinstance(row, dict) else (row[0], row[1], row[2], row[3])
            for row in measure["rows"]
        ]
        found.add(name, measure["seconds"], rows)
    return found


def compare(old: Run, new: Run) -> list[tuple[str, str, str, str, str, str]]:
    """Measurement, figure, engine, the ratio then and now, and what that means; in the new run's order."""
    lines = []
    for measure in new.rows:
        before = {(one.name, one.engine): one for one in old.figures(measure)}
        for now in new.figures(measure):
            then = before.get((now.name, now.engine))
            if now.ratio is None or then is None or not then.ratio:
                continue
            lines.append(
                (
                    measure,
                    now.name,
                    now.engine,
                    plain(then.ratio),
                    plain(now.ratio),
                    _verdict(now, then.ratio),
                )
            )
    return lines


def _verdict(now: Figure, before: float) -> str:
    change = (now.ratio or 0.0) / before
    if abs(change - 1) <= NOISE or not now.better:
        return f"x {plain(change)}"
    better = (change > 1) == (now.better == "higher")
    return f"x {plain(change)} {'better' if better else 'worse'}"


def main() -> int:
    """Print the comparison; 2 if there is nothing to compare."""
    console = Console()
    for path, what in ((LAST, "make bench"), (BASELINE, "git checkout of it")):
        if not path.exists():
            console.print(f"{path} is not there; {what} makes it")
            return 2
    old, new = read(BASELINE), read(LAST)
    table = Table(title=f"ratios: {old.machine['at']} and {new.machine['at']}", title_justify="left")
    for heading in ("measure", "figure", "engine", "then", "now", "now / then"):
        table.add_column(heading, overflow="fold")
    for line in compare(old, new):
        table.add_row(*line)
    console.print(table)
    console.print(f"marked: what moved by more than {NOISE:.0%}; the machine's own noise can do that")
    return 0


if __name__ == "__main__":
    sys.exit(main())
