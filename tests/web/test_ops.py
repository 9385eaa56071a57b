"""Now, the first run and who may what, as operators meet them: real Chromium, the whole service."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, Route, expect

from comfygate.api import ops_stream
from comfygate.domain.staff import OPERATORS_MAY
from comfygate.gate import ops_board
from comfygate.gate.operate import CHANGING, perform
from comfygate.simulator import Simulator
from tests.promises.rig import Caller, plain_graph
from tests.web.accessible import no_serious_fault
from tests.web.chromium import PHONE, Studio, studio
from tests.web.operators import EVIL, agree, does, fits, look, rows, secret, staff

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
NODE_SECONDS = 0.1
NODES = 12
"""Of a job that is long enough to be seen going on."""


@pytest.fixture(scope="module", autouse=True)
def soon() -> Iterator[None]:
    """Looks and checks come soon after one another, so that nobody waits for them here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops_board, "LOOK_SECONDS", 0.1)
        patch.setattr(ops_stream, "CHECK_SECONDS", 0.3)
        yield


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def all_goes_on(house: Studio) -> AsyncIterator[None]:
    yield
    await house.gateway.operate("lanes.resume", lane="image")
    await house.gateway.operate("servers.resume", name="one")


def chain(nodes: int = NODES) -> dict[str, Any]:
    """A picture that goes through many nodes."""
    graph = plain_graph()
    saved = graph.pop("2")
    for number in range(2, nodes):
        taken = {"image": [str(number - 1), 0]}
        graph[str(number)] = {"class_type": "ImageInvert", "inputs": taken}
    graph[str(nodes)] = {**saved, "inputs": {**saved["inputs"], "images": [str(nodes - 1), 0]}}
    return graph


def lane(page: Page, name: str = "image") -> Locator:
    return page.locator(f"[data-lane={name}]")


def server(page: Page, name: str = "one") -> Locator:
    return page.locator(f"[data-server={name}]")


def happened(page: Page, kind: str) -> Locator:
    return page.locator(f"[data-kind='{kind}']")


