"""Makes a server's words fit for users: one short line, without paths, addresses or tracebacks."""

from __future__ import annotations

import re

WORDS_CHARS_MAX = 300
_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
# Two or more parts, so that "and/or" and "16/9" stay as they are.
_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.@~+-]+){2,}[\\/]?|\b[\w.~-]+(?:[\\/][\w.@~+-]+){2,}")


def for_users(text: str) -> str:
    """The first line of `text`, with paths and addresses replaced, at most 300 characters."""
    lines = text.strip().splitlines()
    first = lines[0] if lines else ""
    plain = _PATH.sub("[path]", _ADDRESS.sub("[address]", first))
    return plain if len(plain) <= WORDS_CHARS_MAX else plain[: WORDS_CHARS_MAX - 1] + "…"
