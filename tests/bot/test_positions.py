"""Many chats wait while others come and go: a place only goes down, or the text says who came before."""

from __future__ import annotations

import asyncio
import os
import re
from itertools import pairwise
from pathlib import Path

import pytest

from comfygate.simulator import Simulator
from tests.bot.conftest import bot_gateway
from tests.bot.standin.api import BotApi
from tests.bot.standin.people import Person
from tests.bot.test_orders import begin, choose
from tests.promises.rig import Gateway, picture, plain_graph

CHATS = int(os.environ.get("CHATS", "20"))
"""`make bot-kills` has 50."""
PATIENCE_SECONDS = 100.0
PLACE = re.compile(r"Place (\d+) in line")


async def order(api: BotApi, number: int) -> Person:
    """Somebody who orders a picture, or every second one a clip."""
    person = await begin(api, 2000 + number, f"P{number}", seconds=PATIENCE_SECONDS)
    if number % 2:
        await choose(person, "Restyle", "Negative")
    else:
        await choose(person, "Camera move", "Zoom in")
    await person.sees("Now send me", PATIENCE_SECONDS)
    await person.sends_photo(picture())
    await person.taps("Make it", PATIENCE_SECONDS)
    await person.sees("Place", PATIENCE_SECONDS)
    return person


async def gold(house: Gateway, lane: str, count: int) -> None:
    """Somebody of the best tier, over HTTP, in a lane."""
    caller = await house.add_account(f"gold-{lane}", tier="black_gold")
    for number in range(count):
        body = {"workflow": plain_graph(number)}
        await caller.call("POST", f"/api/v2/jobs?lane={lane}", status=201, json=body)


def places(person: Person) -> list[tuple[int, bool]]:
    """Every place that the chat read, with whether the text said that somebody came before."""
    blocks = re.split(r"\n(?=[\[>!])", person.chat.transcript())
    found = [(PLACE.search(block), "came before you" in block) for block in blocks]
    return [(int(place[1]), told) for place, told in found if place is not None]


@pytest.mark.timeout(300)
async def test_places_only_go_down_unless_somebody_with_priority_came(
    tmp_path: Path, sqlite_url: str, simulator: Simulator, api: BotApi
) -> None:
    async with bot_gateway(tmp_path / "gate", sqlite_url, api) as house:
        await house.add_server("one", simulator.url, "image", "video", slots=2)
        for lane in ("image", "video"):
            await house.operate("lanes.pause", lane=lane)
        async with asyncio.timeout(PATIENCE_SECONDS):
            people = await asyncio.gather(*(order(api, number) for number in range(CHATS)))
        await gold(house, "image", 3)
        last = max(people, key=lambda one: places(one)[-1][0] if one.id % 2 else 0)
        await last.sees("came before you", PATIENCE_SECONDS)
        for lane in ("image", "video"):
            await house.operate("lanes.resume", lane=lane)
        await asyncio.gather(*(one.sees("credits spent", PATIENCE_SECONDS) for one in people))
        for person in people:
            read = places(person)
            for (before, _), (after, told) in pairwise(read):
                assert after <= before or told, read
            assert len([one for message in person.chat.messages for one in message.media]) == 1
        assert api.breaches == []
        await house.audit()
