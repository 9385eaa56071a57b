"""The pages come from here alone, allow nothing else, and show no address of ours that is absolute."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfygate.web.pages import PAGES
from tests.promises.rig import Gateway, gateway, settings_for


@pytest.fixture
async def house(tmp_path: Path, sqlite_url: str) -> AsyncIterator[Gateway]:
    async with gateway(settings_for(tmp_path / "gate", sqlite_url)) as started:
        yield started


async def test_pages_load_nothing_from_elsewhere(house: Gateway) -> None:
    for path in PAGES:
        await loads_nothing_from_elsewhere(house, path)


async def loads_nothing_from_elsewhere(house: Gateway, path: str) -> None:
    async with house.session.get(f"{house.house.url}{path}") as answer:
        text = await answer.text()
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "://" not in text
    for script in re.findall(r"<script([^>]*)>([^<]*)", text):
        assert "src=" in script[0]
        assert script[1] == ""
    # Relative, so that they hold behind a path prefix.
    for address in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert f"/{address}" in PAGES
    for address in re.findall(r'(?:fetch|get|replace)\(["`]([^"`]+)', text):
        assert not address.startswith("/")


def test_every_text_is_there_in_both_languages() -> None:
    folder = Path(__file__).parents[2] / "src/comfygate/web/pages"
    for name in ("sign-in", "me"):
        script = (folder / f"{name}.js").read_text(encoding="utf-8")
        table = script.partition("const texts = {")[2].partition("};")[0]
        texts = dict(re.findall(r"^  (\w+): (\[.*\]),$", table, re.MULTILINE))
        assert all(len(re.findall(r'"[^"]+"', both)) == 2 for both in texts.values())
        page = (folder / f"{name}.html").read_text(encoding="utf-8")
        used = set(re.findall(r'data-text="(\w+)"', page)) | set(re.findall(r'say\("(\w+)"\)', script))
        assert used == set(texts)
