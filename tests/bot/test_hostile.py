"""What people should not send: a helpful answer or silence, nothing charged, nothing in the log."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfygate.simulator import Simulator
from tests.bot.conftest import bot_gateway
from tests.bot.standin.api import BotApi
from tests.bot.test_orders import begin, choose
from tests.promises.rig import Gateway, picture


async def test_forged_buttons_of_another_account_do_nothing(house: Gateway, api: BotApi) -> None:
    await house.operate("lanes.pause", lane="image")
    ann, eve = await begin(api), await begin(api, 1666, "Eve")
    await choose(ann, "Restyle", "Glow")
    await ann.sees("Now send me")
    await ann.sends_photo(picture())
    panel = await ann.sees("you have 10 credits")
    confirm = panel.buttons[0][0]["callback_data"]
    own = await eve.sees("What shall I make")
    await eve.presses(confirm, own)
    await eve.notices("no longer good")
    await ann.taps("Make it")
    message = await ann.sees("credits deducted")
    for button in (one for row in message.buttons for one in row):
        await eve.presses(button["callback_data"], own)
        await eve.notices("no longer kept")
        eve.chat.notices.clear()
    found = await house.operate("jobs.list")
    assert [job["status"] for job in found["jobs"]] == ["queued"]
    assert (await house.operate("ledger.show", account="tg-1666"))["available"] == 10


async def test_nonsense_gets_an_answer_or_silence(
    house: Gateway, api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    ann = await begin(api)
    menu = await ann.sees("What shall I make")
    for data in (
        "",
        ":",
        "w",
        "w:x",
        "ok:::::",
        "jc:",
        "jc:1",
        "v:a:b:c:d",
        "l:xx",
        "buy:1:1",
        "\0",
        "é" * 31,
    ):
        await ann.presses(data, menu)
    await ann.sends_sticker()
    await ann.sees("I can do nothing with this here")
    await ann.edits("another text")
    await ann.sends("hello")
    await ann.sees("I did not ask for that")
    await ann.sends("/nothing")
    await ann.sees("refunded")
    await ann.sends("x" * 4096)
    await ann.sends_file(b"not a picture", "a.png", "image/png")
    await choose(ann, "Restyle", "Glow")
    await ann.sees("Now send me")
    await ann.sends_photo(picture(), caption="y" * 1024)
    await choose(ann, "Settings", "Softness")
    for text in ("nine", "1e9", "-1", "99999999999999999999999", "<b>", "NaN"):
        await ann.sends(text)
    await ann.sends("7")
    await ann.sees("Softness: 7")
    assert (await house.operate("ledger.show", account="tg-1001"))["available"] == 10
    assert [one for one in caplog.records if one.levelname in {"ERROR", "CRITICAL"}] == []


async def test_a_hundred_presses_a_second_are_not_all_heard(house: Gateway, api: BotApi) -> None:
    ann, bob = await begin(api), await begin(api, 1002, "Bob")
    menu = await ann.sees("What shall I make")
    for _ in range(200):
        await ann.presses("m", menu)
    await bob.sends("/help")
    await bob.sees("What fails is refunded")
    assert api.breaches == []


async def test_a_suspended_account_and_a_stopped_bot(
    tmp_path: Path, database_url: str, simulator: Simulator, api: BotApi
) -> None:
    async with bot_gateway(tmp_path / "gate", database_url, api, support="@help") as house:
        ann = await begin(api)
        await ann.blocks()
        await ann.sends("/help")
        await house.operate("accounts.list")
        api.blocked.discard(ann.id)
        await ann.sends("/balance")
        await ann.sees("You have 10 credits")
        assert house.house.url
        assert simulator.url
