"""Orders from a chat, to the end: what the person reads is a file in `golden/`."""

from __future__ import annotations

from tests.bot.goldens import golden, without_passing
from tests.bot.standin.api import BotApi
from tests.promises.rig import Gateway, picture


async def test_a_picture_job(house: Gateway, api: BotApi) -> None:
    ann = api.person(1001, "Ann")
    await ann.sends("/start")
    await ann.taps("I accept")
    await ann.taps("Restyle")
    await ann.taps("Glow")
    await ann.sees("Now send me")
    await ann.sends_photo(picture())
    await ann.taps("Make it")
    await ann.gets(1)
    await ann.sees("credits spent")
    await house.audit()
    golden("picture", without_passing(ann.chat.transcript()))
    assert api.breaches == []
