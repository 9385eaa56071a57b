"""What the docs show of the operator's pages: a service at work, one that is new, and a phone."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Page

from comfygate.gate import purse
from comfygate.simulator import Simulator
from comfygate.simulator.switches import OOM_MESSAGE, OOM_TYPE
from tests.promises.rig import Caller
from tests.web.a_day import Line, write_a_day
from tests.web.chromium import PHONE, Studio, studio
from tests.web.operators import look, staff
from tests.web.scenery import png
from tests.web.shots import shot

LINES = (
    Line("image", ("gpu-1", "gpu-2", "gpu-3"), seconds=14, busiest=640, price=1),
    Line("video", ("film-1",), seconds=95, busiest=28, price=5),
)

CLASSES = 3
"""Who waits: two classes for pictures, one for clips."""
SDXL = "sd_xl_base_1.0.safetensors"


@dataclass
class Work:
    """A service at work, and who works with it."""

    house: Studio
    sims: dict[str, Simulator]
    boss: Caller
    people: dict[str, Caller]
    retried: str = ""
    """A job that ran out of memory on one server and was made on another."""

    def hold(self) -> None:
        for sim in self.sims.values():
            sim.hold()

    def release(self) -> None:
        for sim in self.sims.values():
            sim.release()


@contextlib.asynccontextmanager
async def work(folder: Path, template: Path) -> AsyncIterator[Work]:
    """Servers, people, and a day that lies behind them."""
    async with contextlib.AsyncExitStack() as stack:
        # A clip has fifty nodes.
        made = [
            await stack.enter_async_context(Simulator(node_seconds=pace, steps=True, models=[model]))
            for pace, model in ((0.9, SDXL), (0.9, SDXL), (0.1, "ltxv-13b.safetensors"))
        ]
        house = await stack.enter_async_context(studio(folder, template, node_seconds=0.9))
        await house.gateway.operate("servers.remove", name="one")
        sims = dict(zip(("gpu-1", "gpu-2", "film-1"), made, strict=True))
        for name, sim in sims.items():
            await house.gateway.add_server(name, sim.url, "video" if name == "film-1" else "image")
        people = {
            name: await house.gateway.add_account(name, tier=tier, credits=400)
            for name, tier in (
                ("Ann", "regular"),
                ("Vera", "vip"),
                ("Grace", "black_gold"),
                ("Ben", "regular"),
            )
        }
        await write_a_day(house.gateway.house.service.ctx, LINES)
        yield Work(house, sims, await staff(house, "Ada"), people)


async def order(who: Caller, workflow: str, style: str | None = None) -> str:
    """The id of a fresh job."""
    picture = await who.upload(png("dusk", size=(640, 480)))
    given = {"inputs": {"picture": picture["id"]}, **({"style": style} if style else {})}
    made = await who.call("POST", f"/gate/v1/workflows/{workflow}/jobs", status=201, json=given)
    job: str = made["id"]
    return job


async def some_history(at: Work) -> None:
    """Jobs that ended, one of them at its second server; codes, gifts, and a server that is away."""
    operate, vera = at.house.gateway.operate, at.people["Vera"]
    await operate("credits.grant", account=at.people["Ann"].id, amount=50, reason="for her patience")
    await operate("codes.make", credits=50, count=3, note="spring")
    await operate("codes.make", credits=200, count=1, note="prize draw")
    ben = at.people["Ben"]
    ctx = at.house.gateway.house.service.ctx
    await purse.paid(ctx, charge_id="stx7Q2", telegram_id=70001, account_id=ben.id, stars=150, credits=120)
    # It runs out of memory where it waited for another, and is made elsewhere.
    await operate("servers.drain", name="gpu-2")
    at.sims["gpu-1"].error_on("ImageBlend", message=OOM_MESSAGE, exception_type=OOM_TYPE, times=1)
    await order(at.people["Ann"], "upscale")
    at.retried = await order(vera, "restyle", "drama")
    await vera.until(at.retried, "running")
    await operate("servers.drain", name="gpu-1")
    await operate("servers.resume", name="gpu-2")
    await vera.end(at.retried)
    await operate("servers.resume", name="gpu-1")
    for who, style in (("Ann", "glow"), ("Ann", "crisp"), ("Ben", "soft"), ("Vera", "drama")):
        await at.people[who].end(await order(at.people[who], "restyle", style))
    await ben.end(await order(ben, "camera", "orbit"))
    at.sims["gpu-1"].clear_faults()
    added = {"name": "gpu-3", "url": "http://127.0.0.1:9", "lanes": ["image"]}
    await operate("servers.add", **added)
    await at.house.gateway.until_server("gpu-3", "down")


async def a_crowd(at: Work, page: Page) -> None:
    """Every server runs something and has got on with it; others wait."""
    for who, workflow, style, times in (
        ("Ben", "camera", "zoom-in", 1),
        ("Ann", "camera", "zoom-in", 2),
        ("Vera", "restyle", "drama", 1),
        ("Ann", "upscale", None, 4),
        ("Ben", "restyle", "glow", 3),
        ("Vera", "restyle", "crisp", 2),
        ("Grace", "restyle", "drama", 1),
    ):
        for _ in range(times):
            await order(at.people[who], workflow, style)
    for name in at.sims:
        await page.locator(f"[data-server='{name}'] [role=progressbar]:not([aria-valuenow='0'])").wait_for()
    at.hold()
    # Estimates are there, too.
    await page.locator(".class-word").nth(CLASSES - 1).wait_for()
    await page.locator("dd", has_text=re.compile("^–$")).first.wait_for(state="detached")


async def settled(page: Page) -> None:
    """Nothing is awaited any more, and no note covers what is there."""
    await page.locator("h1").first.wait_for()
    await page.locator("[aria-busy=true]").first.wait_for(state="detached")
    await page.locator(".note").first.wait_for(state="detached")


async def visit(at: Work, page: Page, name: str, *pieces: str) -> None:
    """Go somewhere and keep how it looks."""
    await look(at.house, page, *pieces)
    await settled(page)
    await shot(page, f"ops-{name}")


async def on_a_phone(at: Work) -> None:
    """How everything stands, where there is little room."""
    async with at.house.person(**PHONE) as (context, _):
        page = await at.house.signed_in(context, at.boss)
        await look(at.house, page, "")
        await page.locator(".slot[data-job]").first.wait_for()
        await shot(page, "ops-now-phone")


async def at_work(at: Work) -> None:
    """How everything stands, one job, one account, plots, books; on a phone too."""
    await some_history(at)
    async with at.house.person() as (context, _):
        page = await at.house.signed_in(context, at.boss)
        await look(at.house, page, "")
        await a_crowd(at, page)
        await settled(page)
        await shot(page, "ops-now")
    await on_a_phone(at)
    async with at.house.person() as (context, _):
        page = await at.house.signed_in(context, at.boss)
        await visit(at, page, "job", "job", at.retried)
        await visit(at, page, "account", "account", at.people["Ann"].id)
        await look(at.house, page, "books")
        await page.get_by_role("button", name="Recompute now").click()
        await page.locator("[data-balanced=true]").wait_for()
        await settled(page)
        await shot(page, "ops-books")
    async with at.house.person(color_scheme="dark", viewport={"width": 1280, "height": 1180}) as (context, _):
        page = await at.house.signed_in(context, at.boss)
        await look(at.house, page, "plots", "24h")
        await page.locator("[data-drawn=true] canvas").nth(5).wait_for()
        await visit(at, page, "plots", "plots", "24h")
    at.release()


async def first_run(folder: Path, template: Path) -> None:
    """A service that has nothing yet, and a server that answered."""
    async with studio(folder, template, models=[SDXL]) as house:
        await house.gateway.operate("servers.remove", name="one")
        boss = await staff(house, "Ada")
        async with house.person() as (context, _):
            page = await house.signed_in(context, boss)
            await look(house, page, "")
            await page.get_by_label("Address of ComfyUI").fill(house.sim.url.removeprefix("http://"))
            await page.get_by_role("button", name="Test it").click()
            await page.locator("[data-usable=true]").wait_for()
            await shot(page, "ops-first-run")


async def pictures(folder: Path, template: Path) -> None:
    """All of them."""
    (folder / "work").mkdir()
    (folder / "new").mkdir()
    async with work(folder / "work", template) as at:
        await at_work(at)
    await first_run(folder / "new", template)
