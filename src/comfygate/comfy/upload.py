"""Streaming a file to POST /upload/image: never whole in memory, never over a file that is there.

`overwrite` is not sent, so that a clash is renamed `a (1).png` and identical bytes are reused (seen on
ComfyUI 0.3.64): the name in the answer counts, not the one that was asked for. ComfyUI stores the multipart
`filename` as it comes, without percent-decoding, so it is sent as plain UTF-8.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from aiohttp import hdrs
from aiohttp.payload import AsyncIterablePayload

from comfygate.comfy.answers import parse_uploaded
from comfygate.comfy.errors import ComfyError
from comfygate.comfy.transport import Transport

PATH_CHARS_MAX = 200
"""Longest name, and longest subfolder, in characters."""


async def upload_file(
    transport: Transport,
    *,
    subfolder: str,
    name: str,
    content: AsyncIterator[bytes],
    size: int,
    content_type: str,
) -> str:
    """Put `content` (exactly `size` bytes) into the server's input folder; returns what the graph must say.

    Raises ValueError for a name or subfolder that could leave the folder or break the request, or when
    `content` is not `size` long; what `content` itself raises; and RequestRefused with 413 when the server's
    own limit (`--max-upload-size`, 100 MB unless told) is lower.
    """
    _check_path("name", name, allow_slash=False)
    if subfolder:
        _check_path("subfolder", subfolder, allow_slash=True)
    source = _Source(content, size)
    limits = transport.timeouts
    form = _form(subfolder, name, source, content_type)
    seconds = limits.answer_seconds + size / limits.upload_bytes_per_second_min
    try:
        answer = await transport.call("POST", "upload", "image", form=form, seconds=seconds)
    except ComfyError:
        if source.broken is not None:
            raise source.broken from None
        raise
    if source.broken is not None:
        raise source.broken
    transport.expect_success(answer.status, ("upload", "image"))
    return parse_uploaded(answer.data, transport.server)


class _Source:
    """The caller's bytes, held to the announced size; keeps the caller's own failure for the caller."""

    def __init__(self, content: AsyncIterator[bytes], size: int) -> None:
        self._content = content
        self.size = size
        self.broken: BaseException | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._measured():
                yield chunk
        except Exception as error:
            self.broken = error
            raise

    async def _measured(self) -> AsyncIterator[bytes]:
        total = 0
        async for chunk in self._content:
            total += len(chunk)
            if total > self.size:
                raise ValueError(f"content has more bytes than size says ({self.size})")
            yield chunk
        if total < self.size:
            raise ValueError(f"content has {total} bytes, fewer than size says ({self.size})")


class _SizedPayload(AsyncIterablePayload):
    """A stream of known length, so that the request carries a Content-Length (some proxies want one)."""

    def __init__(self, source: _Source, content_type: str) -> None:
        super().__init__(source, content_type=content_type)
        self._size = source.size


def _form(subfolder: str, name: str, source: _Source, content_type: str) -> aiohttp.MultipartWriter:
    form = aiohttp.MultipartWriter("form-data")
    for field, value in (("type", "input"), ("subfolder", subfolder)):
        part = form.append(value)
        part.headers.pop(hdrs.CONTENT_TYPE, None)
        part.set_content_disposition("form-data", name=field)
    payload = _SizedPayload(source, content_type)
    payload.set_content_disposition("form-data", quote_fields=False, name="image", filename=name)
    form.append_payload(payload)
    return form


def _check_path(field: str, value: str, *, allow_slash: bool) -> None:
    parts = value.split("/") if allow_slash else [value]
    strange = any(part in ("", ".", "..") for part in parts) or any(
        ord(char) < 32 or char in '\\"\x7f' or (char == "/" and not allow_slash) for char in value
    )
    if strange or len(value) > PATH_CHARS_MAX:
        kind = "a relative folder" if allow_slash else "a plain file name"
        raise ValueError(
            f"{field} {value[:PATH_CHARS_MAX]!r} is not {kind} of at most {PATH_CHARS_MAX} characters"
        )
