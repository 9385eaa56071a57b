"""What goes wrong on the way: failing jobs, cancels, screening, Telegram's own troubles, results in doubt."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from comfygate.simulator import Simulator
from tests.api.classifying import CYAN, RED, Colours
from tests.bot.conftest import bot_gateway
from tests.bot.goldens import golden, without_passing
from tests.bot.standin.api import BotApi
from tests.bot.standin.limits import Refused
from tests.bot.standin.people import Person
from tests.bot.test_orders import begin, check, choose
from tests.looking import before_the_next_look
from tests.promises.rig import Gateway, picture


async def ordered(person: Person, *labels: str) -> None:
    """Order something of one picture."""
    await choose(person, *labels)
    await person.sees("Now send me")
    await person.sends_photo(picture())
    await person.taps("Make it")


async def test_a_result_in_doubt_is_offered_and_never_doubled(house: Gateway, api: BotApi) -> None:
    ann = await begin(api)
    api.fail_next("sendPhoto", "swallow")
    await ordered(ann, "Restyle", "Glow")
    await ann.sees("1 part of the result may not have arrived")
    assert len(await ann.gets(1)) == 1
    await ann.taps("Send again")
    assert len(await ann.gets(2)) == 2
    check("doubt", ann, api)
    await house.audit()


async def test_telegram_asks_to_wait_and_is_waited_for(house: Gateway, api: BotApi) -> None:
    ann = await begin(api)
    api.fail_next("sendPhoto", Refused(429, "Too Many Requests: retry after 1", 1))
    await ordered(ann, "Restyle", "Glow")
    assert len(await ann.gets(1)) == 1
    await ann.sees("credits spent")
    waited = [at for name, _, at, _ in api.calls if name == "sendPhoto"]
    assert waited[1] - waited[0] >= 1.0


async def test_a_picture_that_telegram_refuses_goes_as_a_file(house: Gateway, api: BotApi) -> None:
    ann = await begin(api)
    api.fail_next("sendPhoto", Refused(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"))
    await ordered(ann, "Restyle", "Glow")
    (file,) = await ann.gets(1)
    assert file.kind == "document"
    await ann.sees("credits spent")


async def test_what_is_too_large_is_a_signed_link(
    tmp_path: Path, database_url: str, simulator: Simulator, api: BotApi
) -> None:
    async with bot_gateway(tmp_path / "gate", database_url, api, send_bytes_max=10) as house:
        await house.add_server("one", simulator.url, "image", "video")
        ann = await begin(api)
        await ordered(ann, "Restyle", "Glow")
        await ann.sees("too large to send here")
        assert [one for message in ann.chat.messages for one in message.media] == []
        check("too-large", ann, api)


async def test_a_job_that_fails_is_refunded(house: Gateway, simulator: Simulator, api: BotApi) -> None:
    simulator.error_on("SaveImage", message="the picture is too dark", exception_type="ValueError")
    ann = await begin(api)
    await ordered(ann, "Restyle", "Glow")
    await ann.sees("credits refunded: 1 · you have 10")
    await house.audit()
    golden("failure", without_passing(ann.chat.transcript()))


async def test_the_status_message_was_deleted(house: Gateway, api: BotApi) -> None:
    await house.operate("lanes.pause", lane="image")
    ann = await begin(api)
    await ordered(ann, "Restyle", "Glow")
    message = await ann.sees("credits deducted")
    message.deleted = True
    await house.operate("lanes.resume", lane="image")
    last = await ann.sees("credits spent: 1")
    assert last.id != message.id


async def test_results_to_somebody_who_stopped_the_bot_are_kept(house: Gateway, api: BotApi) -> None:
    await house.operate("lanes.pause", lane="image")
    ann = await begin(api)
    await ordered(ann, "Restyle", "Glow")
    await ann.sees("credits deducted")
    await ann.blocks()
    await house.operate("lanes.resume", lane="image")
    job = (await house.operate("jobs.list"))["jobs"][0]["id"]
    async with asyncio.timeout(30):
        while (await house.operate("jobs.show", job=job))["status"] != "succeeded":
            await before_the_next_look()
    await house.audit()


async def test_a_cancel_while_running_refunds(house: Gateway, simulator: Simulator, api: BotApi) -> None:
    simulator.hold("node")
    ann = await begin(api)
    await ordered(ann, "Restyle", "Glow")
    await ann.sees("processing")
    await ann.taps("Cancel")
    await ann.sees("credits refunded: 1 · you have 10")
    await house.audit()
    golden("cancel-running", without_passing(ann.chat.transcript()))


async def test_a_screened_picture_is_not_taken_and_a_screened_result_not_delivered(
    house: Gateway, api: BotApi
) -> None:
    eyes = house.house.service.ctx.eyes
    assert eyes is not None
    eyes.classifier = Colours()
    ann = await begin(api)
    await choose(ann, "Restyle", "Negative")
    await ann.sees("Now send me")
    await ann.sends_photo(picture(RED))
    await ann.taps("Make it")
    await ann.sees("held back by screening. Please send another one")
    await ann.sends_photo(picture(CYAN))
    await ann.taps("Make it")
    await ann.sees("The result was held back by screening")
    await ann.sees("credits refunded: 1 · you have 10")
    assert [one for message in ann.chat.messages for one in message.media] == []
    await house.audit()
    check("screened", ann, api)


async def test_several_pictures_of_one_job_come_as_an_album_or_as_files(
    tmp_path: Path, database_url: str, simulator: Simulator, api: BotApi
) -> None:
    folder = tmp_path / "gate" / "workflows" / "strip"
    folder.mkdir(parents=True)
    (folder / "graph.json").write_text(STRIP_GRAPH, encoding="utf-8")
    (folder / "workflow.toml").write_text(STRIP, encoding="utf-8")
    async with bot_gateway(tmp_path / "gate", database_url, api) as house:
        await house.add_server("one", simulator.url, "image", "video")
        ann = await begin(api)
        await choose(ann, "Strip")
        await ann.sees("Now send me")
        await ann.sends_photo(picture())
        await ann.taps("Make it")
        assert len(await ann.gets(3)) == 3
        await ann.taps("As files")
        assert [one.kind for one in (await ann.gets(6))[3:]] == ["document"] * 3
        assert [name for name, *_ in api.calls if name.startswith("sendMedia")] == ["sendMediaGroup"] * 2
        check("album-out", ann, api)


STRIP = """
title = { en = "Strip", zh = "连拍" }
description = { en = "The picture three times.", zh = "三张相同的图片。" }
lane = "image"
price = 2

[inputs.picture]
title = { en = "Picture", zh = "照片" }
sets = ["1.image"]
"""
STRIP_GRAPH = json.dumps({
    "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "2": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": 3}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "strip"}},
})  # fmt: skip
