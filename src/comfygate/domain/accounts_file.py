"""A file of accounts that come from elsewhere: Telegram id, tier and credits, as CSV. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from comfygate.domain.credits import CREDITS_MAX
from comfygate.domain.errors import InvalidRequest

COLUMNS: Final = ("telegram_id", "tier", "credits")
ROWS_MAX: Final = 10_000
"""People in one file; more go into several."""
TELEGRAM_ID_MAX: Final = 2**52 - 1
"""Telegram's ids have at most 52 significant bits (Bot API, User)."""
FAULTS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody to be taken in, with what they have."""

    telegram_id: int
    tier: str
    credits: int


def read_accounts(text: str) -> list[Newcomer]:
    """The people of a CSV file with the header `telegram_id,tier,credits`, in any order.

    Raises InvalidRequest that names every fault by its line (the first FAULTS_SHOWN of them).
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = [name.strip() for name in reader.fieldnames or ()]
        if sorted(header) != sorted(COLUMNS):
            raise InvalidRequest(
                f"the header is {','.join(header)[:200]!r}: it must be {','.join(COLUMNS)}",
                details={"field": "header"},
            )
        reader.fieldnames = header
        found: list[Newcomer] = []
        faults: list[str] = []
        seen: dict[int, int] = {}
        for row in reader:
            line = reader.line_num
            try:
                one = _newcomer(row)
            except ValueError as error:
                faults.append(f"line {line}: {error}")
                continue
            if one.telegram_id in seen:
                faults.append(
                    f"line {line}: {one.telegram_id} stands in line {seen[one.telegram_id]} already"
                )
            seen.setdefault(one.telegram_id, line)
            found.append(one)
    except csv.Error as error:
        raise InvalidRequest(f"this is no CSV file: {error}", details={"field": "file"}) from None
    if len(found) > ROWS_MAX:
        faults.append(f"the file has {len(found)} people; the most is {ROWS_MAX}: split it")
    if faults:
        more = len(faults) - FAULTS_SHOWN
        shown = [*faults[:FAULTS_SHOWN], *([f"and {more} more"] if more > 0 else [])]
        raise InvalidRequest("; ".join(shown), details={"field": "file", "faults": len(faults)})
    return found


def _newcomer(row: Mapping[str | None, str | None]) -> Newcomer:
    """One row. Raises ValueError that names column and value."""
    values = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if None in row:
        raise ValueError("it has more values than the header has names")
    telegram_id = _whole("telegram_id", values["telegram_id"], 1, TELEGRAM_ID_MAX)
    credits = _whole("credits", values["credits"], 0, CREDITS_MAX)
    if not values["tier"]:
        raise ValueError("tier is empty")
    return Newcomer(telegram_id, values["tier"][:64], credits)


def _whole(name: str, text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and low <= int(text) <= high):
        raise ValueError(f"{name} is {text[:40]!r}: it must be a whole number from {low} to {high}")
    return int(text)
