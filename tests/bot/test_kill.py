"""kill -9 of the whole process at the calls of a job: all is told once, and what is in doubt is offered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from comfygate.simulator import Simulator
from tests.bot.conftest import WORKFLOWS
from tests.bot.forked import Served, serve
from tests.bot.standin.api import TOKEN, BotApi
from tests.bot.standin.people import Person
from tests.bot.test_orders import begin, choose
from tests.promises.rig import picture

PATIENCE_SECONDS = 60.0
ADMIN_KEY = "an admin's key that only this test knows"
Json = dict[str, Any]


class Service:
    """`comfygate serve` in a process of its own, started again after it was killed."""

    def __init__(self, folder: Path, database_url: str, api: BotApi) -> None:
        self._folder = folder
        self.served: Served | None = None
        self._env = {
            "COMFYGATE_PORT": "0",
            "COMFYGATE_DATABASE_URL": database_url,
            "COMFYGATE_ADMIN_KEY": ADMIN_KEY,
            "COMFYGATE_BOT__TOKEN": TOKEN,
            "COMFYGATE_BOT__API_URL": api.url,
            "COMFYGATE_BOT__FIRST_CREDITS": "10",
            "COMFYGATE_COMFY__POLL_SECONDS": "0.2",
            "COMFYGATE_DISPATCH__LEASE_SECONDS": "1.0",
        }

    async def start(self) -> None:
        self.served = await serve(self._folder, self._env)

    async def kill(self) -> None:
        if self.served is not None:
            served, self.served = self.served, None
            await served.kill()

    async def operate(self, method: str, path: str, **body: object) -> Json:
        """What an operator does over HTTP."""
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
        assert self.served is not None
        url = f"{self.served.url}/gate/v1/admin{path}"
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, url, json=body if method == "POST" else None) as answer,
        ):
            found: Json = await answer.json()
            assert answer.status == 200, found
            return found


@contextlib.asynccontextmanager
async def serving(folder: Path, database_url: str, api: BotApi, comfy: str) -> AsyncIterator[Service]:
    await asyncio.to_thread(shutil.copytree, WORKFLOWS, folder / "workflows")
    service = Service(folder, database_url, api)
    await service.start()
    try:
        await service.operate("POST", "/servers", name="one", url=comfy, lanes=["image", "video"])
        yield service
    finally:
        await service.kill()


class Step(NamedTuple):
    """A call of the bot at which its process is killed: before Telegram acts on it, or after."""

    name: str
    method: str
    saying: str = ""
    fails: bool = False
    asks: str = "Make it"
    """The button after which the call is awaited."""


STEPS = (
    Step("picture taken in", "getFile", asks=""),
    Step("quote", "sendMessage", "you have 10 credits", asks=""),
    Step("button answered", "answerCallbackQuery"),
    Step("deducted", "editMessageText", "deducted"),
    Step("processing", "editMessageText", "processing"),
    Step("result", "sendPhoto"),
    Step("balance", "editMessageText", "credits spent"),
    Step("refunded", "editMessageText", "credits refunded", fails=True),
)
KILLS = [(step, after) for step in STEPS for after in (False, True)]
EVERYWHERE = os.environ.get("KILLS") == "all"
"""`make bot-kills` kills at every step, on both sides of it and on both engines; `make test` at some."""


def _runs(kill: int, engine: str) -> bool:
    if EVERYWHERE:
        return True
    step, after = KILLS[kill]
    if engine == "sqlite":
        return step.name == "result" or after == (STEPS.index(step) % 2 == 0)
    return step.name in {"result", "deducted"} and after


@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
@pytest.mark.parametrize(
    "kill",
    range(len(KILLS)),
    ids=[f"{step.name} {'after' if after else 'before'}" for step, after in KILLS],
)
async def test_each_message_and_result_comes_once(
    tmp_path: Path, kill: int, engine: str, request: pytest.FixtureRequest, simulator: Simulator, api: BotApi
) -> None:
    if not _runs(kill, engine):
        pytest.skip("killed there by `make bot-kills`")
    step, after = KILLS[kill]
    database_url: str = request.getfixturevalue(f"{engine}_url")
    if step.fails:
        simulator.error_on("ImageBlur")
    if step.name == "processing":
        simulator.hold("node")
    async with serving(tmp_path / "gate", database_url, api, simulator.url) as service:
        ann = await begin(api)
        await choose(ann, "Restyle", "Glow")
        await ann.sees("Now send me")
        held = api.hold(step.method, after_effect=after, saying=step.saying) if not step.asks else None
        await ann.sends_photo(picture())
        if held is None:
            await ann.offered(step.asks)
            if step.name == "deducted":
                await service.operate("POST", "/lanes/image/pause")
            held = api.hold(step.method, after_effect=after, saying=step.saying)
            await ann.taps(step.asks)
        await held.reached()
        await service.kill()
        held.drop()
        simulator.release()
        await service.start()
        if step.name == "deducted":
            await service.operate("POST", "/lanes/image/resume")
        await judged(ann, service, step, after=after)


async def judged(ann: Person, service: Service, step: Step, *, after: bool) -> None:
    """Everything was told once, whatever the process was killed at; what is in doubt was offered."""
    if not step.asks:
        await goes_on(ann, step, after=after)
    if step.fails:
        await ann.sees("credits refunded: 1 · you have 10", seconds=PATIENCE_SECONDS)
        assert sum("credits refunded" in one.plain for one in ann.chat.messages) == 1
    else:
        last = await ann.sees("credits spent: 1 · you have 9", seconds=PATIENCE_SECONDS)
        media = [one for message in ann.chat.messages for one in message.media]
        doubt = "may not have arrived" in last.plain
        # Killed in the middle of sending nobody can know: it is not sent again, it is offered.
        assert doubt == (step.method == "sendPhoto")
        if doubt:
            await ann.taps("Send again")
            media = await ann.gets(len(media) + 1)
        assert len(media) == (2 if doubt and after else 1)
        assert sum("credits spent" in one.plain for one in ann.chat.messages) == 1
    assert len((await service.operate("GET", "/jobs"))["jobs"]) == 1
    assert (await service.operate("GET", "/ledger/audit"))["balanced"] is True


async def goes_on(ann: Person, step: Step, *, after: bool) -> None:
    """The order is kept; where its last message is in doubt, /menu or the next tap goes on."""
    if step.method == "sendMessage" and not after:
        # Never sent as far as Telegram goes, in doubt as far as the bot goes: not repeated by itself.
        await ann.sends_photo(picture())
    await ann.taps("Make it", seconds=PATIENCE_SECONDS)
