"""Gateways of the benchmark within the test's process: there a start takes a second, else many."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks import processes
from benchmarks.engines import Engine
from benchmarks.gateway_process import Thermometer
from benchmarks.processes import Child
from comfygate.app.serve import hosted
from comfygate.settings import load_settings


@dataclass(slots=True)
class _Here(Child):
    """A gateway in this very process."""

    seen: Thermometer = field(default_factory=Thermometer)

    async def ask(self, line: str) -> dict[str, Any]:
        assert line == "look"
        return self.seen.look()


@contextlib.asynccontextmanager
async def _gateway_here(base: Path, *_options: str) -> AsyncIterator[Child]:
    seen = Thermometer()
    watching = asyncio.create_task(seen.watch())
    process = cast("asyncio.subprocess.Process", SimpleNamespace(pid=os.getpid(), returncode=None))
    try:
        async with hosted(load_settings(base_dir=base, environ={})) as house:
            yield _Here(process, {"url": house.url}, seen)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@pytest.fixture(autouse=True)
def _gateways_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "gateway_child", _gateway_here)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """SQLite: the measures are the same on PostgreSQL, whose gateway is tested elsewhere."""
    return Engine("sqlite", tmp_path)
