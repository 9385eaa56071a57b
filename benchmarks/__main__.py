"""Measure on both engines and print a table: `python -m benchmarks [NAME…]`; see MEASURES for the names.

Everything runs on this machine: gateways, simulators and callers in processes of their own, PostgreSQL
started for the run. Each figure says what it counts; ratios compare two measurements of the same run.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from benchmarks import results
from benchmarks.backlog import measure_backlog
from benchmarks.dispatch import measure_dispatch
from benchmarks.engines import engines
from benchmarks.fair import measure_fair
from benchmarks.figures import Figure, Measure, Row
from benchmarks.fleet import measure_fleet
from benchmarks.followers import measure_followers
from benchmarks.goals import HEADINGS, NOT_MEASURED, goals
from benchmarks.operations import measure_operations
from benchmarks.outputs import measure_outputs
from benchmarks.pages import measure_pages
from benchmarks.real import measure_real
from benchmarks.screening import measure_screening
from benchmarks.start import measure_start
from benchmarks.submit import measure_submit
from benchmarks.utilisation import measure_utilisation
from benchmarks.warm import measure_warm
from comfygate.app import logs

MEASURES: dict[str, Measure] = {
    "utilisation": measure_utilisation,
    "dispatch": measure_dispatch,
    "submit": measure_submit,
    "backlog": measure_backlog,
    "fleet": measure_fleet,
    "followers": measure_followers,
    "pages": measure_pages,
    "operations": measure_operations,
    "outputs": measure_outputs,
    "start": measure_start,
    "real": measure_real,
    "fair": measure_fair,
    "warm": measure_warm,
    "screening": measure_screening,
}


def shown(rows: list[Row], title: str) -> Table:
    """A table of one measurement."""
    table = Table(title=title, title_justify="left")
    for heading in ("measurement", "engine", "figure", "in the same run"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(row.cells() if isinstance(row, Figure) else row))
    return table


async def main(names: list[str]) -> int:
    """Run the named measurements, all by default, and print and keep what they found."""
    console = Console()
    unknown = sorted(set(names) - MEASURES.keys())
    if unknown:
        console.print(f"no measurement is called {', '.join(unknown)}; there are {', '.join(MEASURES)}")
        return 2
    # What runs in this process says no more than the gateways.
    logs.configure("error", "console")
    kept = results.Run.now()
    with TemporaryDirectory() as folder, engines(Path(folder)) as found:
        for name in names or list(MEASURES):
            began = time.monotonic()
            rows: list[Row] = []
            for engine in found:
                rows += await MEASURES[name](engine)
            seconds = time.monotonic() - began
            console.print(shown(rows, f"{name}, measured in {seconds:.0f} s"))
            kept.add(name, seconds, rows)
            kept.write(results.LAST)
    table = Table(title="goals of what was measured", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for line in goals(kept):
        if line[-1] != NOT_MEASURED:
            table.add_row(*line)
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
