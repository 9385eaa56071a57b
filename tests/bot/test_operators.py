"""Operating from the chat: what admins do takes effect and is audited; others are not even told of it."""

from __future__ import annotations

from pathlib import Path

from tests.bot.conftest import bot_gateway
from tests.bot.standin.api import BotApi
from tests.bot.test_orders import begin


async def test_admins_operate_and_every_change_is_audited(
    tmp_path: Path, database_url: str, api: BotApi
) -> None:
    async with bot_gateway(tmp_path / "gate", database_url, api, admins=[1001]) as house:
        ann, bob = await begin(api), await begin(api, 1002, "Bob")
        await bob.sees("What shall I make")
        await ann.sends("/stats")
        await ann.sees("books: balanced")
        await ann.sends("/grant 1002 25 for the fair")
        await ann.sees("tg-1002: 35 credits")
        await ann.sends("/tier 1002 vip")
        await ann.sees("tg-1002: vip")
        await ann.sends("/pause image")
        await ann.sees("image: paused")
        await ann.sends("/resume image")
        await ann.sees("image: open")
        await ann.sends("/find 1002")
        await ann.sees("tg-1002 (vip): 35 credits")
        await ann.sends("/grant 1002 many")
        await ann.sees("credits is 'many'")
        await ann.sends("/tier 1002 emperor")
        await ann.sees("tier is 'emperor'")
        await ann.sends("/servers")
        await ann.sends("/review")
        await ann.sees("Nothing waits for review")
        found = await house.operate("audit.list")
        done = [(one["actor"], one["operation"]) for one in found["audit"]]
        for operation in ("credits.grant", "accounts.tier", "lanes.pause", "lanes.resume"):
            assert ("telegram:1001", operation) in done
        await bob.sends("/grant 1002 1000")
        await bob.sees("What fails is refunded")
        assert (await house.operate("ledger.show", account="tg-1002"))["available"] == 35
        await house.audit()


async def test_a_broadcast_reaches_everybody_once(tmp_path: Path, database_url: str, api: BotApi) -> None:
    async with bot_gateway(tmp_path / "gate", database_url, api, admins=[1001]):
        people = [await begin(api, 1001 + n, f"P{n}") for n in range(4)]
        for person in people:
            await person.sees("What shall I make")
        await people[3].blocks()
        await people[0].sends("/broadcast rate=20 Closed <tonight> & back tomorrow")
        for person in people[:3]:
            await person.sees("Closed <tonight> & back tomorrow")
        await people[0].sends("/broadcast stop")
        for person in people[:3]:
            assert sum("Closed" in one.text for one in person.chat.messages) == 1
        assert not any("Closed" in one.text for one in people[3].chat.messages)
        assert api.breaches == []
