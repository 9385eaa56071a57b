"""Plots, reviews, books, catalogue and audit as an administrator uses them, on the whole service."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from comfygate.domain.buckets import Measure
from comfygate.domain.errors import NotFound
from comfygate.gate import purse
from comfygate.gate.context import Context
from comfygate.gate.operate import perform
from tests.api.classifying import Colours
from tests.looking import before_the_next_look
from tests.promises.rig import Caller, plain_graph
from tests.web.accessible import no_serious_fault
from tests.web.chromium import PHONE, ROOT, Studio, studio
from tests.web.operators import EVIL, agree, does, fits, look, rows, staff

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
RED = 0xFF0000
"""Held: the stand-in for the classifier takes it for what is not to be seen."""
PLACES = ("plots", "reviews", "books", "catalogue", "audit")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> AsyncIterator[Studio]:
    folder = tmp_path_factory.mktemp("records")
    shutil.copytree(ROOT / "workflows", folder / "workflows")
    broken = folder / "workflows/sketch"
    shutil.copytree(folder / "workflows/restyle", broken)
    manifest = (broken / "workflow.toml").read_text(encoding="utf-8")
    (broken / "workflow.toml").write_text(manifest.replace("\nprice =", "\nprize =", 1), encoding="utf-8")
    top = {"workflows_dir": str(folder / "workflows"), "screening": {"action": "review"}}
    async with studio(folder, sqlite_template, node_seconds=0.02, top=top) as started:
        eyes = started.gateway.house.service.ctx.eyes
        assert eyes is not None
        eyes.classifier = Colours()
        yield started


def context_of(house: Studio) -> Context:
    return house.gateway.house.service.ctx


async def answered(page: Page, link: Locator) -> str:
    """The file behind a link, as the person's browser gets it."""
    href = await link.get_attribute("href")
    answer = await page.request.get(f"{page.url.split('/ops')[0]}/{href}")
    assert answer.ok
    return await answer.text()


async def test_a_held_result_is_looked_at_and_decided(house: Studio) -> None:
    boss, eve = await staff(house, "boss"), await house.gateway.add_account(EVIL)
    good, bad = [await eve.submit(plain_graph(RED)) for _ in range(2)]
    for job in (good, bad):
        assert (await eve.end(job))["outputs"] == []
    async with house.person() as (context, _):
        page = await house.signed_in(context, boss)
        await look(house, page, "reviews")
        await expect(rows(page, "Reviews")).to_have_count(2)
        await expect(rows(page, "Reviews").first.get_by_role("link", name=EVIL)).to_be_visible()
        await no_serious_fault(page)
        await page.locator(f"[data-row='{good}']").get_by_role("link").first.click()
        # Nothing is seen before somebody wants to see it.
        held = page.locator("[data-output='0']")
        await expect(held).to_have_attribute("data-open", "false")
        assert "blur" in await held.locator(".held-media").evaluate("box => getComputedStyle(box).filter")
        await held.get_by_role("button", name="Show").click()
        await expect(held.locator("img")).to_have_js_property("naturalWidth", 16)
        assert await held.locator(".held-media").evaluate("box => getComputedStyle(box).filter") == "none"
        await expect(rows(page, "Suspicions")).to_have_count(2)
        await no_serious_fault(page)
        await page.get_by_role("button", name="Release").click()
        await agree(page, "Release")
        await expect(page.locator("[data-review]")).to_have_attribute("data-review", "released")
        await expect(held).to_contain_text("no longer held here")
        await expect(rows(page, "Suspicions").filter(has_text="forgiven")).to_have_count(1)
        assert len((await eve.job(good))["outputs"]) == 1
        await look(house, page, f"review/{bad}")
        await page.get_by_role("button", name="Reject").click()
        await agree(page, "Reject")
        await expect(page.locator("[data-review]")).to_have_attribute("data-review", "rejected")
        assert (await eve.job(bad))["outputs"] == []
        await look(house, page, "reviews")
        await expect(page.get_by_text("Nothing waits for review.")).to_be_visible()
        await page.get_by_role("link", name="all", exact=True).click()
        await expect(rows(page, "Reviews")).to_have_count(2)
        assert bad in await answered(page, page.get_by_role("link", name="CSV"))


