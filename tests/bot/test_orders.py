"""Orders from a chat, to the end: what the person reads is a file in `golden/`."""

from __future__ import annotations

import re
from pathlib import Path

from comfygate.simulator import Simulator
from tests.bot.conftest import bot_gateway
from tests.bot.goldens import golden, without_passing
from tests.bot.standin.api import BotApi
from tests.bot.standin.chats import Message
from tests.bot.standin.people import Person
from tests.promises.rig import Gateway, picture
from tests.web.browser import browsing


async def begin(
    api: BotApi, person_id: int = 1001, name: str = "Ann", language: str = "en", seconds: float = 30.0
) -> Person:
    """Somebody who accepted the terms."""
    person = api.person(person_id, name, language)
    await person.sends("/start")
    await person.taps("我同意" if language == "zh-hans" else "I accept", seconds)
    return person


async def choose(person: Person, *labels: str) -> None:
    """Press one button after the other."""
    for label in labels:
        await person.taps(label)


def check(name: str, person: Person, api: BotApi) -> None:
    """The transcript is the one that is kept, and no limit was broken."""
    golden(name, without_passing(person.chat.transcript()))
    assert api.breaches == []


async def test_a_picture_job(house: Gateway, api: BotApi) -> None:
    ann = await begin(api)
    await choose(ann, "Restyle", "Glow")
    await ann.sees("Now send me")
    await ann.sends_photo(picture())
    await ann.taps("Make it")
    await ann.sees("credits spent")
    assert len(await ann.gets(1)) == 1
    await ann.sends("/balance")
    await ann.sees("spent")
    await house.audit()
    check("picture", ann, api)


async def test_a_clip_job_with_a_setting_changed(house: Gateway, api: BotApi) -> None:
    ann = await begin(api)
    await choose(ann, "Camera move", "Zoom in")
    await ann.sees("Now send me")
    await ann.sends_file(picture(), "boat.png", "image/png")
    await choose(ann, "Settings", "Frames a second", "16")
    await ann.offered("Frames a second: 16")
    await choose(ann, "Back", "Make it")
    await ann.sees("credits spent: 3")
    (clip,) = await ann.gets(1)
    assert clip.kind == "video"
    check("clip", ann, api)


async def test_a_free_style_in_chinese(house: Gateway, api: BotApi) -> None:
    wei = await begin(api, 1002, "伟", "zh-hans")
    await wei.sees("想做什么")
    await wei.sends_photo(picture())
    await wei.sees("用这 1 张照片")
    await choose(wei, "换个风格", "柔焦", "开始")
    await wei.sees("本次免费")
    await wei.gets(1)
    await wei.sends("/language")
    await wei.taps("English")
    await wei.sees("English it is")
    check("free-chinese", wei, api)


async def test_an_album_in_makes_a_job_of_each(house: Gateway, api: BotApi) -> None:
    ann = await begin(api)
    await choose(ann, "Restyle", "Negative")
    await ann.sees("Now send me")
    await ann.sends_album([picture((10 * n, 20, 30)) for n in range(3)])
    await ann.sees("3 pictures, one job each")
    await ann.taps("Make it · 3 credits")
    await ann.gets(3)
    spent = "credits spent: 1 · you have"

    def all_told() -> bool | None:
        return sum(spent in one.plain for one in ann.chat.messages) == 3 or None

    await ann.chat.until(all_told, "the end of three jobs")
    await house.audit()
    # Which balance stands under which of them depends on which was told first.
    golden("album-in", re.sub(r"you have \d+$", "you have N", ann.chat.outcome(), flags=re.MULTILINE))
    assert api.breaches == []


