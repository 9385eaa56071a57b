"""The engines to measure, a fresh database each time, and simulators in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from comfygate.settings import Settings, load_settings
from tests.postgres import NoPostgres, Postgres, running_postgres

_SIMULATOR = """
import asyncio, sys
from comfygate.simulator import Simulator
async def main():
    async with Simulator(node_seconds=float(sys.argv[1])) as simulator:
        print(simulator.url, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@dataclass(slots=True)
class Engine:
    """SQLite or PostgreSQL, ready to be opened any number of times."""

    name: str
    folder: Path
    postgres: Postgres | None = None
    _serial: Iterator[int] = field(default_factory=itertools.count)

    @contextlib.contextmanager
    def settings(
        self,
        lanes: Mapping[str, Mapping[str, object]] | None = None,
        dispatch: Mapping[str, object] | None = None,
    ) -> Iterator[Settings]:
        """Settings of a fresh gate: own folders, own empty database, limits out of the way."""
        wide: dict[str, object] = {"depth_max": 10_000_000}
        base = self.folder / f"{self.name}-{next(self._serial)}"
        base.mkdir()
        overrides: dict[str, object] = {
            "tiers": {"regular": {"jobs_queued_max": 1_000_000}},
            "lanes": {lane: {**wide, **(lanes or {}).get(lane, {})} for lane in ("image", "video")},
            "log": {"level": "error"},
            "dispatch": dict(dispatch or {}),
        }
        with contextlib.ExitStack() as stack:
            if self.postgres is not None:
                overrides["database_url"] = stack.enter_context(self.postgres.database())
            yield load_settings(base_dir=base, environ={}, overrides=overrides)


@contextlib.contextmanager
def engines(folder: Path) -> Iterator[list[Engine]]:
    """SQLite, and PostgreSQL where one can be started."""
    with contextlib.ExitStack() as stack:
        found = [Engine("sqlite", folder)]
        try:
            server = stack.enter_context(running_postgres())
        except NoPostgres as reason:
            sys.stderr.write(f"no PostgreSQL to measure: {reason}\n")
        else:
            found.append(Engine("postgresql", folder, server))
        yield found


@contextlib.asynccontextmanager
async def simulator(node_seconds: float) -> AsyncIterator[str]:
    """A simulator in a process of its own, so that it does not share our event loop; yields its URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _SIMULATOR, str(node_seconds), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None  # noqa: S101 - asked for above
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()
