"""The ways updates come in: the webhook with its secret, and several processes of which one is the bot."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from comfygate.simulator import Simulator
from tests.bot.conftest import bot_gateway
from tests.bot.standin.api import BotApi
from tests.bot.test_orders import begin, choose
from tests.looking import before_the_next_look
from tests.promises.rig import gateway, picture, settings_for

SECRET = "a-secret-word"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_the_webhook_takes_telegrams_calls_and_nobody_elses(
    tmp_path: Path, database_url: str, simulator: Simulator, api: BotApi
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    table = {
        "token": api.token,
        "api_url": api.url,
        "first_credits": 10,
        "webhook_url": url,
        "webhook_secret": SECRET,
    }
    settings = settings_for(tmp_path / "gate", database_url, {"port": port, "host": "127.0.0.1"}, bot=table)
    async with gateway(settings) as house:
        async with asyncio.timeout(30):
            while api.webhook is None:
                await before_the_next_look()
        assert api.webhook == (f"{url}/telegram/webhook", SECRET)
        ann = await begin(api)
        await ann.sends("/help")
        await ann.sees("What fails is refunded")
        forged = {"update_id": 1, "message": ann._message(ann.chat, text="/menu")}
        for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": "wrong"}):
            async with house.session.post(f"{url}/telegram/webhook", json=forged, headers=headers) as answer:
                assert answer.status == 401
        good = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
        async with house.session.post(f"{url}/telegram/webhook", json={"no": 1}, headers=good) as answer:
            assert answer.status == 422
            assert (await answer.json())["error"]["code"] == "invalid_request"
        # The same update once more, as Telegram sends it when an answer was lost.
        help_texts = len([one for one in ann.chat.messages if "What fails" in one.plain])
        assert help_texts == 1
        assert simulator.url


@pytest.mark.postgresql
async def test_of_two_processes_one_is_the_bot_and_the_other_takes_over(
    tmp_path: Path, postgresql_url: str, simulator: Simulator, api: BotApi
) -> None:
    async with bot_gateway(tmp_path / "gate", postgresql_url, api) as second:
        async with bot_gateway(tmp_path / "gate", postgresql_url, api) as first:
            await first.add_server("one", simulator.url, "image", "video")
            ann = await begin(api)
            await choose(ann, "Restyle", "Glow")
            await ann.sees("Now send me")
            await ann.sends_photo(picture())
            await ann.taps("Make it")
            await ann.sees("credits spent")
        await ann.sends("/help")
        await ann.sees("What fails is refunded")
        assert len([one for one in ann.chat.messages if "What fails" in one.plain]) == 1
        assert not any(status == 409 for _, _, _, status in api.calls)
        await second.audit()
