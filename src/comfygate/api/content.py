"""Serves stored bytes, whole or by range, in a way that a stranger's file can never act as a page of ours."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import quote

from starlette.responses import JSONResponse, Response, StreamingResponse

from comfygate.api.errors import RangeNotSatisfiable, envelope
from comfygate.gate.rows import AssetRow

CONTENT_POLICY: Final = (
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'"
)
_RANGE: Final = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")
_SHOWN: Final = re.compile(r"(image/(?!svg)|video/|audio/)[\w.+-]+|text/plain|application/json", re.ASCII)
_SENDABLE: Final = re.compile(r"[\w.+-]+/[\w.+-]+(;\s*[\w-]+=[\w.-]+)*", re.ASCII)

Read = Callable[[int, int], AsyncIterator[bytes]]


def content_answer(
    asset: AssetRow,
    size: int,
    read: Read,
    *,
    method: str,
    range_header: str | None,
    if_range: str | None,
    if_none_match: str | None,
) -> Response:
    """The answer to a request for an asset's bytes; `size` of them are stored. Ranges count for GET alone."""
    etag = f'"{asset.hash}"'
    headers = _headers(asset, etag)
    if if_none_match is not None and etag in re.findall(r'"[^"]*"', if_none_match):
        return Response(status_code=304, headers=headers)
    wanted: tuple[int, int] | None = None
    if method == "GET" and range_header is not None and if_range in {None, etag}:
        wanted = _wanted(range_header, size)
        if wanted is not None and wanted[0] >= wanted[1]:
            return _not_satisfiable(range_header, size)
    start, end = wanted or (0, size)
    headers["Content-Length"] = str(end - start)
    if wanted is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    if method == "HEAD":
        return Response(headers=headers)
    return StreamingResponse(read(start, end), 206 if wanted is not None else 200, headers)


def _wanted(header: str, size: int) -> tuple[int, int] | None:
    """From, and up to but without. None: ignore the header (RFC 9110, 14.2). Empty: not satisfiable."""
    match = _RANGE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    start = int(match[1])
    if not match[2]:
        return start, size
    last = int(match[2])
    return None if last < start else (start, min(last + 1, size))


def _not_satisfiable(header: str, size: int) -> Response:
    message = f"Range {header[:64]!r} lies outside the {size} bytes there are"
    return JSONResponse(
        envelope(RangeNotSatisfiable.code, message, {"size_bytes": size}),
        416,
        {"Content-Range": f"bytes */{size}"},
    )


def _headers(asset: AssetRow, etag: str) -> dict[str, str]:
    kind = asset.content_type
    shown = "inline" if _SHOWN.fullmatch(kind) else "attachment"
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private",
        "Content-Disposition": f"{shown}; {_file_name(asset)}",
        "Content-Security-Policy": CONTENT_POLICY,
        "Content-Type": kind if _SENDABLE.fullmatch(kind) else "application/octet-stream",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "ETag": etag,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }


def _file_name(asset: AssetRow) -> str:
    """Both spellings of RFC 6266: plain ASCII for old readers, RFC 5987 for the true name."""
    name = PurePosixPath(asset.name or asset.file_path or asset.id).name or asset.id
    plain = re.sub(r"[^\w .()+,=@-]", "_", name, flags=re.ASCII)
    return f"filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
