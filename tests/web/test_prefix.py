"""The whole house behind a proxy that strips a path prefix: signing in, the Studio, the operator's pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import expect

from comfygate.api.streaming import KEEP_ALIVE_SECONDS
from tests.looking import before_the_next_look
from tests.web.behind import Proxy, proxied
from tests.web.chromium import Studio, studio
from tests.web.operators import agree, staff
from tests.web.scenery import png

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
PREFIX = "/gate7"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def proxy() -> AsyncIterator[Proxy]:
    async with proxied(PREFIX) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(
    proxy: Proxy, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> AsyncIterator[Studio]:
    top = {"root_path": PREFIX, "public_url": proxy.url.removesuffix(PREFIX)}
    async with studio(tmp_path_factory.mktemp("prefix"), sqlite_template, top=top) as started:
        proxy.upstream, started.behind = started.gateway.house.url, proxy.url
        yield started


async def test_everything_works_below_a_prefix(house: Studio, proxy: Proxy) -> None:
    boss = await staff(house, "boss")
    async with house.person() as (context, _):
        page = await house.signed_in(context, boss)
        assert page.url == f"{proxy.url}/studio"
        await page.get_by_role("link", name="Upscale").click()
        picture = {"name": "lake.png", "mimeType": "image/png", "buffer": png(size=(320, 240))}
        await page.locator("[data-chooser=picture]").set_input_files(picture)  # type: ignore[arg-type]
        await page.get_by_role("button", name="Make it").click()
        made = page.locator(".rail .made")
        await expect(made).to_have_attribute("data-status", "succeeded")
        await made.get_by_role("link").click()
        shown = page.locator(".compare > img").first
        await expect(shown).to_have_js_property("complete", True)
        assert await shown.evaluate("image => image.naturalWidth") > 0

        await page.get_by_label("Account", exact=True).click()
        await page.get_by_role("link", name="Operations").click()
        await page.wait_for_url(f"{proxy.url}/ops")
        await expect(page.locator("[data-line=on]")).to_have_text("live")
        lane = page.locator("[data-lane=video]")
        await lane.get_by_role("button", name="Pause").click()
        await agree(page, "Pause")
        await expect(lane).to_have_attribute("data-state", "paused")
        cookies = await context.cookies()
        assert [(one["name"], one["path"]) for one in cookies] == [("comfygate_session", f"{PREFIX}/")]
    # Who left is seen to have left, by the proxy and behind it, before a stream says again that it is there.
    board = house.gateway.house.listeners[0]._server.config.app.state.board  # type: ignore[union-attr]
    async with asyncio.timeout(KEEP_ALIVE_SECONDS / 3):
        while proxy.open or board.viewers:
            await before_the_next_look()
