"""The command `comfygate` as a process of its own, begun in a moment.

Importing what the program needs takes seconds of processor time. A server process, one for each process of
pytest, does so once and forks a child for each start. What runs is a whole process of the real program: it
has its own arguments, variables, folder and streams, and is signalled, killed and waited for as any other.
Only that an interpreter starts and imports is not shown: tests of a `fresh` process show it.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import multiprocessing
import os
import runpy
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

PRELOADED = (
    "comfygate.app.serve", "comfygate.app.checkup", "comfygate.app.safekeeping", "comfygate.bot.run",
    "comfygate.cli.command", "comfygate.cli.gateway", "comfygate.simulator", "tests.forked",
)  # fmt: skip

STOP_SECONDS = 5.0
STACKS = signal.SIGUSR1
"""Has a process say where its threads are."""
_lock = threading.Lock()
"""multiprocessing looks at all of its children at each start: no two threads may."""
_context: ForkServerContext | None = None


def _forking() -> ForkServerContext:
    global _context  # noqa: PLW0603 - one server process for all tests of this process
    if _context is None:
        _context = multiprocessing.get_context("forkserver")
        _context.set_forkserver_preload(list(PRELOADED))
    return _context


def _become(
    arguments: Sequence[str],
    variables: Mapping[str, str],
    folder: str,
    streams: tuple[Connection, Connection],
    session: bool,
) -> None:
    """The child: `python -m comfygate` with these arguments."""
    if session:
        os.setsid()
    for stream, number in zip(streams, (1, 2), strict=True):
        os.dup2(stream.fileno(), number)
        stream.close()
    sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
    sys.stderr.reconfigure(write_through=True)  # type: ignore[union-attr]
    faulthandler.register(STACKS, file=sys.stderr)
    # What a shell starts in the background has it ignored, and so have all that come from it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = ["comfygate", *arguments]
    runpy.run_module("comfygate", run_name="__main__", alter_sys=True)


class Process:
    """What `asyncio.create_subprocess_exec` gives, of a forked child."""

    def __init__(self, child: ForkServerProcess) -> None:
        self._child = child
        self._over = asyncio.get_running_loop().create_future()
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self.returncode: int | None = None
        assert child.pid is not None
        self.pid = child.pid
        asyncio.get_running_loop().add_reader(child.sentinel, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._child.sentinel)
        with _lock:
            self.returncode = self._child.exitcode
        if not self._over.done():
            self._over.set_result(None)

    async def wait(self) -> int:
        """Wait for its end; the exit code, or minus the signal that ended it."""
        await asyncio.shield(self._over)
        assert self.returncode is not None
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """All that it says until its end."""
        assert self.stdout is not None
        assert self.stderr is not None
        out, err = await asyncio.gather(self.stdout.read(), self.stderr.read())
        await self.wait()
        return out, err

    async def said(self, seconds: float) -> tuple[bytes, bytes]:
        """As `communicate`; if it has not ended by then, fails with where its threads are."""
        saying = asyncio.ensure_future(self.communicate())
        done, _ = await asyncio.wait({saying}, timeout=seconds)
        if not done:
            with contextlib.suppress(ProcessLookupError):
                self.send_signal(STACKS)
                self.terminate()
                await asyncio.wait({saying}, timeout=STOP_SECONDS)
                self.kill()
            out, err = await saying
            raise AssertionError(f"still running after {seconds:g} s:\n{out.decode()}\n{err.decode()}")
        return saying.result()

    def send_signal(self, number: int) -> None:
        """Raises ProcessLookupError once it is gone."""
        if self.returncode is not None:
            raise ProcessLookupError
        with contextlib.suppress(ProcessLookupError):  # it ended this moment
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)


def ready() -> None:
    """Begin the server process; returns once it has imported everything, which the first start waits for."""
    with _lock:
        child = _forking().Process(target=os.getpid)
        child.start()
        child.join()


async def start(
    *arguments: str, env: Mapping[str, str], cwd: Path, log: int | None = None, new_session: bool = False
) -> Process:
    """Start `comfygate …`. Its standard error goes to the file `log`, or to a pipe like its output."""
    with contextlib.ExitStack() as ours:
        read_out, write_out = os.pipe()
        read_err, write_err = os.pipe() if log is None else (None, os.dup(log))
        streams = tuple(Connection(end, readable=False) for end in (write_out, write_err))
        for stream in streams:
            ours.callback(stream.close)
        given = (arguments, dict(env), str(cwd), streams, new_session)
        process = Process(await asyncio.to_thread(_started, given))
    process.stdout = await _reader(read_out)
    process.stderr = None if read_err is None else await _reader(read_err)
    return process


def _started(given: tuple[object, ...]) -> ForkServerProcess:
    with _lock:
        child = _forking().Process(target=_become, args=given, daemon=True)
        child.start()
        return child


async def _reader(end: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(end, "rb", buffering=0)
    )
    return reader
