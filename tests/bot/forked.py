"""`comfygate serve` as a process that can be killed, begun in a moment."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import forked

START_SECONDS = 60.0


class Served:
    """One running `comfygate serve`."""

    def __init__(self, process: forked.Process, said: Mapping[str, Any]) -> None:
        self._process = process
        self.url: str = said["url"]
        assert said["pid"] == process.pid

    async def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self._process.kill()
        await self._process.wait()


async def serve(folder: Path, env: Mapping[str, str]) -> Served:
    """Start the service in `folder` with these settings; returns once it takes jobs."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COMFYGATE_")}
    with open(os.devnull, "wb") as nowhere:  # noqa: ASYNC230, PTH123 - a device that never blocks
        process = await forked.start(
            "serve", "--json", env=plain | dict(env), cwd=folder, log=nowhere.fileno()
        )
    assert process.stdout is not None
    async with asyncio.timeout(START_SECONDS):
        line = await process.stdout.readline()
    return Served(process, json.loads(line))
