"""Gateways and simulators in processes of their own, what they use of the machine, and their callers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import tomli_w

from benchmarks.engines import Engine
from comfygate.cli import control_file
from comfygate.cli.operate import ask

READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 40.0
LOOK_SECONDS = 0.05
LINE_BYTES_MAX = 64 * 1024 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")
Json = dict[str, Any]
_serial = itertools.count()


@dataclass(slots=True)
class Child:
    """A process that answers lines with JSON lines."""

    process: asyncio.subprocess.Process
    ready: Json = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.ready["url"])

    async def ask(self, line: str) -> Json:
        """Its answer. Raises RuntimeError when it has ended."""
        assert self.process.stdin is not None  # noqa: S101 - piped below
        self.process.stdin.write(line.encode() + b"\n")
        return await self.line()

    async def line(self) -> Json:
        """The next line it says. Raises RuntimeError when it has ended."""
        assert self.process.stdout is not None  # noqa: S101 - piped below
        said = await self.process.stdout.readline()
        if not said:
            raise RuntimeError(f"a process of the benchmark ended with {await self.process.wait()}")
        found: Json = json.loads(said)
        return found

    def cpu_seconds(self) -> float:
        """Processor time since it began, its ended children included."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS

    def memory_mb(self) -> float:
        """What it has resident now, in MB of 1,000,000 bytes."""
        return self._status("VmRSS")

    def memory_peak_mb(self) -> float:
        """The most it ever had resident."""
        return self._status("VmHWM")

    def _status(self, name: str) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024 / 1e6
        return 0.0


@contextlib.asynccontextmanager
async def child(module: str, *arguments: str) -> AsyncIterator[Child]:
    """A module of the benchmark as a process, ready; told to stop at the end, and ended if it does not."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_BYTES_MAX,
    )  # fmt: skip
    found = Child(process)
    try:
        async with asyncio.timeout(READY_SECONDS_MAX):
            found.ready = await found.line()
        yield found
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_SECONDS_MAX):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


@contextlib.asynccontextmanager
async def simulator(node_seconds: float) -> AsyncIterator[Child]:
    """A simulator that stamps what it does."""
    async with child("benchmarks.simulator_process", str(node_seconds)) as found:
        yield found


@dataclass(frozen=True, slots=True)
class Caller:
    """One account, over HTTP."""

    session: aiohttp.ClientSession
    url: str
    id: str
    key: str

    async def call(self, method: str, path: str, **given: Any) -> Json:
        """The JSON answer. Raises RuntimeError for a refusal."""
        headers = {"Authorization": f"Bearer {self.key}"}
        async with self.session.request(method, f"{self.url}{path}", headers=headers, **given) as answer:
            body: Json = await answer.json()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path} was answered {answer.status}: {body}")
            return body

    async def upload(self, content: bytes, name: str) -> str:
        """The asset's id."""
        form = aiohttp.FormData()
        form.add_field("content_type", "image/png")
        form.add_field("file_path", name)
        form.add_field("file", content, filename=name, content_type="image/png")
        return str((await self.call("POST", "/api/v2/assets", data=form))["id"])

    async def submit(self, graph: Json, lane: str = "image") -> str:
        """The job's id."""
        return str((await self.call("POST", f"/api/v2/jobs?lane={lane}", json={"workflow": graph}))["id"])


@dataclass(slots=True)
class Gateway:
    """A running gateway and how its operator and callers reach it."""

    child: Child
    base: Path
    session: aiohttp.ClientSession

    async def operate(self, operation: str, **arguments: Any) -> Json:
        """An operator's request. Raises CommandError."""
        found = control_file.read(self.base / "data")
        if found is None:
            raise RuntimeError(f"no control file in {self.base / 'data'}")
        return await ask(found, operation, arguments)

    async def caller(self, name: str, credits: int = 100_000_000) -> Caller:
        """A new account."""
        made = await self.operate("accounts.add", name=name, credits=credits)
        return Caller(self.session, self.child.url, made["id"], made["api_key"])

    async def add_server(
        self, name: str, url: str, lane: str = "image", slots: int = 1, ahead: int = 0
    ) -> None:
        """Configure a server and wait until it was found up."""
        await self.operate("servers.add", name=name, url=url, lanes=[lane], slots=slots, ahead=ahead)
        await self.servers_up(1, name)

    async def servers_up(self, count: int, name: str = "") -> None:
        """Wait until so many servers (of this name, if given) are up."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            found = (await self.operate("servers.list"))["servers"]
            up = [one for one in found if one["state"] == "up" and name in {"", one["name"]}]
            if len(up) >= count:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(up)} of {count} servers are up after {READY_SECONDS_MAX:.0f} s")
            await asyncio.sleep(LOOK_SECONDS)

    async def idle(self, seconds_max: float = READY_SECONDS_MAX) -> None:
        """Wait until no job is open. Raises RuntimeError after `seconds_max`, and for a job that failed."""
        deadline = time.monotonic() + seconds_max
        while True:
            wanted = ["queued", "running", "canceling", "failed"]
            found = (await self.operate("jobs.list", status=wanted, limit=1))["jobs"]
            if not found:
                return
            if found[0]["status"] == "failed" or time.monotonic() > deadline:
                raise RuntimeError(f"a job of the benchmark is {found[0]['status']}: {found[0]}")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> Json:
        """Lateness of its event loop since the last look, in seconds, and counts where these are on."""
        return await self.child.ask("look")


def base_settings(engine: Engine, database_url: str, extra: Mapping[str, Any]) -> Json:
    """A comfygate.toml: limits out of the way, everything else as it is by default."""
    settings: Json = {
        "port": 0,
        "tiers": {"regular": {"jobs_queued_max": 1_000_000}},
        "lanes": {lane: {"depth_max": 10_000_000} for lane in ("image", "video")},
        "limits": {"streams_per_account_max": 100_000},
        "log": {"level": "error"},
    }
    if engine.postgres is not None:
        settings["database_url"] = database_url
    for name, table in extra.items():
        settings[name] = {**settings.get(name, {}), **table} if isinstance(table, dict) else table
    return settings


@contextlib.contextmanager
def fresh_database(engine: Engine):  # type: ignore[no-untyped-def]  # a generator of str
    """The address of an empty database; empty for SQLite, which is a file of the gateway's own."""
    if engine.postgres is None:
        yield ""
    else:
        with engine.postgres.database() as url:
            yield url


@contextlib.asynccontextmanager
async def gateway(
    engine: Engine, *options: str, database_url: str | None = None, **extra: Any
) -> AsyncIterator[Gateway]:
    """A gateway in a process of its own with its own folders, and an empty database unless one is given.

    `extra` are tables and keys of its settings; `options` go to `gateway_process`.
    """
    base = engine.folder / f"gateway-{next(_serial)}"
    base.mkdir()
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(fresh_database(engine)) if database_url is None else database_url
        settings = base_settings(engine, url, extra)
        (base / "comfygate.toml").write_text(tomli_w.dumps(settings), encoding="utf-8")
        async with running(base, *options) as found:
            yield found


def gateway_child(base: Path, *options: str) -> contextlib.AbstractAsyncContextManager[Child]:
    """The process of a gateway over a folder that has its comfygate.toml."""
    return child("benchmarks.gateway_process", str(base), *options)


@contextlib.asynccontextmanager
async def running(base: Path, *options: str) -> AsyncIterator[Gateway]:
    """A gateway over a folder that has its comfygate.toml."""
    connector = aiohttp.TCPConnector(limit=0)
    async with (
        gateway_child(base, *options) as found,
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=300)) as session,
    ):
        yield Gateway(found, base, session)