async def test_too_little_credit_then_top_up_then_go_on(
    tmp_path: Path, database_url: str, simulator: Simulator, api: BotApi
) -> None:
    packs = [{"stars": 50, "credits": 40}]
    async with bot_gateway(tmp_path / "gate", database_url, api, first_credits=1, packs=packs) as house:
        await house.add_server("one", simulator.url, "image", "video")
        ann = await begin(api)
        await choose(ann, "Restyle", "Drama")
        await ann.sees("Now send me")
        await ann.sends_photo(picture())
        await ann.sees("1 credit is missing")
        await ann.taps("Make it")
        await choose(ann, "Top up", "50 → 40")
        ok, _, charge = await ann.pays(await ann.chat.until(lambda: invoice(ann), "an invoice"))
        assert ok
        await ann.sees("40 credits were added")
        # Telegram tells of a payment as often as it likes.
        await ann.pay_again(charge)
        await ann.pay_again(charge)
        await ann.taps("Make it")
        await ann.sees("credits spent: 2 · you have 39")
        await house.audit()
        found = await house.operate("payments.list")
        assert [(one["stars"], one["credits"]) for one in found["payments"]] == [(50, 40)]
        await house.operate("accounts.list")
        check("top-up", ann, api)


def invoice(person: Person) -> Message | None:
    return next((one for one in person.chat.messages if one.invoice is not None), None)


async def test_a_refund_by_the_operator_gives_back_the_stars(
    tmp_path: Path, database_url: str, api: BotApi
) -> None:
    packs = [{"stars": 50, "credits": 40}]
    async with bot_gateway(tmp_path / "gate", database_url, api, first_credits=0, packs=packs) as house:
        ann = await begin(api)
        await ann.sends("/topup")
        await ann.taps("50 → 40")
        bill = await ann.chat.until(lambda: invoice(ann), "an invoice")
        # The order that led here is gone by the time of the payment; what was paid counts all the same.
        await ann.sends("/cancel")
        await ann.sees("Dropped")
        _, _, charge = await ann.pays(bill)
        await ann.sees("40 credits were added")
        answer = await house.operate("payments.refund", charge=charge)
        assert answer["credits"] == 40
        account = await house.operate("ledger.show", account="tg-1001")
        assert account["available"] == 0
        assert [one["kind"] for one in account["entries"]] == ["withdraw", "grant"]
        await ann.chat.until(lambda: api.refunds or None, "the stars paid back")
        assert api.refunds == [charge]
        await house.audit()


async def test_cancel_while_queued_refunds(house: Gateway, api: BotApi) -> None:
    await house.operate("lanes.pause", lane="image")
    ann = await begin(api)
    await choose(ann, "Restyle", "Glow")
    await ann.sees("Now send me")
    await ann.sends_photo(picture())
    await ann.taps("Make it")
    await ann.taps("Why is it waiting")
    await ann.notices("paused by the operator")
    await ann.taps("Cancel")
    await ann.notices("Asked to stop it")
    await ann.sees("credits refunded: 1 · you have 10")
    await house.audit()
    check("cancel-queued", ann, api)


async def test_a_second_confirm_makes_no_second_job(house: Gateway, api: BotApi) -> None:
    await house.operate("lanes.pause", lane="image")
    ann = await begin(api)
    await choose(ann, "Restyle", "Glow")
    await ann.sees("Now send me")
    await ann.sends_photo(picture())
    panel = await ann.sees("you have 10 credits")
    data = panel.buttons[0][0]["callback_data"]
    await ann.presses(data, panel)
    await ann.presses(data, panel)
    await ann.notices("ordered already")
    found = await house.operate("jobs.list")
    assert len(found["jobs"]) == 1
    await house.audit()


async def test_one_account_in_the_chat_and_over_http(house: Gateway, api: BotApi) -> None:
    shop = await house.add_account("shop", credits=25)
    ann = await begin(api)
    await ann.sees("What shall I make")
    code = (await shop.call("POST", "/gate/v1/account/link-codes", status=201))["code"]
    await ann.sends("/link AAAA-AAAA")
    await ann.sees("this code is not good")
    await ann.sends(f"/link {code}")
    await ann.sees("your account is shop now, with 35 credits")
    await choose(ann, "Restyle", "Negative")
    await ann.sees("Now send me")
    await ann.sends_photo(picture())
    await ann.taps("Make it")
    await ann.sees("credits spent: 1 · you have 34")
    assert await shop.credits() == (34, 0)
    await ann.sends("/link")
    await ann.sees("Your code:")
    await house.audit()
    ann.chat.story = [one.replace(code, "CODE") for one in ann.chat.story]
    check("link", ann, api)


