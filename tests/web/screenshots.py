"""Writes the pictures of the pages that the docs show: `make screenshots`."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Page

from comfygate.simulator import Simulator
from comfygate.store.schema import migrate
from tests.promises.rig import Caller
from tests.web import ops_screenshots
from tests.web.chromium import PHONE, Studio, studio
from tests.web.scenery import png
from tests.web.shots import shot


async def form(page: Page, workflow: str, sky: str) -> None:
    """Open a form and give it a picture."""
    await page.goto(f"{page.url.partition('#')[0]}#/make/{workflow}")
    picture = {"name": f"{sky}.png", "mimeType": "image/png", "buffer": png(sky)}
    await page.locator("[data-chooser=picture]").set_input_files(picture)  # type: ignore[arg-type]
    await page.locator(".drop.there img").wait_for()


async def made(page: Page, jobs: int) -> None:
    """Wait until as many cards beside the form show a result."""
    await page.locator(".rail .made[data-status=succeeded]").nth(jobs - 1).wait_for()


async def wide(house: Studio, ann: Caller) -> None:
    """The catalogue, a job that runs, and one that is done."""
    async with house.person() as (context, _):
        page = await house.signed_in(context, ann)
        await page.locator(".entry img").nth(2).wait_for()
        await shot(page, "studio-catalogue")
        await form(page, "camera", "noon")
        await page.get_by_role("button", name="Make it").click()
        await made(page, 1)
        await form(page, "restyle", "dusk")
        await page.locator(".style", has_text="Drama").click()
        await page.locator(".price b", has_text="2 credits").wait_for()
        house.sim.hold()
        for nth in range(2):
            await page.get_by_role("button", name="Make it").click()
            await page.locator(".working").nth(nth).wait_for()
        house.sim.release()
        await page.locator(".working .preview").wait_for()
        await page.locator(".note").first.wait_for(state="detached")
        await shot(page, "studio-running")
        await made(page, 3)
        await form(page, "upscale", "night")
        await page.get_by_role("button", name="Make it").click()
        await made(page, 4)
        await page.goto(f"{house.url}/studio#/gallery")
        await page.locator(".made-picture", has_text="before / after").nth(1).click()
        await page.locator(".compare").wait_for()
        await page.locator(".facts dd").nth(4).wait_for()
        await shot(page, "studio-before-after")


async def others(house: Studio, ann: Caller) -> None:
    """The gallery in the dark and in Chinese, and a phone."""
    async with house.person(locale="zh-CN", color_scheme="dark") as (context, _):
        page = await house.signed_in(context, ann)
        await page.goto(f"{house.url}/studio#/gallery")
        await page.locator(".made-list .made").nth(3).wait_for()
        await shot(page, "studio-gallery-dark-zh")
    async with house.person(**PHONE) as (context, _):
        page = await house.signed_in(context, ann)
        await form(page, "restyle", "dusk")
        await page.locator(".price b").wait_for()
        await shot(page, "studio-phone")


async def pictures(folder: Path, template: Path) -> None:
    """Those of the Studio."""
    async with Simulator() as fast, studio(folder, template, node_seconds=0.8) as house:
        # Pictures are made slowly enough to be seen; a clip has fifty nodes.
        await house.gateway.add_server("one", house.sim.url, "image")
        await house.gateway.add_server("two", fast.url, "video")
        ann = await house.gateway.add_account("Ann", credits=120)
        await wide(house, ann)
        await others(house, ann)


async def main(*which: str) -> None:
    """Run the houses, take the pictures: all, or those named."""
    takers = {"studio": pictures, "ops": ops_screenshots.pictures}
    for name in which or takers:
        with tempfile.TemporaryDirectory() as folder:
            template = Path(folder) / "template.db"
            migrate(f"sqlite:///{template.as_posix()}")
            await takers[name](Path(folder), template)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
