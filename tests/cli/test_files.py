"""Results are written beside what is there, under names that every system takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfygate.cli.files import fresh_file, safe_name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\win.ini", "win.ini"),
        ("a:b?.png", "a_b_.png"),
        ("a\x1b[2J.png", "a_[2J.png"),
        ("..", "output"),
        ("", "output"),
        ("CON", "_CON"),
        ("nul.png", "_nul.png"),
        ("größe.png", "größe.png"),
    ],
)
def test_names_from_elsewhere_are_made_safe(name: str, wanted: str) -> None:
    assert safe_name(name) == wanted


def test_nothing_is_replaced(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path, file = fresh_file(tmp_path / "deep" / "folder", "a.png")
        file.close()
        names.append(path.name)
    assert names == ["a.png", "a (1).png", "a (2).png"]