async def test_codes_payments_and_whether_the_books_balance(house: Studio) -> None:
    carla, dan = await staff(house, "carla"), await house.gateway.add_account("dan", credits=7)
    ctx = context_of(house)
    await purse.paid(ctx, charge_id="c-1", telegram_id=7, account_id=dan.id, stars=50, credits=30)
    async with house.person() as (context, watched):
        page = await house.signed_in(context, carla)
        await look(house, page, "books")
        await page.get_by_role("button", name="Make codes").click()
        question = page.get_by_role("dialog")
        await question.get_by_role("button", name="Make codes").click()
        await expect(question.locator(".field .fault").first).to_have_text("This is needed.")
        await question.get_by_label("Credits each").fill("25")
        await question.get_by_label("How many").fill("2")
        await question.get_by_label("Note").fill(EVIL)
        await question.get_by_role("button", name="Make codes").click()
        first, second = (await question.locator(".secret code").inner_text()).split("\n")
        await agree(page, "I have kept it")
        codes = rows(page, "Voucher codes")
        await expect(codes.filter(has_text=EVIL)).to_have_count(2)
        await page.get_by_role("button", name="Revoke a code").click()
        await question.get_by_label("Code").fill(first.lower())
        await agree(page, "Revoke a code")
        await expect(codes.filter(has_text=first[-4:])).to_contain_text("revoked")
        assert (await purse.redeem(ctx, dan.id, second)).credits == 25
        with pytest.raises(NotFound):
            await purse.redeem(ctx, dan.id, first)
        payment = rows(page, "Payments in Telegram Stars")
        await payment.get_by_role("button", name="Pay back").click()
        await agree(page, "Pay back")
        await expect(payment).to_contain_text("being paid back")
        await page.get_by_label("Whose").fill("nobody at all")
        watched.allowed.add("404")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.locator("#books-account-fault")).to_be_visible()
        await page.get_by_label("Whose").fill("dan")
        await page.get_by_role("button", name="Filter").click()
        await expect(rows(page, "Entries").locator(".number")).to_have_text(["−30", "+25", "+30", "+7"])
        assert dan.id in await answered(page, page.get_by_role("link", name="All as CSV"))
        await page.get_by_role("button", name="Recompute now").click()
        await expect(page.locator("[data-balanced]")).to_have_attribute("data-balanced", "true")
        await expect(page.get_by_text("The books balance.")).to_be_visible()
        await no_serious_fault(page)


async def test_the_audit_names_who_did_what_and_shows_it_at_once(house: Studio) -> None:
    frank, ctx = await staff(house, "frank"), context_of(house)
    async with house.person() as (context, _):
        page = await house.signed_in(context, frank)
        await look(house, page, "audit")
        done = rows(page, "Audit")
        await expect(done.filter(has_text="accounts.role").first).to_contain_text("role admin")
        await perform(ctx, "lanes.pause", {"lane": "video"}, actor=f"account:{frank.id}")
        await expect(done.first).to_contain_text("lanes.pause")
        await expect(done.first).to_contain_text("lane video")
        whose = done.first.get_by_role("link", name="frank")
        assert await whose.get_attribute("href") == f"#/account/{frank.id}"
        await perform(ctx, "lanes.resume", {"lane": "video"}, actor="cli")
        with pytest.raises(NotFound):
            await perform(ctx, "lanes.pause", {"lane": EVIL}, actor=f"account:{frank.id}")
        await expect(done.first).to_contain_text("not_found: no lane is called")
        await expect(done.first).to_contain_text(EVIL)
        await expect(done.nth(1)).to_contain_text("command line")
        await page.get_by_label("What").select_option("lanes.")
        await expect(done).to_have_count(3)
        await page.get_by_label("Who").fill("cli")
        await page.get_by_role("button", name="Filter").click()
        await expect(done).to_have_count(1)
        # What is filtered stands in the address.
        await page.reload()
        await expect(done).to_have_count(1)
        assert "lanes.resume" in await answered(page, page.get_by_role("link", name="All as CSV"))
        await no_serious_fault(page)


async def counted(caller: Caller) -> None:
    """Waits until a job that succeeded is in the aggregates: with its end it is in every plot."""
    async with asyncio.timeout(30):
        while True:
            ended = await caller.call("GET", f"/gate/v1/ops/series?measure={Measure.ENDED.value}")
            if any(one["part"] == "succeeded" for one in ended["series"]):
                return
            await before_the_next_look()


INKED = """canvas => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value, nth) => nth % 4 === 3 && value > 0);
}"""


