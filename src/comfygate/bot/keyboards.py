"""Buttons under messages, and what they say back: `verb:argument:argument`, at most 64 bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from comfygate.bot.words import cut

DATA_BYTES_MAX: Final = 64
LABEL_CHARS_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Button:
    """A button: what it reads, and what it says back or the address it opens."""

    label: str
    data: str = ""
    url: str = ""


Rows = Sequence[Sequence[Button]]


def keyboard(rows: Rows) -> InlineKeyboardMarkup | None:
    """As Telegram takes it; None without buttons. Raises ValueError for data that is too long."""
    shown = [[_button(one) for one in row] for row in rows if row]
    return InlineKeyboardMarkup(inline_keyboard=shown) if shown else None


def _button(one: Button) -> InlineKeyboardButton:
    label = cut(one.label, LABEL_CHARS_MAX)
    if one.url:
        return InlineKeyboardButton(text=label, url=one.url)
    if not 0 < len(one.data.encode()) <= DATA_BYTES_MAX:
        message = f"a button says {one.data!r}: it must have 1 to {DATA_BYTES_MAX} bytes"
        raise ValueError(message)
    return InlineKeyboardButton(text=label, callback_data=one.data)


def said(verb: str, *arguments: object) -> str:
    """What a button says back."""
    return ":".join((verb, *map(str, arguments)))


def in_rows(buttons: Iterable[Button], wide: int) -> list[list[Button]]:
    """So many beside each other."""
    found = list(buttons)
    return [found[start : start + wide] for start in range(0, len(found), wide)]
