"""Asks axe-core for the faults of a page that keep people out."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from playwright.async_api import Page

SERIOUS: Final = {"serious", "critical"}


@cache
def _axe() -> str:
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


async def no_serious_fault(page: Page) -> None:
    """Fails with rule and place of every serious fault."""
    await page.evaluate(_axe())
    # Colours are judged once nothing fades any more.
    found = await page.evaluate(
        """async () => {
          await Promise.all(document.getAnimations().filter((one) => one.effect.getTiming().iterations === 1)
            .map((one) => one.finished.catch(() => {})));
          const { violations } = await axe.run(document, { resultTypes: ['violations'] });
          const places = (one) => one.nodes.map((node) => node.html.slice(0, 200));
          return violations.map((one) => [one.impact, one.id, places(one)]);
        }"""
    )
    serious = [one for one in found if one[0] in SERIOUS]
    assert not serious, serious
