"""What tests of the operator's pages do again and again: make staff, go somewhere, answer a question."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Locator, Page

from comfygate.gate.operate import perform
from tests.promises.rig import Caller
from tests.web.chromium import Studio

EVIL = "<img src=x onerror=alert(1)><b>x"


async def staff(house: Studio, name: str, role: str = "admin") -> Caller:
    """An account that operates."""
    made = await house.gateway.add_account(name, credits=1)
    ctx = house.gateway.house.service.ctx
    await perform(ctx, "accounts.role", {"account": made.id, "role": role}, actor="cli")
    return made


async def look(house: Studio, page: Page, *pieces: str) -> None:
    """Go to an operator's page, and wait until it shows something."""
    await page.goto(f"{house.url}/ops#/{'/'.join(pieces)}")
    await page.locator("h1").first.wait_for()


async def agree(page: Page, button: str, **fields: Any) -> None:
    """Fill in what is asked, say yes, and see the question close."""
    title = await page.get_by_role("dialog").locator("h2").inner_text()
    asked = page.get_by_role("dialog", name=title)
    for name, value in fields.items():
        control = asked.locator(f"[name={name}]")
        if await control.evaluate("one => one.tagName") == "SELECT":
            await control.select_option(value)
        else:
            await control.fill(str(value))
    await asked.get_by_role("button", name=button, exact=True).click()
    await asked.wait_for(state="detached")


async def secret(page: Page) -> str:
    """What is shown this once."""
    shown = await page.locator(".secret code").inner_text()
    await page.get_by_role("button", name="I have kept it").click()
    await page.get_by_role("dialog").wait_for(state="detached")
    return shown


def does(page: Page, name: str) -> Locator:
    """The button of this name."""
    return page.get_by_role("button", name=name, exact=True)


def rows(page: Page, label: str) -> Locator:
    """The rows of a table."""
    return page.get_by_role("region", name=label, exact=True).locator("tbody tr")


async def fits(page: Page) -> None:
    """The page itself does not move sideways."""
    width, viewport = await page.evaluate("document.documentElement.scrollWidth"), page.viewport_size
    assert viewport is not None
    assert width <= viewport["width"], (page.url, width)
