"""A real browser for the pages, and a house for it: the whole service with a simulator behind it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from comfygate.simulator import Simulator
from tests.promises.rig import Caller, Gateway, gateway, settings_for

ROOT = Path(__file__).parents[2]
NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
)  # fmt: skip
PATIENCE_MS = 30_000
LIGHT_AND_WIDE: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}, "locale": "en-GB"}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}


def chromium_path() -> str:
    """Where the browser is. Skips where there is none, but never in CI (`.ci/run` installs it)."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        reason = "no Chromium here: on Debian, apt-get install chromium"
        if os.environ.get("CHROMIUM_NEEDED"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@dataclass
class Watched:
    """What pages of one context did that none of them may: faults of scripts, and requests elsewhere."""

    host: str
    faults: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    allowed: set[str] = field(default_factory=set)
    """Parts of console lines that a test brought about on purpose, a refused request say."""

    def over(self, context: BrowserContext) -> None:
        context.on("request", lambda request: self._asked(request.url))
        context.on("console", lambda line: self._said(line.type, line.text))
        context.on("weberror", lambda error: self.faults.append(str(error.error)))

    def _asked(self, url: str) -> None:
        found = urlsplit(url)
        if found.scheme not in {"blob", "data"} and found.netloc != self.host:
            self.elsewhere.append(url)

    def _said(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not any(part in text for part in self.allowed):
            self.faults.append(text)


@dataclass
class Studio:
    """A running service with one simulated server, and a browser to look at it."""

    gateway: Gateway
    sim: Simulator
    browser: Browser
    behind: str = ""
    """Where people reach it, if that is another address than its own."""

    @property
    def url(self) -> str:
        return self.behind or self.gateway.house.url

    @contextlib.asynccontextmanager
    async def person(self, **how: Any) -> AsyncIterator[tuple[BrowserContext, Watched]]:
        """Somebody's browser, without cookies; at its end nothing may have gone wrong in it."""
        context = await self.browser.new_context(**{**LIGHT_AND_WIDE, **how})
        context.set_default_timeout(PATIENCE_MS)
        watched = Watched(urlsplit(self.url).netloc)
        watched.over(context)
        try:
            yield context, watched
        finally:
            await context.close()
        assert not watched.faults, watched.faults
        assert not watched.elsewhere, watched.elsewhere

    async def link_for(self, who: Caller) -> str:
        """A fresh one-time link that signs in."""
        made = await who.call("POST", "/gate/v1/account/sign-in-links", status=201)
        url: str = made["url"]
        return url

    async def signed_in(self, context: BrowserContext, who: Caller) -> Page:
        """A page on the Studio, signed in by a link as a person does it."""
        page = await context.new_page()
        await page.goto(await self.link_for(who))
        await page.get_by_role("button", name="Sign in").or_(page.get_by_role("button", name="登录")).click()
        await page.wait_for_url("**/studio")
        await page.locator("[data-credits]").wait_for()
        return page


@contextlib.asynccontextmanager
async def studio(folder: Path, template: Path, **how: Any) -> AsyncIterator[Studio]:
    """The house, with the sample catalogue and a simulator that shows steps and previews."""
    executable = chromium_path()
    path = folder / "gate.db"
    shutil.copy(template, path)
    top = {"workflows_dir": str(ROOT / "workflows"), **how.pop("top", {})}
    settings = settings_for(folder / "gate", f"sqlite:///{path.as_posix()}", top)
    async with (
        Simulator(**{"previews": True, "node_seconds": 0.02, **how}) as sim,
        gateway(settings) as house,
        async_playwright() as driver,
    ):
        await house.add_server("one", sim.url, "image", "video")
        browser = await driver.chromium.launch(executable_path=executable, args=list(FLAGS))
        try:
            yield Studio(house, sim, browser)
        finally:
            await browser.close()
