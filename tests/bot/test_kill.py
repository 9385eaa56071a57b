"""kill -9 of the whole process at the calls of a job: all is told once, and what is in doubt is offered."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfygate.simulator import Simulator
from tests.bot.conftest import WORKFLOWS
from tests.bot.standin.api import TOKEN, BotApi
from tests.bot.test_orders import begin, choose
from tests.promises.rig import picture

PATIENCE_SECONDS = 60.0


class Service:
    """`comfygate serve` in a process of its own, started again after it was killed."""

    def __init__(self, folder: Path, database_url: str, api: BotApi) -> None:
        self._folder = folder
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COMFYGATE_")},
            "COMFYGATE_PORT": "0",
            "COMFYGATE_DATABASE_URL": database_url,
            "COMFYGATE_BOT__TOKEN": TOKEN,
            "COMFYGATE_BOT__API_URL": api.url,
            "COMFYGATE_BOT__FIRST_CREDITS": "10",
            "COMFYGATE_COMFY__POLL_SECONDS": "0.2",
            "COMFYGATE_DISPATCH__LEASE_SECONDS": "1.0",
        }

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "comfygate", "serve", "--json",
            cwd=self._folder, env=self._env, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert json.loads(await self.process.stdout.readline())["pid"] == self.process.pid

    async def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def command(self, *words: str) -> dict[str, object]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "comfygate", *words, "--json",
            cwd=self._folder, env=self._env, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode == 0
        found: dict[str, object] = json.loads(out)
        return found


@contextlib.asynccontextmanager
async def serving(folder: Path, database_url: str, api: BotApi, comfy: str) -> AsyncIterator[Service]:
    await asyncio.to_thread(shutil.copytree, WORKFLOWS, folder / "workflows")
    service = Service(folder, database_url, api)
    await service.start()
    try:
        await service.command("servers", "add", "one", comfy, "--lanes", "image,video")
        yield service
    finally:
        if service.process.returncode is None:
            await service.kill()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("method", ["answerCallbackQuery", "editMessageText", "sendPhoto"])
async def test_each_message_and_result_comes_once(
    tmp_path: Path, database_url: str, simulator: Simulator, api: BotApi, method: str, after: bool
) -> None:
    async with serving(tmp_path / "gate", database_url, api, simulator.url) as service:
        ann = await begin(api)
        await choose(ann, "Restyle", "Glow")
        await ann.sees("Now send me")
        await ann.sends_photo(picture())
        await ann.offered("Make it")
        held = api.hold(method, after_effect=after)
        await ann.taps("Make it")
        await held.reached()
        await service.kill()
        held.drop()
        await service.start()
        last = await ann.sees("credits spent: 1 · you have 9", seconds=PATIENCE_SECONDS)
        media = [one for message in ann.chat.messages for one in message.media]
        doubt = "may not have arrived" in last.plain
        # Killed in the middle of sending nobody can know: it is not sent again, it is offered.
        assert doubt == (method == "sendPhoto")
        if doubt:
            await ann.taps("Send again")
            media = await ann.gets(len(media) + 1)
        assert len(media) == (2 if doubt and after else 1)
        assert sum("credits spent" in one.plain for one in ann.chat.messages) == 1
        found = await service.command("jobs", "list")
        assert len(found["jobs"]) == 1  # type: ignore[arg-type]
        assert (await service.command("ledger", "audit"))["balanced"] is True
