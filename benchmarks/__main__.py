"""Measure on both engines and print a table: `python -m benchmarks [NAME…]`; see MEASURES for the names.

Everything runs on this machine: simulators in processes of their own, PostgreSQL started for the run.
Each figure says what it counts; ratios compare two measurements of the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import platform
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from benchmarks.claim import measure_claim
from benchmarks.engines import Engine, engines
from benchmarks.fair import measure_fair
from benchmarks.screening import measure_screening
from benchmarks.submit import measure_submit
from benchmarks.throughput import measure_throughput
from benchmarks.warm import measure_warm

RESULTS = Path(__file__).parent / "results"

Row = tuple[str, str, str, str]
Measure = Callable[[Engine], Awaitable[list[Row]]]
MEASURES: dict[str, Measure] = {
    "throughput": measure_throughput,
    "submit": measure_submit,
    "claim": measure_claim,
    "fair": measure_fair,
    "warm": measure_warm,
    "screening": measure_screening,
}


@contextlib.asynccontextmanager
async def _timed(console: Console, what: str) -> AsyncIterator[None]:
    began = time.monotonic()
    yield
    console.print(f"{what} took {time.monotonic() - began:.1f} s")


async def main(names: list[str]) -> int:
    """Run the named measurements, all by default, and print and keep what they found."""
    console = Console()
    unknown = sorted(set(names) - MEASURES.keys())
    if unknown:
        console.print(f"no measurement is called {', '.join(unknown)}; there are {', '.join(MEASURES)}")
        return 2
    table = Table(title=f"comfygate on Python {platform.python_version()}, {platform.machine()}")
    for heading in ("measurement", "engine", "figure", "in the same run"):
        table.add_column(heading)
    rows: list[Row] = []
    with TemporaryDirectory() as folder, engines(Path(folder)) as found:
        for name in names or list(MEASURES):
            for engine in found:
                async with _timed(console, f"{name} on {engine.name}"):
                    rows += await MEASURES[name](engine)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "last.json").write_text(json.dumps(rows, indent=2), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
