"""The real store functions on SQLite in memory: one transaction an effect, audited when it is committed."""

from __future__ import annotations

import sqlite3
import tempfile
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import StaticPool

from comfygate.domain.errors import StoreTrouble
from comfygate.domain.job import Fence
from comfygate.store.engine import P, R, StoreFunction
from comfygate.store.schema import migrate

if TYPE_CHECKING:
    from tests.sim.process import Process

UNHEARD = {"settle": 5, "claim": 3, "take_over": 3}
"""Where not to hear of a commit is worst it happens so many times as often."""
ASIDE = frozenset({"etas_due", "tell_etas"})
"""Estimates change no job, so their calls have dice of their own: what a seed stands for stays."""


@cache
def _template() -> sqlite3.Connection:
    """The newest schema, made once by the real migrations."""
    kept = sqlite3.connect(":memory:")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        migrate(f"sqlite:///{path.as_posix()}")
        made = sqlite3.connect(path)
        made.backup(kept)
        made.close()
    return kept


class Database:
    """One database; processes come and go, it stays."""

    def __init__(self) -> None:
        self.raw = sqlite3.connect(":memory:", isolation_level=None)
        _template().backup(self.raw)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            self.raw.execute(f"PRAGMA {pragma}")
        self._engine = create_engine("sqlite://", creator=lambda: self.raw, poolclass=StaticPool)

        @event.listens_for(self._engine, "begin")
        def _begin(conn: Connection) -> None:
            conn.exec_driver_sql("BEGIN IMMEDIATE")

        self.connection = self._engine.connect()

    def close(self) -> None:
        self.connection.close()
        self._engine.dispose()
        self.raw.close()


class SimStore:
    """The store of one process: it may be in trouble, and the process may die on either side of a commit."""

    def __init__(self, process: Process, database: Database) -> None:
        self._process = process
        self._database = database

    @property
    def dialect(self) -> str:
        """What the gate is told: several processes share PostgreSQL, where leases decide who is dead."""
        return "postgresql" if self._process.world.plan.replicas > 1 else "sqlite"

    async def run(self, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` and commit. Raises what `fn` raises, and StoreTrouble with nothing written."""
        world, dice = self._process.world, self._dice(fn.__name__)
        await self._process.reach(fn.__name__, "before", dice)
        if self._process.database_away or dice.random() < world.weather.store_error:
            raise _trouble()
        before = self._database.raw.total_changes
        with self._database.connection.begin():
            answer = fn(self._database.connection, *args, **kwargs)
        if self._database.raw.total_changes != before:
            fence = next((given for given in args if isinstance(given, Fence)), None)
            world.committed(fn.__name__, self._process.name, fence)
        await self._process.reach(fn.__name__, "during", dice)
        if dice.random() < world.weather.unheard * UNHEARD.get(fn.__name__, 1):
            world.note(f"{self._process.name}: does not hear of {fn.__name__}")
            raise _trouble()
        await self._process.reach(fn.__name__, "after", dice)
        return answer

    async def read(self, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on what is committed."""
        world, dice = self._process.world, self._dice(fn.__name__)
        await self._process.reach(fn.__name__, "before", dice)
        if self._process.database_away or dice.random() < world.weather.store_error / 4:
            raise _trouble()
        with self._database.connection.begin():
            answer = fn(self._database.connection, *args, **kwargs)
        await self._process.reach(fn.__name__, "after", dice)
        return answer

    def _dice(self, name: str) -> Random:
        return self._process.world.aside if name in ASIDE else self._process.world.rng

    async def close(self) -> None:
        return


def _trouble() -> StoreTrouble:
    return StoreTrouble("simulated: disk I/O error")
