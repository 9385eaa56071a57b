"""The command as its users run it: a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from tests import forked

PATIENCE_SECONDS = 40.0
SAMPLES = Path(__file__).parents[2] / "src" / "comfygate" / "cli" / "samples"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its answer; fails with what it said if there is none."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    def error(self) -> Json:
        """Its error, from standard error."""
        error: Json = json.loads(self.err)["error"]
        return error


def environment(base: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a command whose base directory is `base`."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COMFYGATE_")}
    return plain | {"COMFYGATE_BASE_DIR": str(base), "PYTHONUNBUFFERED": "1"} | dict(more or {})


Process = asyncio.subprocess.Process | forked.Process


async def command(base: Path, *arguments: str, **variables: str) -> Ended:
    """Run `comfygate …` as a process, to its end."""
    return await _end_of(await forked.start(*arguments, env=environment(base, variables), cwd=base))


async def fresh_command(base: Path, *arguments: str, **variables: str) -> Ended:
    """The same with an interpreter that starts and imports what it needs."""
    return await _end_of(await _fresh(base, arguments, variables))


async def _end_of(process: Process) -> Ended:
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def _fresh(
    base: Path, arguments: tuple[str, ...], variables: Mapping[str, str]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "comfygate", *arguments,
        env=environment(base, variables), cwd=base,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@dataclass(slots=True)
class Running:
    """A command that goes on. Its log lines (standard error) are kept as they come."""

    process: Process
    ready: Json = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log.append(line.decode())
            self._wake()
        self._wake()

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

    async def logged(self, event: str) -> Json:
        """Wait until it logged `event`; its fields."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                grown = self._grown
                for line in self.log:
                    if f'"event": "{event}"' in line:
                        found: Json = json.loads(line)
                        return found
                await grown.wait()

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        return await asyncio.wait_for(self.process.wait(), PATIENCE_SECONDS)


@contextlib.asynccontextmanager
async def running(base: Path, *arguments: str, **variables: str) -> AsyncIterator[Running]:
    """Run a command that prints one line of JSON when it is ready; killed at the end if it still runs."""
    process = await forked.start(*arguments, env=environment(base, variables), cwd=base)
    async with _followed(process) as found:
        yield found


@contextlib.asynccontextmanager
async def fresh_running(base: Path, *arguments: str, **variables: str) -> AsyncIterator[Running]:
    """The same with an interpreter that starts and imports what it needs."""
    async with _followed(await _fresh(base, arguments, variables)) as found:
        yield found


@contextlib.asynccontextmanager
async def _followed(process: Process) -> AsyncIterator[Running]:
    found = Running(process)
    reading = asyncio.create_task(found.read_log())
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), PATIENCE_SECONDS)
        assert line, "".join(found.log)
        found.ready = json.loads(line)
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


SERVE = ("serve", "--port", "0", "--json")


def serving(base: Path, **variables: str) -> contextlib.AbstractAsyncContextManager[Running]:
    """`comfygate serve` on a port that the system chooses."""
    return running(base, *SERVE, **variables)


def photo(path: Path, size: tuple[int, int] = (64, 48)) -> Path:
    """A small picture that is not one colour."""
    across = Image.linear_gradient("L").resize(size)
    Image.merge("RGB", (across, across.rotate(180), Image.new("L", size, 90))).save(path)
    return path


def graph_file(path: Path, *, image: str = "photo.png") -> Path:
    """A graph that loads a picture, turns it into its negative and saves it."""
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "negative"}},
    }
    path.write_text(json.dumps(graph), encoding="utf-8")
    return path


def private_mode(path: Path) -> bool:
    """Whether only its owner may use the file; always so on Windows, where the folder decides."""
    return sys.platform == "win32" or (path.stat().st_mode & 0o777) == 0o600
