"""The known name that somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, upper and lower case being one; None if none is like it."""
    by_folded = {one.casefold(): one for one in sorted(known, reverse=True)}
    found = difflib.get_close_matches(name.casefold(), sorted(by_folded), n=1)
    return by_folded[found[0]] if found else None
