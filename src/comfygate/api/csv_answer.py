"""Rows as a CSV file that a spreadsheet may open: nothing in a cell is taken for a formula."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final

from starlette.responses import StreamingResponse

from comfygate.api.ops_auth import PRIVATE

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A text that begins so gets an apostrophe before it: spreadsheets show it then, and run nothing."""

Row = Mapping[str, Any]


def cell(value: Any) -> str:
    """A value as text. Numbers stay as they are; text cannot become a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def lines(columns: Sequence[str], rows: Iterable[Row], *, head: bool) -> str:
    """The rows as lines, with the names of the columns before them if wanted (RFC 4180)."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    if head:
        writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(row.get(column)) for column in columns])
    return buffer.getvalue()


def csv_answer(name: str, columns: Sequence[str], pages: AsyncIterator[Sequence[Row]]) -> StreamingResponse:
    """A file that is sent as its pages come. `name` without its ending."""

    async def text() -> AsyncIterator[str]:
        head = True
        async for rows in pages:
            yield lines(columns, rows, head=head)
            head = False

    return StreamingResponse(
        text(),
        headers={
            **PRIVATE,
            "Content-Type": "text/csv; charset=utf-8; header=present",
            "Content-Disposition": f'attachment; filename="{name}.csv"',
            "X-Content-Type-Options": "nosniff",
        },
    )
