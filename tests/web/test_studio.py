"""The Studio as people use it: real Chromium, the whole service, a simulator that really draws."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from comfygate.gate import accounts
from tests.promises.rig import Caller
from tests.web.accessible import no_serious_fault
from tests.web.chromium import PHONE, Studio
from tests.web.scenery import png

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
NODE_SECONDS = 0.15
SIZE = (320, 240)
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def file(sky: str = "dusk", name: str = "lake.png", size: tuple[int, int] = SIZE) -> Any:
    return {"name": name, "mimeType": "image/png", "buffer": png(sky, size=size)}


async def choose(page: Page, workflow: str, **picture: Any) -> None:
    await page.goto(re.sub(r"#.*|$", "", page.url, count=1).split("#")[0] + f"#/make/{workflow}")
    await page.locator("[data-chooser=picture]").set_input_files(file(**picture))


def makes(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile("Make it|开始"))


async def test_a_picture_from_the_catalogue_to_before_and_after(house: Studio) -> None:
    ann = await house.gateway.add_account("ann", credits=20)
    async with house.person() as (context, _):
        page = await house.signed_in(context, ann)
        await page.get_by_role("link", name="Restyle").click()
        await page.locator(".style", has_text="Drama").click()
        # The price follows what is chosen, before anything is sent.
        await expect(page.locator(".price b")).to_have_text("2 credits")
        await makes(page).click()
        await expect(page.locator(".fault")).to_have_text("A picture is needed.")
        await page.locator("[data-chooser=picture]").set_input_files(file())
        strength = page.get_by_role("spinbutton", name="Strength")
        await strength.fill("7")
        await expect(page.locator("[data-field=strength] .fault")).to_have_text("From 0 to 1.")
        await strength.fill("0.9")
        house.sim.hold()
        await makes(page).dblclick()
        working = page.locator(".working")
        await expect(working).to_have_attribute("data-status", "running")
        assert (await ann.credits()) == (18, 2)
        await expect(page.locator("[data-credits]")).to_have_text("18")
        house.sim.release()
        seen = await moving(page)
        assert len(set(seen)) >= 2, seen
        made = page.locator(".rail .made")
        await expect(made).to_have_attribute("data-status", "succeeded")
        await expect(made.locator("[data-hold]")).to_have_text("spent: 2")
        # A double click made one job.
        assert len((await ann.call("GET", "/gate/v1/jobs"))["jobs"]) == 1
        await made.get_by_role("link").click()
        slider = page.get_by_role("slider", name="Move between before and after")
        await slider.focus()
        await page.keyboard.press("Home")
        assert await page.locator(".compare").evaluate("box => box.style.getPropertyValue('--seam')") == "0%"
        await expect(page.locator(".facts")).to_contain_text("0.9")
        shown = page.locator(".compare > img").first
        await expect(shown).to_have_js_property("complete", True)
        assert await shown.evaluate("image => image.naturalWidth") == SIZE[0]
        await no_serious_fault(page)


async def moving(page: Page) -> list[str]:
    """Values that the progress bar had until the job ended."""
    return list(
        await page.evaluate(
            """() => new Promise((resolve) => {
              const seen = [];
              const look = () => {
                const bar = document.querySelector('.working [role=progressbar]');
                if (bar) seen.push(bar.getAttribute('aria-valuenow'));
                if (document.querySelector('.rail .made')) resolve(seen);
                else requestAnimationFrame(look);
              };
              look();
            })"""
        )
    )


async def test_two_accounts_see_their_own_and_a_reload_changes_nothing(house: Studio) -> None:
    ben = await house.gateway.add_account("ben", credits=5)
    cleo = await house.gateway.add_account("cleo", credits=5)
    async with house.person() as (his, _), house.person() as (hers, watched):
        page, other = await house.signed_in(his, ben), await house.signed_in(hers, cleo)
        house.sim.hold()
        await choose(page, "upscale")
        await makes(page).click()
        await expect(page.locator(".working")).to_have_attribute("data-status", "running")
        await choose(other, "upscale", sky="noon")
        await makes(other).click()
        await expect(other.locator(".working .where")).to_have_text("Place 1 in line")
        await other.get_by_role("button", name="Why is it waiting?").click()
        await expect(other.locator(".working [role=status]")).to_contain_text("next")
        (job,) = (await ben.call("GET", "/gate/v1/jobs"))["jobs"]
        # A device more, and a page loaded again, show the same.
        await page.reload()
        await expect(page.locator(f".working[data-job='{job['id']}']")).to_have_attribute(
            "data-status", "running"
        )
        assert await other.locator(f"[data-job='{job['id']}']").count() == 0
        watched.allowed.add("404")
        await other.goto(f"{house.url}/studio#/job/{job['id']}")
        await other.get_by_role("heading", name="This job is not here").wait_for()
        second = await his.new_page()
        await second.goto(f"{house.url}/studio")
        await expect(second.locator(".working")).to_have_attribute("data-status", "running")
        # Canceled in one tab, seen in the other; the credits come back.
        await second.get_by_role("button", name="Cancel").click()
        await expect(page.locator("[data-credits]")).to_have_text("5")
        house.sim.release()
        await expect(page.locator(".rail .made")).to_have_attribute("data-status", "canceled")
        await expect(page.locator(".rail [data-hold]")).to_have_text("refunded: 1")
        await other.goto(f"{house.url}/studio#/")
        await expect(other.locator(".rail .made")).to_have_attribute("data-status", "succeeded")


async def test_an_answer_that_comes_late_changes_nothing_that_was_told_since(house: Studio) -> None:
    ida = await house.gateway.add_account("ida", credits=5)
    async with house.person() as (context, _):
        page = await house.signed_in(context, ida)
        running = page.locator(".working[data-status=running]")

        async def late(route: Route) -> None:
            """Pass on what was answered once the page knows better."""
            answer = await route.fetch()
            await running.wait_for()
            await route.fulfill(response=answer)

        await page.route(re.compile(r"/upscale/jobs$"), late)
        house.sim.hold()
        await choose(page, "upscale")
        async with page.expect_response(re.compile(r"/upscale/jobs$")):
            await makes(page).click()
        await page.locator(".note").first.wait_for()
        await expect(page.locator(".working")).to_have_attribute("data-status", "running")
        assert await page.locator(".working").count() == 1
        house.sim.release()
        await expect(page.locator(".rail .made")).to_have_attribute("data-status", "succeeded")


async def test_a_failure_says_why_and_shows_the_refund(house: Studio) -> None:
    dan = await house.gateway.add_account("dan", credits=3)
    async with house.person(**PHONE) as (context, _):
        page = await house.signed_in(context, dan)
        house.sim.error_on("ImageSharpen", message="it broke", times=9)
        await choose(page, "upscale")
        await makes(page).tap()
        made = page.locator(".rail .made")
        await expect(made).to_have_attribute("data-status", "failed")
        await expect(made.locator("[data-hold]")).to_have_text("refunded: 1")
        house.sim.clear_faults()
        await page.get_by_role("link", name="3 credits").tap()
        await expect(page.locator("tbody tr").first).to_contain_text("refunded")
        await no_serious_fault(page)
        await page.get_by_role("link", name="Gallery").tap()
        await page.get_by_role("button", name="Not made").tap()
        await expect(page.locator(".made-list .made")).to_have_attribute("data-status", "failed")
        # Nothing is wider than the phone.
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_the_gallery_and_a_clip_in_chinese(house: Studio, tmp_path: Path) -> None:
    eva = await house.gateway.add_account("eva", credits=30)
    async with house.person(locale="zh-CN", color_scheme="dark") as (context, _):
        page = await house.signed_in(context, eva)
        await choose(page, "restyle", name=f"{EVIL}.png")
        # The first style is free.
        await expect(page.locator(".price b")).to_have_text("免费")
        await makes(page).click()
        await expect(page.locator(".rail .made")).to_have_attribute("data-status", "succeeded")
        await page.goto(f"{house.url}/studio#/gallery")
        await page.locator(".made-picture").first.click()
        await page.get_by_role("link", name="修改设置").click()
        # As it was ordered, its picture included.
        await expect(page.locator(".drop.there")).to_contain_text(EVIL)
        await page.locator(".style", has_text="辉光").click()
        await makes(page).click()
        await expect(page.locator(".rail .made")).to_have_count(2)
        await page.goto(f"{house.url}/studio#/make/camera")
        await paste(page, png("night", size=SIZE))
        await expect(page.locator(".drop.there img")).to_be_visible()
        await makes(page).click()
        await expect(page.locator(".rail .made video")).to_be_visible()
        await page.goto(f"{house.url}/studio#/gallery")
        await expect(page.locator(".made-list .made")).to_have_count(3)
        await no_serious_fault(page)
        await page.get_by_label("项目").select_option("restyle")
        await expect(page.locator(".made-list .made")).to_have_count(2)
        async with page.expect_download() as coming:
            await page.get_by_role("link", name="下载这 2 个").click()
        path = tmp_path / "all.zip"
        await (await coming.value).save_as(path)
        assert len(zipfile.ZipFile(io.BytesIO(path.read_bytes())).namelist()) == 2
        await page.locator(".pick-one input").first.check()
        await page.get_by_role("button", name="删除").click()
        await page.get_by_role("dialog").get_by_role("button", name="删除").click()
        await expect(page.locator(".made-list .made")).to_have_count(1)
        await page.get_by_label("项目").select_option("camera")
        await page.locator(".made-picture").click()
        clip = page.locator(".results video")
        await clip.evaluate("video => { video.muted = true; return video.play(); }")
        await page.wait_for_function("document.querySelector('.results video').currentTime > 0")
        await no_serious_fault(page)


async def paste(page: Page, content: bytes) -> None:
    await page.locator(".drop-button").wait_for()
    await page.evaluate(
        """(bytes) => {
          const data = new DataTransfer();
          data.items.add(new File([Uint8Array.from(bytes)], 'pasted.png', { type: 'image/png' }));
          const how = { clipboardData: data, bubbles: true, cancelable: true };
          dispatchEvent(new ClipboardEvent('paste', how));
        }""",
        list(content),
    )


async def test_what_is_hostile_is_text_and_what_is_replayed_makes_nothing(house: Studio) -> None:
    fay = await house.gateway.add_account("fay <b>&amp;", credits=9)
    async with house.person() as (context, watched):
        page = await house.signed_in(context, fay)
        await page.get_by_role("heading", name="What shall it be, fay <b>&amp;?").wait_for()
        watched.allowed |= {"409", "422", "404"}
        await page.goto(f"{house.url}/studio#/make/{EVIL}")
        await page.get_by_role("heading", name="There is no such workflow here").wait_for()
        await page.goto(f"{house.url}/studio#/job/{EVIL}")
        await page.get_by_role("heading", name="This job is not here").wait_for()
        await choose(page, "restyle", name=f"{EVIL}.png")
        async with page.expect_request(lambda request: request.url.endswith("/restyle/jobs")) as sent:
            await makes(page).click()
        await expect(page.locator(".rail .made")).to_have_count(1)
        request = await sent.value
        # The same form sent again, by whatever: one job for one key.
        again = await page.request.fetch(
            request.url,
            method="POST",
            data=request.post_data_buffer or b"",
            headers={**await request.all_headers(), "sec-fetch-site": "same-origin"},
        )
        assert (again.status, (await again.json())["error"]["code"]) == (422, "idempotency_key_reuse")
        # Values that the form would not send: refused by the service, shown as text.
        forged = await page.evaluate(
            """async (evil) => {
              const answer = await fetch('gate/v1/workflows/restyle/quote', { method: 'POST',
                headers: { 'Content-Type': 'application/json' },
                body: JSON.stringify({ style: 'soft', parameters: { strength: evil } }) });
              return [answer.status, (await answer.json()).error.message];
            }""",
            EVIL,
        )
        assert forged[0] == 422
        assert len((await fay.call("GET", "/gate/v1/jobs"))["jobs"]) == 1
        assert await page.locator("script:not([src])").count() == 0
        refused = await page.evaluate(
            """() => {
              const tried = [];
              const attempt = (work) => { try { work(); } catch (error) { tried.push(error.name); } };
              attempt(() => { document.body.innerHTML += '<img src=x onerror="window.broken = true">'; });
              attempt(() => {
                const script = document.createElement('script');
                script.textContent = 'window.broken = true';
                document.head.append(script);
              });
              return tried;
            }"""
        )
        # No string becomes HTML or a script, whoever tries.
        assert refused == ["TypeError", "TypeError"]
        watched.faults = [one for one in watched.faults if not re.search("Trusted|Security", one)]
        assert await page.evaluate("window.broken") is None


async def test_credits_that_are_missing_and_a_session_that_ends(house: Studio) -> None:
    gil: Caller = await house.gateway.add_account("gil", credits=0)
    async with house.person() as (context, watched):
        page = await house.signed_in(context, gil)
        await no_serious_fault(page)
        await choose(page, "camera")
        await expect(page.locator(".order-foot .banner")).to_contain_text("3 credits are missing.")
        await expect(makes(page)).to_be_disabled()
        await no_serious_fault(page)
        # The operator helps, and the page hears of it.
        await accounts.grant(house.gateway.house.service.ctx, gil.id, 5, "gift")
        await expect(page.locator("[data-credits]")).to_have_text("5")
        await expect(page.locator(".order-foot .banner")).to_have_count(0)
        watched.allowed.add("401")
        await page.goto(f"{house.url}/studio#/account")
        await page.get_by_text("this browser").wait_for()
        await no_serious_fault(page)
        await page.get_by_role("button", name="Sign out everywhere").click()
        await page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
        await page.wait_for_url("**/sign-in")
        await no_serious_fault(page)
        await page.goto(f"{house.url}/studio")
        await page.wait_for_url("**/sign-in")
