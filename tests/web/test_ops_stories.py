"""What operators read of one job, account or server and do about it: real Chromium, the whole service."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from comfygate.simulator import Simulator
from tests.promises.rig import Caller, plain_graph
from tests.web.accessible import no_serious_fault
from tests.web.chromium import PHONE, Studio
from tests.web.operators import EVIL, agree, does, fits, look, rows, secret, staff
from tests.web.scenery import png

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
NODE_SECONDS = 0.05
PEOPLE = "telegram_id,tier,credits\n7000001,regular,5\n7000002,vip,50\n"


async def upscale(house: Studio, who: Caller) -> str:
    """The id of a fresh job of the catalogue."""
    picture = await who.upload(png("noon", size=(320, 240)))
    order = {"inputs": {"picture": picture["id"]}}
    made = await who.call("POST", "/gate/v1/workflows/upscale/jobs", status=201, json=order)
    job: str = made["id"]
    return job


async def test_the_story_of_a_failure_and_the_job_once_more(house: Studio) -> None:
    boss, ann = await staff(house, "boss"), await house.gateway.add_account("ann", credits=10)
    house.sim.error_on("ImageSharpen", message=f"it broke {EVIL}", times=1)
    failed = await upscale(house, ann)
    await ann.end(failed)
    async with house.person() as (context, _):
        page = await house.signed_in(context, boss)
        await look(house, page, "jobs")
        await page.get_by_label("State").select_option("failed")
        line = rows(page, "Jobs").filter(has_text=failed[-8:])
        await expect(line).to_contain_text("the workflow")
        await expect(page).to_have_url(re.compile("status"))
        await page.reload()
        await expect(page.get_by_label("State")).to_have_value("failed")
        await line.get_by_role("link", name=failed[-8:]).click()

        await expect(page.locator("main [data-state=failed]").first).to_be_visible()
        tried = rows(page, "Attempts")
        await expect(tried).to_have_count(1)
        await expect(tried.locator("[data-outcome=failed]")).to_be_visible()
        await expect(tried.locator("[data-blame=workflow]")).to_have_text("the workflow")
        gantt = page.get_by_role("img", name=re.compile("waiting .*being sent .*running"))
        await expect(gantt.locator("[data-stretch=running]")).to_be_visible()
        await page.get_by_text("As a table").click()
        await expect(rows(page, "Where the time went")).to_have_count(3)
        moved = rows(page, "Credits")
        await expect(moved.locator("[data-entry=hold]")).to_have_text("deducted")
        await expect(moved.filter(has_text="refunded")).to_contain_text("+1")
        # What a node said is text, whatever is in it.
        await expect(page.get_by_role("region", name="Cause")).to_contain_text(EVIL)
        assert await page.locator("main img").count() == 0
        await no_serious_fault(page)

        house.sim.hold()
        await does(page, "Once more").click()
        await agree(page, "Once more")
        await expect(page).not_to_have_url(re.compile(failed))
        again = page.url.rsplit("/", 1)[1]
        await expect(page.locator("[data-live]")).to_be_visible()
        await expect(page.get_by_text("Once more of")).to_be_visible()
        house.sim.release()
        # The stream says that it went on: nobody loads the page again.
        await expect(page.locator("main [data-state=succeeded]").first).to_be_visible()
        await expect(page.locator("[data-live]")).to_have_count(0)
        await expect(moved.locator("[data-entry=capture]")).to_be_visible()
        assert (await ann.job(again))["status"] == "succeeded"
        await look(house, page, "job", failed)
        await expect(page.get_by_text("Run again as")).to_be_visible()
        await expect(does(page, "Once more")).to_have_count(0)


async def test_jobs_come_by_themselves_and_one_is_canceled(house: Studio) -> None:
    boss, ben = await staff(house, "boss2"), await house.gateway.add_account("ben / b", credits=10)
    async with house.person() as (context, watched):
        page = await house.signed_in(context, boss)
        await look(house, page, "jobs")
        await rows(page, "Jobs").or_(page.get_by_text("There is no such job.")).first.wait_for()
        house.sim.hold()
        first = await ben.submit(plain_graph(1))
        await ben.until(first, "running")
        second = await ben.submit(plain_graph(2))
        # Not asked for again: the list hears of them.
        await expect(rows(page, "Jobs").filter(has_text=first[-8:])).to_contain_text("Running")
        await expect(rows(page, "Jobs").filter(has_text=second[-8:])).to_contain_text("In line")
        account = page.get_by_label("Account: name or id")
        await account.fill("nobody")
        watched.allowed.add("404")
        await account.press("Enter")
        await expect(page.get_by_text("There is no account nobody.")).to_be_visible()
        await account.fill("ben / b")
        await account.press("Enter")
        await expect(rows(page, "Jobs")).to_have_count(2)
        await page.reload()
        await expect(account).to_have_value("ben / b")
        await expect(rows(page, "Jobs")).to_have_count(2)
        await no_serious_fault(page)

        await page.get_by_label("Job id").fill(second)
        await page.get_by_label("Job id").press("Enter")
        await expect(page.locator(".why")).to_contain_text("lane image")
        await does(page, "Cancel the job").click()
        await agree(page, "Cancel the job")
        await expect(page.locator("main [data-state=canceled]").first).to_be_visible()
        await expect(does(page, "Cancel the job")).to_have_count(0)
        assert (await ben.job(second))["status"] == "canceled"
        house.sim.release()
        await ben.end(first)
        assert (await ben.credits())[1] == 0


async def turned_back_in_vain(page: Page, button: str, address: re.Pattern[str]) -> None:
    """Say yes, and try to leave while it is done: what is shown this once would be lost."""
    going, let_go = asyncio.Event(), asyncio.Event()

    async def held(route: Route) -> None:
        answer = await route.fetch()
        going.set()
        await let_go.wait()
        await route.fulfill(response=answer)

    await page.route(address, held, times=1)
    asked = page.get_by_role("dialog")
    await asked.get_by_role("button", name=button, exact=True).click()
    await going.wait()
    await expect(asked.get_by_role("button", name="Cancel")).to_be_disabled()
    for _ in range(2):
        await page.keyboard.press("Escape")
    await expect(asked).to_be_visible()
    let_go.set()


async def test_an_account_is_steered(house: Studio) -> None:
    boss, eve = await staff(house, "boss3"), await house.gateway.add_account(EVIL, credits=3)
    async with house.person(color_scheme="dark") as (context, _), house.person() as (hers, out):
        # Her page finds, sooner or later, that she was signed out.
        out.allowed.add("401")
        await house.signed_in(hers, eve)
        page = await house.signed_in(context, boss)
        await look(house, page, "accounts")
        await page.get_by_label("Part of a name").fill("onerror")
        await does(page, "Search").click()
        await rows(page, "Accounts").get_by_role("link", name=EVIL).click()
        await expect(page.locator("h1")).to_have_text(EVIL)

        await does(page, "Grant credits").click()
        asked = page.get_by_role("dialog")
        await asked.get_by_role("button", name="Grant credits").click()
        await expect(asked).to_contain_text("This is needed.")
        await agree(page, "Grant credits", amount=40, reason="a present")
        await expect(page.locator("[data-figure=available] dd")).to_have_text("43")
        await expect(rows(page, "Credits").filter(has_text="a present")).to_contain_text("+40")
        assert await eve.credits() == (43, 0)

        await does(page, "Tier").click()
        await agree(page, "Change", tier="vip")
        await expect(page.locator(".lead")).to_contain_text("VIP")
        assert (await eve.call("GET", "/gate/v1/account"))["tier"] == "vip"

        await does(page, "Add a key").click()
        await turned_back_in_vain(page, "Add a key", re.compile("/keys$"))
        key = await secret(page)
        other = Caller(eve.session, eve.url, eve.id, key)
        assert await other.credits() == (43, 0)
        await expect(rows(page, "Keys")).to_have_count(2)
        mark = await rows(page, "Keys").filter(has_text="in force").last.locator("code").inner_text()
        before = await rows(page, "Keys").locator("code").all_inner_texts()
        assert mark in before
        await page.get_by_role("button", name=f"Revoke {mark}").click()
        await agree(page, "Revoke")
        await expect(rows(page, "Keys").filter(has_text=mark)).to_contain_text("ended")
        valid = [who for who in (eve, other) if await answers(who)]
        assert len(valid) == 1

        await expect(page.get_by_text("Until")).to_be_visible()
        await does(page, "Sign out").click()
        await agree(page, "Sign out")
        await expect(page.get_by_text("Nobody is signed in.")).to_be_visible()

        await does(page, "Suspend").click()
        await agree(page, "Suspend")
        await expect(page.locator(".lead [data-state=disabled]")).to_be_visible()
        await valid[0].call("GET", "/gate/v1/account", status=403)
        await no_serious_fault(page)
        await does(page, "Restore").click()
        await agree(page, "Restore")
        await expect(page.locator(".lead [data-state=disabled]")).to_have_count(0)
        assert await answers(valid[0])

        await does(page, "Sign-in link").click()
        await agree(page, "Make the link")
        link = await secret(page)
        fresh = await hers.new_page()
        await fresh.goto(link)
        await fresh.get_by_role("button", name="Sign in").click()
        await expect(fresh.locator("[data-credits]")).to_have_text("43")
        assert await page.locator("main img").count() == 0


async def answers(who: Caller) -> bool:
    """Whether the key is one."""
    async with who.session.get(f"{who.url}/gate/v1/account", headers=who.headers) as answer:
        return answer.status == 200


async def test_accounts_are_made_and_taken_in_from_a_file(house: Studio) -> None:
    boss = await staff(house, "boss4")
    async with house.person() as (context, watched):
        page = await house.signed_in(context, boss)
        await look(house, page, "accounts")
        await does(page, "Make an account").click()
        await agree(page, "Make an account", name="Fresh", tier="vip", credits=7)
        fresh = Caller(boss.session, boss.url, "", await secret(page))
        assert await fresh.credits() == (7, 0)
        await expect(page.locator("h1")).to_have_text("Fresh")

        await look(house, page, "accounts")
        chooser = page.locator("[data-chooser=accounts]")
        watched.allowed.add("422")
        await chooser.set_input_files(file("telegram_id,tier,credits\nx,regular,5\n1,,5\n"))
        await expect(page.locator(".banner.bad")).to_contain_text("line 3: tier is empty")
        assert await page.locator(".banner.bad li").count() == 2
        await chooser.set_input_files(file(PEOPLE))
        would = page.get_by_role("region", name="What people.csv comes to")
        await expect(would).to_contain_text("New accounts2")
        await expect(page.locator(".banner.bad")).to_have_count(0)
        await no_serious_fault(page)
        await would.get_by_role("button", name="Take it in").click()
        await expect(page.get_by_text("Taken in, with 2 new accounts.")).to_be_visible()
        await expect(would).to_have_count(0)
        await page.get_by_label("Part of a name").fill("7000002")
        await does(page, "Search").click()
        await expect(rows(page, "Accounts")).to_have_count(1)
        await expect(rows(page, "Accounts")).to_contain_text("VIP")


def file(content: str) -> Any:
    return {"name": "people.csv", "mimeType": "text/csv", "buffer": content.encode()}


async def test_a_server_is_drained_resumed_and_removed(house: Studio) -> None:
    boss, gus = await staff(house, "boss5"), await house.gateway.add_account("gus", credits=9)
    async with Simulator() as spare, house.person(**PHONE, color_scheme="dark") as (context, watched):
        page = await house.signed_in(context, boss)
        await house.gateway.add_server("spare", spare.url, "video")
        house.sim.error_on("SaveImage", message="no room", times=1)
        failed = await gus.submit(plain_graph(5))
        await gus.end(failed)
        house.sim.hold()
        job = await gus.submit(plain_graph(6))
        await gus.until(job, "running")
        # On a phone everything is there, and only tables move sideways.
        for pieces in (["jobs"], ["job", failed], ["accounts"], ["account", gus.id], ["server", "one"]):
            await look(house, page, *pieces)
            await page.locator(".wide-table:visible").first.wait_for()
            if pieces[0] == "job":
                await page.get_by_text("As a table").click()
            await fits(page)
            await no_serious_fault(page)
        await expect(page.locator(f".slot[data-job='{job}']")).to_be_visible()
        await expect(rows(page, "What went wrong there").filter(has_text=failed[-8:])).to_be_visible()

        await does(page, "Remove").click()
        watched.allowed.add("409")
        asked = page.get_by_role("dialog")
        await asked.get_by_role("button", name="Remove", exact=True).click()
        await expect(asked.locator(".fault")).to_be_visible()
        await does(page, "Cancel").click()
        await does(page, "Drain").click()
        await agree(page, "Drain")
        await expect(page.locator(".lead [data-state=draining]")).to_be_visible()
        house.sim.release()
        await gus.end(job)
        # What runs there is the stream's.
        await expect(page.locator(f".slot[data-job='{job}']")).to_have_count(0)
        await does(page, "Resume").click()
        await agree(page, "Resume")
        await expect(page.locator(".lead [data-state=up]")).to_be_visible()

        await look(house, page, "server", "spare")
        await does(page, "Change").click()
        await agree(page, "Change", slots=2)
        await expect(page.get_by_text("Slot 2 is free")).to_be_visible()
        await does(page, "Remove").click()
        await agree(page, "Remove")
        await expect(page).to_have_url(re.compile("#/$"))
        await expect(page.locator("[data-server=one]")).to_be_visible()
        await expect(page.locator("[data-server=spare]")).to_have_count(0)
        assert [one["name"] for one in await house.gateway.servers()] == ["one"]


async def test_operators_are_not_shown_what_only_admins_may(house: Studio) -> None:
    opal, una = await staff(house, "opal", "operator"), await house.gateway.add_account("una", credits=2)
    job = await una.submit(plain_graph(9))
    await una.end(job)
    async with house.person() as (context, watched):
        page = await house.signed_in(context, opal)
        await look(house, page, "account", una.id)
        await expect(rows(page, "Keys")).to_have_count(1)
        await expect(rows(page, "Jobs")).to_have_count(1)
        for name in ("Grant credits", "Tier", "Role", "Sign-in link", "Suspend", "Add a key", "Revoke"):
            await expect(does(page, name)).to_have_count(0)
        await look(house, page, "accounts")
        await rows(page, "Accounts").first.wait_for()
        await expect(does(page, "Make an account")).to_have_count(0)
        await expect(does(page, "Import from CSV")).to_have_count(0)
        await look(house, page, "server", "one")
        await expect(does(page, "Drain")).to_be_visible()
        await expect(does(page, "Change")).to_have_count(0)
        await expect(does(page, "Remove")).to_have_count(0)
        # What is not there says so, in the words of the service.
        watched.allowed.add("404")
        for pieces in (["job", "nothing"], ["account", "nobody"], ["server", "none"]):
            await look(house, page, *pieces)
            await expect(page.get_by_role("heading", name="This is not here")).to_be_visible()
            await expect(page.locator(".empty p")).to_contain_text(pieces[1])
