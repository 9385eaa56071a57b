"""Takes out of pictures and clips what was written beside the pixels: EXIF with GPS, XMP, comments.

Whole segments go and no pixel is encoded anew: the answer is a list of what is kept of the file. The colour
profile stays, and so does the orientation, as an EXIF block with nothing else in it. Reading never goes
beyond what the lengths in the file allow, and takes time in proportion to its size.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from PIL import Image

from comfygate.assets.decoding import Unreadable
from comfygate.assets.seen import Kept, Piece, Zeros, length_of, size_of

Data = bytes | mmap.mmap
ORIENTATION: Final = 0x0112
PIECES_MAX: Final = 10_000


def plan(data: Data, content_type: str, *, output: bool) -> list[Piece] | None:
    """What is left of the file without its metadata; None: it stays as it is.

    Of an `output` only EXIF and XMP go, not what ComfyUI itself writes into a PNG. Raises Unreadable for a
    file that is not built as its type says.
    """
    cutter = _CUTTERS.get(content_type)
    if cutter is None or (output and content_type in _CLIPS):
        return None
    try:
        pieces = _joined(cutter(data, output))
    except (IndexError, struct.error) as error:
        raise Unreadable("it ends in the middle of a segment") from error
    return None if pieces == [Kept(0, len(data))] else pieces


def _joined(pieces: Iterator[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if isinstance(piece, Kept) and isinstance(last, Kept) and last.end == piece.start:
            joined[-1] = Kept(last.start, piece.end)
        elif length_of(piece):
            joined.append(piece)
        if len(joined) > PIECES_MAX:
            raise Unreadable("it has too many segments")
    return joined


def _minimal_exif(found: bytes) -> bytes:
    """A TIFF block with the orientation of `found` and nothing else; empty if it is the usual one."""
    exif = Image.Exif()
    try:
        exif.load(found)
        orientation = exif.get(ORIENTATION)
    except Exception:  # noqa: BLE001 - broken EXIF has no orientation that anybody could follow
        return b""
    if not isinstance(orientation, int) or not 2 <= orientation <= 8:
        return b""
    entry = struct.pack("<HHIHH", ORIENTATION, 3, 1, orientation, 0)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)


_JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_APP0, _APP1, _APP2, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9


def _jpeg(data: Data, output: bool) -> Iterator[Piece]:
    if data[:2] != b"\xff\xd8":
        raise Unreadable("it is no JPEG")
    yield Kept(0, 2)
    at, turned = 2, False
    while True:
        # Between segments only markers may stand; in a scan everything up to the next marker is pixels.
        found = _JPEG_MARKER.search(data, at)
        if found is None:
            yield Kept(at, len(data))
            return
        yield Kept(at, found.start())
        marker = data[found.end() - 1]
        if marker == _END_OF_IMAGE:
            # What follows is another picture or a clip, with metadata of its own.
            yield Kept(found.start(), found.end())
            return
        if marker == 0x01:
            at = found.end()
            continue
        (length,) = struct.unpack(">H", data[found.end() : found.end() + 2])
        at = found.end() + length
        if length < 2 or at > len(data):
            raise Unreadable("it ends in the middle of a segment")
        body = bytes(data[found.end() + 2 : min(at, found.end() + 34)])
        if marker == _APP1 and body.startswith(b"Exif\0") and not turned:
            turned = True
            exif = _minimal_exif(bytes(data[found.end() + 2 : at]))
            if exif:
                yield b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0" + exif
        elif not _dropped_of_jpeg(marker, body, output):
            yield Kept(found.start(), at)


def _dropped_of_jpeg(marker: int, body: bytes, output: bool) -> bool:
    if marker == _COMMENT:
        return not output
    if not _APP0 < marker <= _APP15 or marker == _APP14:
        return False
    return not (marker == _APP2 and body.startswith(b"ICC_PROFILE\0"))


_PNG_KEPT: Final = frozenset({
    b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"acTL",
    b"fcTL", b"fdAT", b"cICP", b"mDCV", b"cLLI",
})  # fmt: skip
"""What of an upload stays besides the critical chunks."""
_PNG_TEXTS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt"})


def _png(data: Data, output: bool) -> Iterator[Piece]:
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise Unreadable("it is no PNG")
    yield Kept(0, 8)
    at = 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if end > len(data):
            raise Unreadable("it ends in the middle of a chunk")
        if kind == b"eXIf":
            exif = _minimal_exif(bytes(data[at + 8 : end - 4]))
            if exif:
                checked = kind + exif
                yield struct.pack(">I", len(exif)) + checked + struct.pack(">I", zlib.crc32(checked))
        elif not _dropped_of_png(kind, bytes(data[at + 8 : min(end, at + 40)]), output):
            yield Kept(at, end)
        at = end
        if kind == b"IEND":
            return


def _dropped_of_png(kind: bytes, body: bytes, output: bool) -> bool:
    if kind in _PNG_TEXTS:
        return not output or body.startswith((b"XML:com.adobe.xmp", b"Raw profile type "))
    critical = not kind[0] & 0x20
    return not output and not critical and kind not in _PNG_KEPT


_WEBP_KEPT: Final = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"})
_HAS_EXIF, _HAS_XMP = 0x08, 0x04


def _webp(data: Data, output: bool) -> Iterator[Piece]:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise Unreadable("it is no WebP")
    pieces: list[Piece] = []
    exif = b""
    at, flags = 12, -1
    # What stands behind the length of the whole is no part of the picture.
    stop = min(len(data), 8 + struct.unpack("<I", data[4:8])[0])
    while at + 8 <= stop:
        kind, length = struct.unpack("<4sI", data[at : at + 8])
        end = at + 8 + length + length % 2
        if end > len(data) + 1:
            raise Unreadable("it ends in the middle of a chunk")
        end = min(end, len(data))
        if kind == b"VP8X":
            flags = len(pieces)
            pieces.append(bytes(data[at:end]))
        elif kind == b"EXIF":
            exif = exif or _minimal_exif(bytes(data[at + 8 : at + 8 + length]))
        elif kind != b"XMP " and (output or kind in _WEBP_KEPT):
            pieces.append(Kept(at, end))
        at = end
    if flags >= 0:
        extended = pieces[flags]
        assert isinstance(extended, bytes)  # noqa: S101 - put there above
        kept = (extended[8] & ~(_HAS_EXIF | _HAS_XMP)) | (_HAS_EXIF if exif else 0)
        pieces[flags] = extended[:8] + bytes([kept]) + extended[9:]
        if exif:
            pieces.append(b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2))
    whole = b"RIFF" + struct.pack("<I", 4 + size_of(pieces)) + b"WEBP"
    if flags >= 0 and _is_as_before(data, whole, pieces, flags):
        yield Kept(0, len(data))
        return
    yield Kept(0, 12) if whole == data[:12] else whole
    yield from pieces


def _is_as_before(data: Data, whole: bytes, pieces: list[Piece], flags: int) -> bool:
    """Whether nothing went: the same size, and the flags say what they said."""
    extended = pieces[flags]
    return 12 + size_of(pieces) == len(data) and data[:12] == whole and data[12 : 12 + 18] == extended


_ISO_INSIDE: Final = frozenset({b"moov", b"trak"})
_ISO_TOLD: Final = frozenset({b"udta", b"meta", b"uuid"})
"""Boxes that only say something of a clip: where, when and with what it was taken."""
_ISO_DEPTH_MAX: Final = 3


def _iso(data: Data, output: bool) -> Iterator[Piece]:
    """Clips as cameras make them. Boxes are blanked and not taken out: tables tell where others lie."""
    yield from _boxes(data, 0, len(data), 0)


def _boxes(data: Data, start: int, end: int, depth: int) -> Iterator[Piece]:
    at = start
    while at + 8 <= end:
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        head = 8
        if length == 1:
            (length,) = struct.unpack(">Q", data[at + 8 : at + 16])
            head = 16
        elif length == 0 or (kind == b"mdat" and at + length > end and not depth):
            # To the end of the file; so is what a recording holds that was cut off.
            length = end - at
        if length < head or at + length > end:
            raise Unreadable("it ends in the middle of a box")
        if kind in _ISO_TOLD:
            yield Kept(at, at + 4)
            yield b"free"
            yield Kept(at + 8, at + head)
            yield Zeros(length - head)
        elif kind in _ISO_INSIDE and depth < _ISO_DEPTH_MAX:
            yield Kept(at, at + head)
            yield from _boxes(data, at + head, at + length, depth + 1)
        else:
            yield Kept(at, at + length)
        at += length
    yield Kept(at, end)


_CLIPS: Final = frozenset({"video/mp4", "video/quicktime"})
_CUTTERS: Final[Mapping[str, Callable[[Data, bool], Iterator[Piece]]]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/webp": _webp,
    "video/mp4": _iso,
    "video/quicktime": _iso,
}
