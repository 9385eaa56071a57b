"""What commands print: tables and lines for people, or one JSON document a command for programs.

Answers go to standard output, everything else to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_COLUMNS: Final = 200
"""Width of tables when nobody's terminal says otherwise, so that ids are not folded."""

SHORT_CHARS_MAX: Final = 20
"""Cells up to this length are never folded, so that a narrow terminal folds ids and addresses instead."""

LONG_CHARS_MIN: Final = 12
"""Narrowest that longer cells are folded to."""


def console(*, stderr: bool = False) -> Console:
    """A console on today's standard output (or error); colours and live displays at a terminal only."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream, width=None if stream.isatty() else PIPE_COLUMNS, highlight=False, soft_wrap=False
    )


def print_json(value: Any) -> None:
    """One JSON document on one line of standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """One line on standard output."""
    console().print(Text(clean(text)), soft_wrap=True)


def hint(text: str) -> None:
    """One line on standard error: not part of the answer."""
    console(stderr=True).print(Text(clean(text), style="dim"), soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people; numbers to the right."""
    drawn = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    kept = [list(row) for row in rows]
    if not kept:
        say(f"{title}: none")
        return
    for index, name in enumerate(columns):
        numbers = bool(kept) and all(isinstance(row[index], int) for row in kept)
        widest = max(len(str(row[index])) for row in kept)
        drawn.add_column(
            name,
            justify="right" if numbers else "left",
            overflow="fold",
            no_wrap=widest <= SHORT_CHARS_MAX,
            min_width=min(widest, LONG_CHARS_MIN),
        )
    for row in kept:
        drawn.add_row(*(Text(clean(str(cell))) for cell in row))
    console().print(drawn)


def clean(text: str) -> str:
    """Text from elsewhere, fit for a terminal: without control characters, on one line."""
    return "".join(c if c.isprintable() else " " for c in text)


def local_time(unix_ms: int | None) -> str:
    """A moment (ms since 1970) in this machine's time zone; today's without the date, "" for None."""
    if unix_ms is None:
        return ""
    moment = datetime.fromtimestamp(unix_ms / 1000, UTC).astimezone()
    today = moment.date() == datetime.now(UTC).astimezone().date()
    return moment.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S")
