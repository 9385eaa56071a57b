"""Telegram's stand-in, a simulator and a gateway with its bot, on each engine."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from comfygate.bot import limits
from comfygate.simulator import Simulator
from tests.bot.standin.api import TOKEN, BotApi
from tests.promises.rig import Gateway, gateway, settings_for

WORKFLOWS = Path(__file__).parents[2] / "workflows"


IN_REAL_TIME = ("test_positions", "test_limits", "test_kill", "test_a_picture_job")
"""Where one chat gets no more than Telegram lets it; elsewhere what is said matters, not how fast."""


@pytest.fixture
async def api(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BotApi]:
    async with BotApi() as started:
        if not any(name in request.node.nodeid for name in IN_REAL_TIME):
            monkeypatch.setattr(limits, "CHAT_BURST", 50)
            monkeypatch.setattr(limits, "CHAT_PER_SECOND", 50.0)
            started.windows.chat_per_second = started.windows.chat_per_minute = 10_000
        yield started


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with Simulator(base_dir=tmp_path / "comfy") as started:
        yield started


@contextlib.asynccontextmanager
async def bot_gateway(
    folder: Path, database_url: str, api: BotApi, tables: Mapping[str, Any] | None = None, **bot: Any
) -> AsyncIterator[Gateway]:
    """A gateway with the sample catalogue and a bot at the stand-in; `tables` are other settings."""
    if not (folder / "workflows").exists():
        shutil.copytree(WORKFLOWS, folder / "workflows")
    table = {"token": TOKEN, "api_url": api.url, "first_credits": 10, "progress_seconds": 0.05, **bot}
    given = dict(tables or {})
    top = {name: given.pop(name) for name in list(given) if not isinstance(given[name], Mapping)}
    settings = settings_for(folder, database_url, top, bot=table, **given)
    async with gateway(settings) as started:
        yield started


@pytest.fixture
async def house(
    tmp_path: Path, database_url: str, simulator: Simulator, api: BotApi
) -> AsyncIterator[Gateway]:
    async with bot_gateway(tmp_path / "gate", database_url, api) as started:
        await started.add_server("one", simulator.url, "image", "video")
        yield started
