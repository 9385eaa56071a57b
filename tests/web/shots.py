"""Keeps how a page looks, for the docs."""

from __future__ import annotations

import io

from PIL import Image
from playwright.async_api import Page

from tests.web.chromium import ROOT

BYTES_MAX = 200_000
FOLDER = ROOT / "docs/images"


async def shot(page: Page, name: str) -> None:
    """Keep how the page looks, once its pictures are there."""
    await page.evaluate("() => Promise.all([...document.images].map((one) => one.decode()))")
    picture = Image.open(io.BytesIO(await page.screenshot(animations="disabled")))
    path = FOLDER / f"{name}.webp"
    picture.convert("RGB").save(path, "WEBP", quality=80, method=6)
    assert path.stat().st_size < BYTES_MAX, path
