"""A simulator for the tests of what operators watch."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfygate.simulator import Simulator


@pytest.fixture
async def sim(tmp_path: Path) -> AsyncIterator[Simulator]:
    """A running simulator."""
    async with Simulator(base_dir=tmp_path / "comfyui") as running:
        yield running
