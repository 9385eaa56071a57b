"""Harmless pictures and clips, drawn here, with and without what a camera writes beside them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import av
from PIL import Image

from comfygate.cli.picture import draw_photo

GPS = 0x8825
MAKE = 0x010F
ORIENTATION = 0x0112
SECRET = b"ACME-CAM-51.5007N"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>" + SECRET + b"</x:xmpmeta>"
PROFILE = b"not really a profile, but nobody looks " * 4


def landscape(folder: Path, size: tuple[int, int] = (320, 240), seed: int = 7) -> Image.Image:
    """The demo's landscape."""
    path = folder / f"drawn-{seed}.png"
    draw_photo(path, seed=seed)
    with Image.open(path) as picture:
        return picture.convert("RGB").resize(size)


def exif(orientation: int = 6) -> bytes:
    """What a camera writes: its name, where it was, and which side is up."""
    found = Image.Exif()
    found[MAKE] = SECRET.decode()
    found[ORIENTATION] = orientation
    found[GPS] = {1: "N", 2: (51.0, 30.0, 2.5), 29: SECRET.decode()}
    return found.tobytes()


def encoded(picture: Image.Image, form: str, **how: Any) -> bytes:
    """Its bytes in this format."""
    file = io.BytesIO()
    picture.save(file, form, **how)
    return file.getvalue()


def clip(picture: Image.Image, path: Path, frames: int = 60, **tags: str) -> Path:
    """A clip that moves over the picture, in H.264."""
    width, height = 160, 120
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update(tags)
        stream = container.add_stream("h264", rate=12)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            left = number % (picture.width - width)
            part = picture.crop((left, 0, left + width, height))
            frame = av.VideoFrame.from_image(part)  # type: ignore[no-untyped-call]
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def huge_png(width: int, height: int) -> bytes:
    """A tiny file that says it is this large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    )
