"""Everything a run starts: gateways, simulators, a database; and the folder of their files and logs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.plan import FAULTS, PRICES, QUEUE_SECONDS_MAX, SERVERS, TIERS, Plan
from tests.chaos.processes import Child, Death, Launch, environment, free_port, wall_ms
from tests.postgres import MortalPostgres, mortal_postgres

SIMULATOR_SPEED = 25.0
"""Half a second a node divided by this: 20 ms."""


@dataclass(slots=True)
class Database:
    """Where the gateways' rows are; only PostgreSQL is a process that can be killed."""

    url: str
    server: MortalPostgres | None
    deaths: list[Death]

    async def kill(self) -> None:
        """kill -9 of the postmaster."""
        if self.server is not None:
            self.deaths.append(Death("database", len(self.deaths) + 1, wall_ms()))
            await asyncio.to_thread(self.server.kill)

    async def start(self) -> None:
        """Begin again over the same data."""
        if self.server is not None:
            await asyncio.to_thread(self.server.start)


@dataclass(slots=True)
class World:
    """All that runs."""

    folder: Path
    over: asyncio.Event
    database: Database
    simulators: list[Child]
    gateways: list[Child]

    @property
    def children(self) -> list[Child]:
        """Every process of comfygate's."""
        return [*self.simulators, *self.gateways]

    async def stop(self) -> None:
        """End the gateways, then the simulators, in order; the database goes on."""
        for group in (self.gateways, self.simulators):
            await asyncio.gather(*(child.stop() for child in group))

    def journal(self, simulator: int) -> Path:
        """What a simulator wrote down, over all its lives."""
        return self.folder / f"sim{simulator + 1}.journal"

    @property
    def simulator_urls(self) -> list[str]:
        """Addresses, the same over restarts."""
        return [f"http://127.0.0.1:{child.arguments[2]}" for child in self.simulators]


@contextlib.contextmanager
def _database(plan: Plan, folder: Path) -> Iterator[Database]:
    if plan.engine == "sqlite":
        yield Database(f"sqlite:///{(folder / 'chaos.db').as_posix()}", None, [])
        return
    with mortal_postgres() as server, server.postgres.database() as url:
        yield Database(url, server, [])


@contextlib.asynccontextmanager
async def running_world(plan: Plan, folder: Path, launch: Launch) -> AsyncIterator[World]:
    """Start it all; whatever happens, every process is gone at the end."""
    over = asyncio.Event()
    with _database(plan, folder) as database:
        simulators = [_simulator(plan, number, folder, over, launch) for number in range(len(SERVERS))]
        secret = secrets.token_hex(32)
        count = 1 if plan.engine == "sqlite" else plan.replicas
        gateways = [_gateway(number, folder, database.url, secret, over, launch) for number in range(count)]
        world = World(folder, over, database, simulators, gateways)
        try:
            await asyncio.gather(*(child.start() for child in world.children))
            yield world
        finally:
            over.set()
            for child in world.children:
                child.destroy()
            await asyncio.gather(*(child.stop() for child in world.children))


def _simulator(plan: Plan, number: int, folder: Path, over: asyncio.Event, launch: Launch) -> Child:
    name = f"sim{number + 1}"
    files = folder / name
    files.mkdir()
    arguments = ["simulate", "--port", str(free_port()), "--speed", str(SIMULATOR_SPEED), "--json"]
    arguments += ["--dir", str(files), "--journal", str(folder / f"{name}.journal")]
    arguments += ["--fault-seed", str(plan.seed)]
    for fault in FAULTS:
        arguments += ["--fault", fault]
    return Child(name, arguments, environment(folder), folder, over, launch)


def _gateway(
    number: int, folder: Path, database_url: str, secret: str, over: asyncio.Event, launch: Launch
) -> Child:
    name = f"gateway{number + 1}"
    base = folder / name
    base.mkdir()
    lanes = "\n".join(
        f"[lanes.{lane}]\nprice = {price}\n"
        + (f"queue_seconds_max = {QUEUE_SECONDS_MAX[lane]}\n" if lane in QUEUE_SECONDS_MAX else "")
        for lane, price in PRICES.items()
    )
    tiers = "\n".join(
        f"[tiers.{tier}]\npriority = {priority}\njobs_queued_max = 100000\n"
        for tier, priority in TIERS.items()
    )
    settings = f"""
database_url = {json.dumps(database_url)}
uploads_dir = {json.dumps(str(folder / "uploads"))}
results_dir = {json.dumps(str(folder / "results"))}
signing_secret = {json.dumps(secret)}
[dispatch]
poll_seconds = 0.3
lease_seconds = 3
quarantine_seconds = 1
quarantine_seconds_max = 4
stop_seconds = 2
attempts_max = 5
[comfy]
poll_seconds = 0.3
submit_retry_seconds = 0.3
connect_timeout_seconds = 2
request_timeout_seconds = 5
transfer_timeout_seconds = 10
probe_seconds = 1
lost_after_seconds = 8
{lanes}
{tiers}
"""
    (base / "comfygate.toml").write_text(settings, encoding="utf-8")
    arguments = ["serve", "--port", str(free_port()), "--json"]
    return Child(name, arguments, environment(base), folder, over, launch)