async def test_a_link_to_the_web_signs_in_once(
    tmp_path: Path, database_url: str, simulator: Simulator, api: BotApi
) -> None:
    top = {"public_url": "https://gate.example.org/shop", "root_path": "/shop"}
    async with bot_gateway(tmp_path / "gate", database_url, api, top) as house:
        ann = await begin(api)
        await ann.sees("What shall I make")
        await ann.sends("/web")
        told = await ann.sees("Sign in on the web")
        (link,) = re.findall(r'href="([^"]+)"', told.text)
        assert link.startswith("https://gate.example.org/shop/sign-in#")
        async with browsing(house.house.url) as browser:
            signed_in = await browser.sign_in(link)
            assert signed_in["account"]["name"] == "tg-1001"
            await browser.ask("POST", "/gate/v1/session", status=404, json={"code": link.partition("#")[2]})
        check("web", ann, api)


async def test_without_a_public_address_there_is_no_web(house: Gateway, api: BotApi) -> None:
    ann = await begin(api)
    await ann.sends("/web")
    await ann.sees("no pages on the web")


async def test_an_album_that_credits_do_not_cover_is_ordered_in_part_and_kept(
    tmp_path: Path, database_url: str, simulator: Simulator, api: BotApi
) -> None:
    """More than what is queued at once may be: what is accepted is told of, the rest can be ordered later."""
    tiers = {"regular": {"priority": 100, "jobs_queued_max": 2}}
    async with bot_gateway(tmp_path / "gate", database_url, api, {"tiers": tiers}) as house:
        await house.operate("lanes.pause", lane="image")
        await house.add_server("one", simulator.url, "image", "video")
        ann = await begin(api)
        await choose(ann, "Restyle", "Negative")
        await ann.sees("Now send me")
        await ann.sends_album([picture((10 * n, 20, 30)) for n in range(4)])
        await ann.taps("Make it · 4 credits")
        await ann.sees("2 jobs were ordered; the others could not be, and are kept")
        await ann.offered("Make it · 2 credits")
        await ann.sees("too much going on")
        await house.operate("lanes.resume", lane="image")
        await ann.gets(2)
        await ann.taps("Make it · 2 credits")
        await ann.gets(4)
        await ann.sees("you have 6")
        assert len((await house.operate("jobs.list"))["jobs"]) == 4
        await house.audit()


async def test_in_a_group_each_orders_alone_and_balances_stay_private(house: Gateway, api: BotApi) -> None:
    ann, ben = await begin(api), await begin(api, 1002, "Ben")
    group = api.group(-500)
    await ann.sends("/menu@another_bot", chat=group)
    await ann.sends("hello everybody", chat=group)
    await ann.sends("/menu", chat=group)
    menu = await group.until(lambda: next(iter(group.messages), None), "the menu")
    assert len(group.messages) == 1
    # Ann's buttons are hers: Ben's press changes nothing, whatever he presses.
    restyle = next(one for row in menu.buttons for one in row if "Restyle" in one["text"])["callback_data"]
    await ben.presses(restyle, menu, chat=group)
    await group.until(lambda: group.notices or None, "a notice")
    assert "Restyle · from free" in str(menu.buttons)
    await ann.presses(restyle, menu, chat=group)
    await group.until(lambda: "Which style?" in menu.plain or None, "the styles")
    for command in ("/balance", "/link", "/web"):
        count = len(group.messages)
        await ben.sends(command, chat=group)
        last = await group.until(lambda count=count: group.messages[count:] or None, "an answer")  # type: ignore[misc]
        assert last[0].plain == "Ask me that in our private chat."
    assert (await house.operate("jobs.list"))["jobs"] == []
