"""Every relative link in the docs leads to something."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def dangling(page: Path, text: str) -> list[str]:
    return [link for link in LINK.findall(text) if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    assert dangling(page, page.read_text(encoding="utf-8")) == []


def test_a_dangling_link_is_found() -> None:
    assert dangling(ROOT / "README.md", "see [this](docs/nowhere.md) and [that](LICENSE)") == [
        "docs/nowhere.md"
    ]
