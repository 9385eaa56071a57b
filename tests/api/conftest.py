"""A gateway with one simulator and one account, and the parts to make others."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, running_gateway, settings_for


@pytest.fixture
async def sim(tmp_path: Path) -> AsyncIterator[Simulator]:
    """A running simulator."""
    async with Simulator(base_dir=tmp_path / "comfyui") as running:
        yield running


@pytest.fixture
def changes() -> dict[str, Any]:
    """Settings that a test wants otherwise; a test overrides this by `parametrize`."""
    return {}


@pytest.fixture
async def house(tmp_path: Path, sqlite_url: str, changes: dict[str, Any]) -> AsyncIterator[Gateway]:
    """A gateway on SQLite that knows no server yet, for tests that need no job to run."""
    async with running_gateway(settings_for(tmp_path / "gate", sqlite_url, **changes)) as running:
        yield running


@pytest.fixture
async def gateway(
    tmp_path: Path, database_url: str, sim: Simulator, changes: dict[str, Any]
) -> AsyncIterator[Gateway]:
    """A gateway with `sim` behind it, once on each engine."""
    async with running_gateway(settings_for(tmp_path / "gate", database_url, **changes)) as running:
        await running.add_server(sim)
        yield running


@pytest.fixture
async def lite(house: Gateway, sim: Simulator) -> Gateway:
    """A gateway on SQLite with `sim` behind it, for what the engine makes no difference to."""
    await house.add_server(sim)
    return house


@pytest.fixture
async def ann(lite: Gateway) -> AsyncIterator[Client]:
    """A client of `lite` with 100 credits."""
    async with lite.client(await lite.add_account()) as client:
        yield client


@pytest.fixture
async def ben(lite: Gateway) -> AsyncIterator[Client]:
    """Another account of `lite`."""
    async with lite.client(await lite.add_account("ben")) as client:
        yield client
