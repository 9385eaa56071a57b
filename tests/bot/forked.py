"""`comfygate serve` as a process that can be killed, begun in a moment.

Importing aiogram takes seconds. A server process imports everything once and forks a child for each start;
what is killed is such a child, a whole process of the real program.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

START_SECONDS = 60.0

_context: ForkServerContext | None = None


def _forking() -> ForkServerContext:
    global _context  # noqa: PLW0603 - one server process for all tests of this process
    if _context is None:
        _context = multiprocessing.get_context("forkserver")
        _context.set_forkserver_preload(["comfygate.app.serve", "comfygate.bot.run", "tests.bot.forked"])
    return _context


def _serve(folder: str, env: Mapping[str, str], out: Connection) -> None:
    """The child: the command itself, with its first line of output to the test."""
    os.chdir(folder)
    for name in [one for one in os.environ if one.startswith("COMFYGATE_")]:
        del os.environ[name]
    os.environ.update(env)
    os.dup2(out.fileno(), 1)
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.argv = ["comfygate", "serve", "--json"]
    from comfygate.app import main

    main()


class Served:
    """One running `comfygate serve`."""

    def __init__(self, process: ForkServerProcess, said: Mapping[str, Any]) -> None:
        self._process = process
        self.url: str = said["url"]
        assert said["pid"] == process.pid

    async def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._process.kill()
        await asyncio.to_thread(self._process.join)


async def serve(folder: Path, env: Mapping[str, str]) -> Served:
    """Start the service in `folder` with these settings; returns once it takes jobs."""
    context = _forking()
    reading, writing = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(str(folder), dict(env), writing), daemon=True)
    await asyncio.to_thread(process.start)
    writing.close()
    with os.fdopen(os.dup(reading.fileno()), "rb") as file:
        async with asyncio.timeout(START_SECONDS):
            line = await asyncio.to_thread(file.readline)
    reading.close()
    return Served(process, json.loads(line))
