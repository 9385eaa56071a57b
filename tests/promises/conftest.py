"""A simulator and a gateway in front of it, on each engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfygate.simulator import Simulator
from tests.promises.rig import Gateway, gateway, settings_for


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with Simulator(base_dir=tmp_path / "comfy") as started:
        yield started


@pytest.fixture
async def house(tmp_path: Path, database_url: str, simulator: Simulator) -> AsyncIterator[Gateway]:
    """One gateway with one server for both lanes."""
    async with gateway(settings_for(tmp_path / "gate", database_url)) as started:
        await started.add_server("one", simulator.url, "image", "video")
        yield started
