"""Transcripts of chats that a person can read, compared with what is kept of them.

UPDATE_GOLDEN=1 in the environment writes them anew.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
_ROUGH = [
    (re.compile(r"🕐.*"), "🕐 …"),
    (re.compile(r"\d\d-\d\d \d\d:\d\d"), "MM-DD HH:MM"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}"), "ID"),
    (re.compile(r"Your code: \S+"), "Your code: CODE"),
    (re.compile(r"[▓░]+ \d+ %.*"), "▓░ …"),
]


def smooth(text: str) -> str:
    """The transcript without what differs from run to run: estimates, progress, times, ids."""
    for pattern, word in _ROUGH:
        text = pattern.sub(word, text)
    return text


def without_passing(text: str) -> str:
    """The transcript without the edits that a fast job may skip: place in line, taken, processing."""
    blocks = re.split(r"\n(?=[\[>!])", text)
    passing: tuple[str, ...] = ("✋", "⏳", "⚙ processing", "⚙ 处理中")
    passing += ("is taken away]",)
    return "\n".join(one for one in blocks if not any(word in one for word in passing))


def golden(name: str, text: str) -> None:
    """Compare with the file of this name."""
    file = FOLDER / f"{name}.txt"
    text = smooth(text)
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    kept = file.read_text(encoding="utf-8")
    difference = difflib.unified_diff(kept.splitlines(), text.splitlines(), "kept", "now", lineterm="")
    assert kept == text, "\n" + "\n".join(difference)
