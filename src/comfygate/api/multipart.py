"""Reads a multipart/form-data upload as it comes: small fields are kept, the file is passed on in pieces.

Fields may stand before or after the file. Nothing is kept of the file beyond the piece at hand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from comfygate.api.json_body import too_large
from comfygate.domain.errors import InvalidRequest

FILE: Final = "file"
FIELD_BYTES_MAX: Final = 8 * 1024
"""Longest value of a field that is not the file, in bytes."""
PARTS_MAX: Final = 64
HEADERS_MAX: Final = 8
HEADER_BYTES_MAX: Final = 4 * 1024
SLACK_BYTES: Final = 64 * (HEADERS_MAX * 256 + FIELD_BYTES_MAX)
"""What a whole body may be larger than the file in it."""


def refused(field: str, rule: str) -> InvalidRequest:
    """The refusal of a form for one of its fields."""
    return InvalidRequest(f"{field} {rule}", details={"field": field})


class UploadForm:
    """One upload form, read from `chunks`.

    `single` are the fields that may stand once, `repeated` those that may stand often; any other is refused.
    """

    def __init__(
        self,
        content_type: str,
        chunks: AsyncIterator[bytes],
        *,
        single: frozenset[str],
        repeated: frozenset[str],
        bytes_max: int,
    ) -> None:
        self.fields: dict[str, list[str]] = {}
        self._single, self._repeated = single, repeated
        self._chunks = chunks
        self._bytes_left = self._bytes_max = bytes_max
        self._pieces: list[bytes] = []
        self._value = bytearray()
        self._field: str | None = None
        self._headers: dict[bytes, bytes] = {}
        self._name, self._header_value = bytearray(), bytearray()
        self._parts = 0
        self._file_begun = self._file_ended = self._ended = False
        self._parser = MultipartParser(
            _boundary(content_type),
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
            max_header_count=HEADERS_MAX,
            max_header_size=HEADER_BYTES_MAX,
        )

    async def up_to_file(self) -> None:
        """Read to where the file's bytes begin; `fields` then holds those before it.

        Raises InvalidRequest naming the field, and PayloadTooLarge.
        """
        while not self._file_begun:
            if not await self._read_on():
                raise refused(FILE, "is missing")

    async def file(self) -> AsyncIterator[bytes]:
        """The file's bytes; after the last one `fields` is complete. Raises as `up_to_file`."""
        more = True
        while more:
            pieces, self._pieces = self._pieces, []
            for piece in pieces:
                yield piece
            more = await self._read_on()
        for piece in self._pieces:
            yield piece

    async def _read_on(self) -> bool:
        """Parse one more chunk of the body. False, after a check that nothing is missing, at its end."""
        chunk = await anext(self._chunks, None)
        if chunk is None:
            if not self._ended:
                raise refused("body", "ends before its closing boundary: it was cut off, or is not multipart")
            return False
        self._bytes_left -= len(chunk)
        if self._bytes_left < 0:
            raise too_large(self._bytes_max)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise refused("body", f"is not well-formed multipart/form-data: {str(error)[:120]}") from None
        return True

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > PARTS_MAX:
            raise refused("body", f"has more than {PARTS_MAX} parts")
        self._headers.clear()
        self._value.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._header_value)
        self._name.clear()
        self._header_value.clear()

    def _on_headers_finished(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise refused("body", "has a part without Content-Disposition: form-data and a name")
        shown = name[:64] if name.isprintable() else ascii(name)[:64]
        known = {FILE} | self._single | self._repeated
        if name not in known:
            raise refused(shown, f"is not a field of this form; it has {', '.join(sorted(known))}")
        if name not in self._repeated and (name in self.fields or (name == FILE and self._file_begun)):
            raise refused(name, "stands twice in the form")
        self._field = name
        self._file_begun = self._file_begun or name == FILE

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field == FILE:
            self._pieces.append(data[start:end])
            return
        if len(self._value) + end - start > FIELD_BYTES_MAX:
            raise refused(self._field or "body", f"has more than {FIELD_BYTES_MAX} bytes")
        self._value += data[start:end]

    def _on_part_end(self) -> None:
        name, self._field = self._field, None
        if name is None or name == FILE:
            return
        try:
            text = self._value.decode("utf-8")
        except UnicodeDecodeError:
            raise refused(name, "is not UTF-8") from None
        self.fields.setdefault(name, []).append(text)

    def _on_end(self) -> None:
        self._ended = True


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise refused("Content-Type", "must be multipart/form-data with a boundary")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:
        raise refused("Content-Type", "needs a boundary of 1 to 70 characters")
    return boundary