async def test_plots_draw_each_range_and_say_it_in_tables(house: Studio) -> None:
    gina = await staff(house, "gina")
    assert (await gina.end(await gina.submit(plain_graph())))["status"] == "succeeded"
    await counted(gina)
    async with house.person(color_scheme="dark") as (context, _):
        page = await house.signed_in(context, gina)
        ended = page.locator("[data-plot=ended]")
        for name in ("1 hour", "24 hours", "7 days", "30 days"):
            await look(house, page, "plots")
            await page.get_by_role("link", name=name, exact=True).click()
            for measure in ("wait", "ended", "busy", "credits"):
                plot = page.locator(f"[data-plot={measure}]")
                await expect(plot.locator("[data-drawn=true] canvas")).to_be_visible()
                assert await plot.locator("canvas").evaluate(INKED)
                await expect(plot.locator("tbody tr").first).to_contain_text(
                    "one" if measure == "busy" else ""
                )
            await expect(ended.locator("tbody tr", has_text="succeeded")).to_contain_text("image")
        file = await answered(page, ended.get_by_role("link", name="Jobs that ended as CSV"))
        assert file.startswith("at_ms,series,part,jobs,mean_seconds")
        await page.get_by_role("link", name="1 hour", exact=True).click()
        # The keyboard reads one bucket after the other, the last first.
        drawn = ended.get_by_role("img")
        await expect(ended.locator(".legend-at")).to_have_text("Whole range")
        await drawn.focus()
        await page.keyboard.press("ArrowLeft")
        await expect(ended.locator(".legend-at")).not_to_have_text("Whole range")
        one = ended.get_by_role("button", name="succeeded")
        await one.click()
        await expect(one).to_have_attribute("aria-pressed", "false")
        await no_serious_fault(page)
        ground = "document.querySelector('[data-plot=ended] canvas')"
        before = await page.evaluate_handle(ground)
        await page.get_by_role("button", name="Light or dark").click()
        # It is drawn anew, in the other colours.
        await page.wait_for_function(f"before => {ground} && {ground} !== before", arg=before)


async def test_a_broken_workflow_and_every_page_on_a_phone(house: Studio) -> None:
    hugo = await staff(house, "hugo")
    async with house.person(**PHONE, locale="zh-CN") as (context, _):
        page = await house.signed_in(context, hugo)
        for place in PLACES:
            await look(house, page, place)
            await expect(page.locator("[aria-busy=true]")).to_have_count(0)
            await fits(page)
            await no_serious_fault(page)
    async with house.person() as (context, _):
        page = await house.signed_in(context, hugo)
        await look(house, page, "catalogue")
        refused = page.locator("[data-refused=sketch]")
        await expect(refused).to_contain_text("did you mean 'price'?")
        await expect(refused.locator(".faults li")).to_have_count(2)
        await no_serious_fault(page)
        await page.get_by_role("link", name="Restyle").click()
        await expect(page.locator("[data-workflow=restyle]")).to_be_visible()
        await expect(rows(page, "Styles")).to_have_count(5)
        await expect(rows(page, "Parameters").first).to_contain_text("3.blend_factor")
        await page.get_by_text("The graph as JSON").click()
        await expect(page.locator("pre")).to_contain_text('"class_type": "LoadImage"')
        await no_serious_fault(page)


async def test_a_long_list_is_read_whole_and_nothing_twice(house: Studio) -> None:
    ida = await staff(house, "ida")
    for _ in range(120):
        await house.gateway.operate("lanes.resume", lane="image")
    async with house.person() as (context, seen):
        page = await house.signed_in(context, ida)
        seen.allowed.add("ERR_FAILED")
        await page.route(re.compile(r"/ops/audit\?"), lambda route: route.abort(), times=1)
        await look(house, page, "audit", "operation=lanes.resume")
        # What could not be read says so, and is read when it is asked for once more.
        await expect(page.get_by_role("alert").filter(has_text="did not answer")).to_be_visible()
        await does(page, "Look again").click()
        lines = rows(page, "Audit")
        await expect(lines).to_have_count(50)
        await does(page, "Show more").dblclick()
        await expect(lines).to_have_count(100)
        await does(page, "Show more").click()
        await expect(does(page, "Show more")).to_have_count(0)
        shown = await lines.evaluate_all("all => all.map((one) => one.dataset.row)")
        assert len(shown) == len(set(shown)) >= 120
        # Read anew because of what was just done, it keeps its length.
        await house.gateway.operate("lanes.resume", lane="image")
        await expect(lines.first).not_to_have_attribute("data-row", shown[0])
        await expect(lines).to_have_count(len(shown))
        await expect(does(page, "Show more")).to_be_visible()
