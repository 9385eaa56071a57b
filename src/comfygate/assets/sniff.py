"""What a file is: by its first bytes, then by its name, then simply bytes.

A name can lie and its first bytes cannot, so a picture named .txt is served as a picture. Nothing is ever
called text/html or image/svg+xml by its name alone: bytes of strangers must not become a page of ours.
"""

import codecs
import re
from pathlib import PurePosixPath
from typing import Final, Literal

OutputKind = Literal["image", "video", "audio", "text", "latent", "file"]

UNKNOWN: Final = "application/octet-stream"

_MAGIC: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"v/1\x01", "image/x-exr"),
    (0, b"#?RADIANCE", "image/vnd.radiance"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"glTF", "model/gltf-binary"),
)
_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS: Final = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
}
_EXTENSIONS: Final = {
    ".json": "application/json",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".srt": "application/x-subrip",
    ".vtt": "text/vtt",
    ".obj": "model/obj",
    ".stl": "model/stl",
    ".gltf": "model/gltf+json",
    ".glb": "model/gltf-binary",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".latent": "application/x-safetensors",
    ".safetensors": "application/x-safetensors",
    ".zip": "application/zip",
}
_TEXT_TYPES: Final = frozenset({"application/json", "application/x-subrip"})
_JSON_START: Final = re.compile(rb"""\s*(?:\{\s*["}]|\[\s*[\[{"\]tfn0-9-])""")
_SAFETENSORS_HEADER_BYTES_MAX: Final = 100_000_000


def sniff(head: bytes, name: str) -> str:
    """Tell the content type from the first bytes (4 KiB are plenty) and the file's name; never fails."""
    for offset, magic, content_type in _MAGIC:
        if head.startswith(magic, offset):
            return content_type
    return _container(head) or _by_name(head, name) or _plain(head)


def output_kind(content_type: str, name: str) -> OutputKind:
    """Sort an output by its content type; a saved latent by its name, its bytes say only safetensors."""
    if PurePosixPath(name).suffix.lower() == ".latent":
        return "latent"
    main = content_type.split(";", 1)[0].strip().lower()
    if main in _TEXT_TYPES:
        return "text"
    match main.partition("/")[0]:
        case "image":
            return "image"
        case "video":
            return "video"
        case "audio":
            return "audio"
        case "text":
            return "text"
        case _:
            return "file"


def _container(head: bytes) -> str | None:
    """Know the formats whose first bytes name the wrapping and whose later bytes name what is inside."""
    if head.startswith(b"RIFF"):
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[4:8] in {b"moov", b"mdat", b"wide"}:
        return "video/quicktime"
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head.startswith(b"BM") and head[6:10] == b"\0\0\0\0":
        return "image/bmp"
    if head.startswith(b"OggS"):
        return "video/ogg" if b"theora" in head[:128] else "audio/ogg"
    if _is_mpeg_audio(head):
        return "audio/mpeg"
    return "application/x-safetensors" if _is_safetensors(head) else None


def _is_mpeg_audio(head: bytes) -> bool:
    """Know an MP3 frame without tags: sync bits, then a layer, bit rate and sample rate that exist."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return False
    layer, bit_rate, sample_rate = head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    return layer == 1 and bit_rate not in {0, 15} and sample_rate != 3


def _is_safetensors(head: bytes) -> bool:
    """Know the format by its own header: eight bytes of length, then that many bytes of JSON."""
    length = int.from_bytes(head[:8], "little")
    return 2 <= length <= _SAFETENSORS_HEADER_BYTES_MAX and head[8:10] == b'{"'


def _by_name(head: bytes, name: str) -> str | None:
    content_type = _EXTENSIONS.get(PurePosixPath(name.replace("\\", "/")).suffix.lower())
    if content_type is None or not _is_readable(content_type):
        return content_type
    return content_type if _is_text(head) else None


def _is_readable(content_type: str) -> bool:
    return content_type.startswith("text/") or content_type in _TEXT_TYPES


def _plain(head: bytes) -> str:
    if not head or not _is_text(head):
        return UNKNOWN
    return "application/json" if _JSON_START.match(head) else UNKNOWN


def _is_text(head: bytes) -> bool:
    """Tell whether this is UTF-8 without control bytes; a character cut at the end is no fault."""
    if b"\x00" in head:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
