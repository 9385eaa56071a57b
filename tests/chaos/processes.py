"""Real processes that are killed and come back. Only those started here are ever ended, by their own id."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tests import forked

READY_SECONDS_MAX = 60.0
AGAIN_SECONDS = 0.3
"""Before a process that ended by itself is started again."""


def wall_ms() -> int:
    """Now, as gateways, simulators and logs on this machine tell it."""
    return time.time_ns() // 1_000_000


async def pause(seconds: float, over: asyncio.Event) -> None:
    """Let `seconds` pass, unless `over` comes first."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await over.wait()


def free_port() -> int:
    """A TCP port that nobody has now; it is used again at every restart."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Process = asyncio.subprocess.Process | forked.Process


class Launch(Protocol):
    """Starts a `comfygate` command, its standard error into the file `log` (None: a pipe)."""

    async def __call__(
        self,
        *arguments: str,
        env: Mapping[str, str],
        cwd: Path,
        log: int | None = None,
        new_session: bool = False,
    ) -> Process: ...


async def fresh(
    *arguments: str, env: Mapping[str, str], cwd: Path, log: int | None = None, new_session: bool = False
) -> Process:
    """The process that a user starts. `tests.forked.start` is quicker."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "comfygate", *arguments,
        env=env, cwd=cwd, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if log is None else log, start_new_session=new_session,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Death:
    """A kill -9 that hit a process: when, and which of its lives it ended (counted from 1)."""

    name: str
    life: int
    at_ms: int


@dataclass(slots=True)
class Child:
    """A `comfygate` command that runs until `stop`, however often it is killed; a log file for each life."""

    name: str
    arguments: Sequence[str]
    environment: dict[str, str]
    folder: Path
    over: asyncio.Event
    launch: Launch
    life: int = 0
    ready: dict[str, Any] = field(default_factory=dict)
    up: asyncio.Event = field(default_factory=asyncio.Event)
    deaths: list[Death] = field(default_factory=list)
    own_ends: list[str] = field(default_factory=list)
    failed_starts: int = 0
    _process: Process | None = None
    _back_after_seconds: float = 0.0
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _keeper: asyncio.Task[None] | None = None

    def log_path(self, life: int) -> Path:
        """Where a life's standard error went."""
        return self.folder / f"{self.name}.{life:03}.log"

    async def start(self) -> None:
        """Begin, and return once it is ready. Raises TimeoutError."""
        self._keeper = asyncio.create_task(self._keep(), name=self.name)
        async with asyncio.timeout(READY_SECONDS_MAX):
            await self.up.wait()

    def kill(self, back_after_seconds: float) -> Death | None:
        """kill -9; it comes back after so long. None if it is not up."""
        process = self._process
        if process is None or process.returncode is not None or not self.up.is_set():
            return None
        self._back_after_seconds = back_after_seconds
        death = Death(self.name, self.life, wall_ms())
        self.up.clear()
        process.send_signal(signal.SIGKILL)
        self.deaths.append(death)
        return death

    async def stop(self) -> None:
        """End it for good: in order, or by force when that takes long."""
        self._stopping.set()
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(15.0):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def destroy(self) -> None:
        """End it now, whatever it does; for a run that is broken off."""
        self._stopping.set()
        if self._keeper is not None:
            self._keeper.cancel()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            self.life += 1
            before = len(self.deaths)
            was_ready = await self._live()
            self.up.clear()
            if self._stopping.is_set():
                return
            if len(self.deaths) > before:
                await pause(self._back_after_seconds, self.over)
            else:
                code = self._process.returncode if self._process is not None else None
                if was_ready:
                    self.own_ends.append(f"{self.name} life {self.life} ended by itself with {code}")
                else:
                    self.failed_starts += 1
                await pause(AGAIN_SECONDS, self.over)

    async def _live(self) -> bool:
        """One life, to its end; whether it was ever ready."""
        with self.log_path(self.life).open("wb") as log:
            self._process = await self.launch(
                *self.arguments, env=self.environment, cwd=self.folder, log=log.fileno(), new_session=True
            )
        process = self._process
        try:
            assert process.stdout is not None
            line = await process.stdout.readline()
            if line:
                self.ready = json.loads(line)
                self.up.set()
            await process.wait()
            return bool(line)
        finally:
            if process.returncode is None:
                process.kill()


def environment(base: Path) -> dict[str, str]:
    """The variables of a command whose base directory is `base`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COMFYGATE_")}
    return plain | {"COMFYGATE_BASE_DIR": str(base), "PYTHONUNBUFFERED": "1"}


async def until(
    condition: Callable[[], bool], over: asyncio.Event, *, seconds: float, step_seconds: float = 0.1
) -> bool:
    """Look again and again until the condition holds; False after `seconds` or when `over` came."""
    deadline = time.monotonic() + seconds
    while not condition():
        if over.is_set() or time.monotonic() >= deadline:
            return False
        await pause(step_seconds, over)
    return True