async def test_a_lane_is_paused_and_goes_on_under_the_eyes_of_an_operator(house: Studio) -> None:
    olga, ann = await staff(house, "olga", "operator"), await house.gateway.add_account("ann")
    async with house.person() as (context, _):
        page = await house.signed_in(context, olga)
        await page.get_by_label("Account", exact=True).click()
        await page.get_by_role("link", name="Operations").click()
        await page.wait_for_url("**/ops")
        await expect(page.locator("[data-line=on]")).to_have_text("live")
        await expect(lane(page)).to_have_attribute("data-state", "open")
        await lane(page).get_by_role("button", name="Pause").click()
        await expect(page.get_by_role("dialog")).to_contain_text("submitting goes on")
        await agree(page, "Pause")
        await expect(lane(page)).to_have_attribute("data-state", "paused")
        await expect(lane(page).locator("[data-state=paused]")).to_have_text("paused")

        await page.evaluate("window.loaded = 'once'")
        first = await ann.submit(chain())
        await expect(lane(page).locator("[data-depth]")).to_have_text(re.compile(r"^1\b"))
        second = await ann.submit(plain_graph(7))
        await expect(lane(page).locator("[data-depth]")).to_have_text(re.compile(r"^2\b"))
        await expect(lane(page).locator(".class-word")).to_have_text("Regular, VIP 2")
        assert [(await ann.job(job))["status"] for job in (first, second)] == ["queued", "queued"]
        await expect(server(page).locator(".slot.idle")).to_have_text("Slot 1 is free")
        await no_serious_fault(page)

        house.sim.hold()
        await lane(page).get_by_role("button", name="Resume").click()
        await agree(page, "Resume")
        await ann.until(first, "running")
        running = page.locator(f".slot[data-job='{first}']")
        done = running.get_by_role("progressbar")
        await expect(done).to_have_attribute("aria-valuenow", "0")
        house.sim.release()
        await house.sim.node_started(house.sim.executed[-1], str(NODES // 2))
        house.sim.hold()
        # About half of it is done, and the page says so by itself.
        await expect(done).to_have_attribute("aria-valuenow", re.compile(r"^[3-7]\d$"))
        await expect(running).to_contain_text("ImageInvert")
        house.sim.release()
        assert (await ann.end(second))["status"] == "succeeded"
        await expect(lane(page).locator("[data-depth]")).to_have_text(re.compile(r"^0\b"))
        await expect(happened(page, "job.succeeded").filter(has_text=first[-8:])).to_be_visible()
        await expect(happened(page, "job.queued").filter(has_text=second[-8:]).first).to_contain_text("image")
        operated = happened(page, "operation").filter(has_text="lanes.pause")
        # Who did it is a link to the account.
        await expect(operated.get_by_role("link", name=olga.id[-8:])).to_be_visible()
        assert await page.evaluate("window.loaded") == "once"


async def test_an_alert_leads_to_the_server_that_a_lane_lacks(house: Studio) -> None:
    otto = await staff(house, "otto", "operator")
    async with house.person() as (context, _), Simulator() as spare:
        page = await house.signed_in(context, otto)
        await look(house, page, "")
        await expect(server(page)).to_have_attribute("data-state", "up")
        await expect(page.get_by_role("list", name="What needs a person")).to_have_count(0)
        await server(page).get_by_role("button", name="Drain").click()
        await agree(page, "Drain")
        await expect(server(page)).to_have_attribute("data-state", "draining")
        alert = page.locator("[data-alert='lane image']")
        await expect(alert).to_contain_text("Lane image has no server that is up; 0 jobs wait.")
        await no_serious_fault(page)
        await alert.get_by_role("link", name="one").click()
        await expect(page.locator("h1")).to_have_text("one")
        await does(page, "Resume").click()
        await agree(page, "Resume")
        await expect(page.locator(".lead [data-state=up]")).to_be_visible()
        await look(house, page, "")
        await expect(alert).to_have_count(0)
        # One that does not answer at all is found by itself.
        await house.gateway.add_server("spare", spare.url, "video")
        await spare.stop()
        gone = page.locator("[data-alert='server spare']")
        await expect(gone).to_contain_text("Server spare does not answer")
        await gone.get_by_role("link", name="Look").click()
        await expect(page.locator(".lead [data-state=down]")).to_be_visible()
        await house.gateway.operate("servers.remove", name="spare")


async def test_the_first_run_from_nothing_to_a_job(tmp_path: Path, sqlite_template: Path) -> None:
    async with studio(tmp_path, sqlite_template, version="0.3.64") as empty:
        await empty.gateway.operate("servers.remove", name="one")
        boss = await staff(empty, "boss")
        async with empty.person(**PHONE, locale="zh-CN") as (context, _):
            page = await empty.signed_in(context, boss)
            await look(empty, page, "")
            await expect(page.locator(".first-step[aria-current]")).to_contain_text("ComfyUI")
            await fits(page)
            await no_serious_fault(page)
        async with empty.person(color_scheme="dark") as (context, watched):
            page = await empty.signed_in(context, boss)
            await look(empty, page, "")
            first = page.get_by_role("region", name="The first run")
            step = first.locator("[aria-current=step]")
            await expect(step).to_contain_text("A ComfyUI server")
            await no_serious_fault(page)
            watched.allowed.add("422")
            await first.get_by_label("Address of ComfyUI").fill("gopher://there")
            await does(page, "Test it").click()
            await expect(first.get_by_role("alert")).to_contain_text("must start with http://")
            await first.get_by_label("Address of ComfyUI").fill("127.0.0.1:9")
            await does(page, "Test it").click()
            await expect(first.locator("[data-usable=false]")).to_contain_text("cannot connect")
            await expect(first.locator("[data-usable=false]")).to_contain_text("Start ComfyUI there")
            await expect(does(page, "Add")).to_have_count(0)
            await first.get_by_label("Address of ComfyUI").fill(empty.sim.url)
            await does(page, "Test it").click()
            await expect(first.locator("[data-usable=true]")).to_contain_text("ComfyUI 0.3.64")
            # Lanes that nobody serves are chosen already.
            for name in ("image", "video"):
                await expect(first.get_by_role("checkbox", name=name)).to_be_checked()
            await no_serious_fault(page)
            await first.get_by_label("Name").fill("Not a name")
            await does(page, "Add").click()
            await expect(first.locator(".field .fault:visible")).to_contain_text("name")
            await first.get_by_label("Name").fill("gpu-1")
            await does(page, "Add").click()
            await expect(server(page, "gpu-1")).to_have_attribute("data-state", "up")

            await expect(step).to_contain_text("An account")
            await does(page, "Make an account").click()
            await agree(page, "Make an account", name="Ann", credits=5)
            ann = Caller(boss.session, boss.url, "", await secret(page))
            assert ann.key not in await page.content()
            assert await ann.credits() == (5, 0)
            await expect(step).to_contain_text("The first job")
            await expect(first.get_by_role("link", name="Open the Studio")).to_be_visible()
            await no_serious_fault(page)
            await ann.end(await ann.submit(plain_graph()))
            await expect(first).to_have_count(0)


async def test_each_role_sees_what_it_may(house: Studio) -> None:
    una, opal = await house.gateway.add_account("una"), await staff(house, "opal", "operator")
    async with house.person() as (hers, _), house.person() as (context, watched):
        page = await house.signed_in(hers, una)
        await page.get_by_label("Account", exact=True).click()
        await expect(page.get_by_role("link", name="Operations")).to_have_count(0)
        await page.goto(f"{house.url}/ops")
        await page.wait_for_url("**/studio")

        page = await house.signed_in(context, opal)
        await look(house, page, "")
        await expect(server(page).get_by_role("button", name="Drain")).to_be_visible()
        await expect(lane(page).get_by_role("button", name="Pause")).to_be_visible()
        await expect(does(page, "Add a server")).to_have_count(0)
        # The pages ask what may be done; the table in `domain` says it.
        said = await page.evaluate("async () => (await fetch('gate/v1/ops/me')).json()")
        assert said["role"] == "operator"
        assert set(said["operations"]) & CHANGING == OPERATORS_MAY
        for place in ("jobs", "accounts", "plots", "reviews", "books", "catalogue", "audit"):
            await look(house, page, place)
            await expect(page.locator("[aria-busy=true]")).to_have_count(0)
            for name in ("Make an account", "Import from CSV", "Make codes", "Revoke a code", "Pay back"):
                await expect(does(page, name)).to_have_count(0)
        # A button that is not there is no lock: the service refuses as well.
        watched.allowed.add("403")
        for address, given in (("servers/one", "DELETE"), (f"accounts/{una.id}/credits", "POST")):
            assert await refused(page, given, address) == 403
        await look(house, page, "account", una.id)
        await perform(house.gateway.house.service.ctx, "accounts.role", {"account": opal.id, "role": "user"})
        await page.wait_for_url("**/studio")
        await expect(page.locator("[data-credits]")).to_be_visible()


async def refused(page: Page, method: str, address: str) -> int:
    """With what the service answers a call from the page."""
    status: int = await page.evaluate(
        """async ([method, address]) => (await fetch(`gate/v1/ops/${address}`, { method,
          headers: { 'Content-Type': 'application/json' },
          body: method === 'POST' ? '{"amount": 1, "reason": "x"}' : undefined })).status""",
        [method, address],
    )
    return status


async def test_two_operate_at_once_and_each_is_named(house: Studio) -> None:
    ada, bob = await staff(house, "ada"), await staff(house, "bob", "operator")
    eve = await house.gateway.add_account("eve", credits=3)
    async with house.person() as (hers, seen), house.person() as (his, _):
        one, other = await house.signed_in(hers, ada), await house.signed_in(his, bob)
        await look(house, one, "")
        await look(house, other, "")
        await lane(other).get_by_role("button", name="Pause").click()
        await agree(other, "Pause")
        await expect(lane(one)).to_have_attribute("data-state", "paused")
        await server(one).get_by_role("button", name="Drain").click()
        await agree(one, "Drain")
        await expect(server(other)).to_have_attribute("data-state", "draining")
        await expect(server(other).get_by_role("button", name="Resume")).to_be_visible()
        # Both at the same thing: the later one is told how it stands, and nothing breaks.
        await lane(one).get_by_role("button", name="Resume").click()
        await lane(other).get_by_role("button", name="Resume").click()
        await agree(one, "Resume")
        await agree(other, "Resume")
        await expect(lane(other)).to_have_attribute("data-state", "open")
        await look(house, other, "audit")
        await look(house, one, "account", eve.id)
        await does(one, "Grant credits").click()
        asked = one.get_by_role("dialog")
        await asked.locator("[name=amount]").fill("4")
        await asked.locator("[name=reason]").fill("thanks")
        # The answer is lost, and it is pressed again, twice: it is granted once.
        seen.allowed.add("ERR_FAILED")
        await one.route(re.compile("/credits$"), answer_lost, times=1)
        await asked.get_by_role("button", name="Grant credits").click()
        await expect(asked.get_by_role("alert")).to_contain_text("did not answer")
        assert await eve.credits() == (7, 0)
        await asked.get_by_role("button", name="Grant credits").dblclick()
        await expect(asked).to_have_count(0)
        done = rows(other, "Audit")
        for operation, who in (("credits.grant", "ada"), ("servers.drain", "ada"), ("lanes.pause", "bob")):
            line = done.filter(has=other.get_by_role("link", name=operation, exact=True)).first
            await expect(line.get_by_role("link", name=who, exact=True)).to_be_visible()
        assert await eve.credits() == (7, 0)


async def answer_lost(route: Route) -> None:
    """Let a request through and its answer not."""
    await route.fetch()
    await route.abort()


async def test_what_is_hostile_is_text_and_what_is_sent_again_does_no_harm(house: Studio) -> None:
    rex, zoe = await staff(house, f"rex {EVIL}"), await house.gateway.add_account(f"zoe {EVIL}")
    async with house.person() as (context, watched):
        page = await house.signed_in(context, rex)
        house.sim.hold()
        job = await zoe.submit(plain_graph(3))
        await zoe.until(job, "running")
        await look(house, page, "")
        slot = page.locator(f".slot[data-job='{job}']")
        await expect(slot.get_by_role("link", name=f"zoe {EVIL}")).to_be_visible()
        watched.allowed |= {"404", "422"}
        for forged in (
            f"job/{quote(EVIL, safe='')}",
            "account/%00",
            "server/..%2F..%2Fsession",
            f"review/{'x' * 300}",
        ):
            await look(house, page, forged)
            await expect(page.get_by_role("heading", name="This is not here")).to_be_visible()
            await look(house, page, "")
        for forged in (
            "jobs/status=nonsense",
            "jobs/lane=%3Cb%3E",
            "plots/range=99y",
            "audit/operation=%27--",
        ):
            await look(house, page, forged)
            await expect(page.locator("[aria-busy=true]")).to_have_count(0)
        # A server is not called so; it is said in the question, as text.
        await look(house, page, "")
        await does(page, "Add a server").click()
        asked = page.get_by_role("dialog")
        await asked.get_by_label("Name").fill(EVIL)
        await asked.get_by_label("Address of ComfyUI").fill(house.sim.url)
        await asked.get_by_text("image", exact=True).click()
        await does(page, "Add").click()
        await expect(asked.locator(".field .fault:visible")).to_be_visible()
        await asked.get_by_role("button", name="Cancel").click()

        async with page.expect_request(lambda request: request.url.endswith("/image/pause")) as sent:
            await lane(page).get_by_role("button", name="Pause").click()
            await agree(page, "Pause")
        await expect(lane(page)).to_have_attribute("data-state", "paused")
        before = await page.evaluate("async () => (await fetch('gate/v1/ops/now')).json()")
        request = await sent.value
        again = await page.request.fetch(
            request.url,
            method="POST",
            data=request.post_data_buffer or b"",
            headers={**await request.all_headers(), "sec-fetch-site": "same-origin"},
        )
        assert again.status == 200
        after = await page.evaluate("async () => (await fetch('gate/v1/ops/now')).json()")
        paused = [one["paused_at_ms"] for found in (before, after) for one in found["lanes"]]
        assert paused[: len(paused) // 2] == paused[len(paused) // 2 :]
        # From another site's page the same is refused.
        elsewhere = await page.request.fetch(
            request.url, method="POST", headers={"sec-fetch-site": "cross-site", "origin": "http://evil.test"}
        )
        assert elsewhere.status == 403
        assert await page.locator("main img, main script").count() == 0
        house.sim.release()
        assert (await zoe.end(job))["status"] == "succeeded"


async def test_now_on_a_phone_in_chinese(house: Studio) -> None:
    mia, lin = await staff(house, "mia"), await house.gateway.add_account(f"lin {'long ' * 18}x")
    house.sim.hold()
    job = await lin.submit(chain())
    await lin.until(job, "running")
    async with house.person(**PHONE, locale="zh-CN") as (context, _):
        page = await house.signed_in(context, mia)
        await look(house, page, "")
        await expect(page.locator(f".slot[data-job='{job}']")).to_be_visible()
        await fits(page)
        await no_serious_fault(page)
        # The last of the places is reached by moving them sideways.
        await page.get_by_role("navigation", name="栏目").get_by_role("link", name="审计").tap()
        await expect(page.get_by_role("heading", name="审计")).to_be_visible()
        await page.get_by_role("navigation", name="栏目").get_by_role("link", name="现状").tap()
        await page.get_by_role("button", name="浅色或深色").tap()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        await no_serious_fault(page)
        await fits(page)
