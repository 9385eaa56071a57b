"""Decodes pictures and clips of strangers: whether they are what they say, how large, some of their frames.

Runs in the screening process alone (see `screening_worker`), which has a limit on its memory and is killed
when it takes too long. Only the decoders named here are ever tried: some others read further files, fetch
addresses or start programs.
"""

from __future__ import annotations

import io
import itertools
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from PIL import Image, UnidentifiedImageError

from comfygate.assets.seen import Seen

PICTURE_FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
CLIP_FORMATS: Final = "mov,matroska,webm,avi,ogg,gif,exr_pipe,hdr_pipe"
SCORED_PIXELS_MAX: Final = 400_000_000
"""Largest frame that is scored; at four bytes a pixel it still fits the process's memory."""
PACKETS_MAX: Final = 2_000_000
"""Longest clip that is scored, in packets."""
DRAFT_PIXELS: Final = 1024
"""Large JPEGs are decoded at about this many pixels a side: the classifier looks at 256."""

# Pillow registers most decoders late, and naming one that is not yet there is an error.
Image.init()


class Unreadable(Exception):
    """No decoder makes a picture of it."""


class TooLarge(Exception):
    """Decodable perhaps, but over a limit. `limit` is its name in the settings, `most` its value."""

    def __init__(self, limit: str, most: int, found: str) -> None:
        super().__init__(found)
        self.limit = limit
        self.most = most


def look(path: Path, content_type: str, *, pixels_max: int, frames_max: int) -> Seen:
    """Decode enough to be sure: the size of every frame before anything is decoded, then the first frame.

    Raises Unreadable and TooLarge.
    """
    with _decoder_faults():
        if content_type.startswith("image/"):
            try:
                return _look_at_picture(path, pixels_max, frames_max)
            except UnidentifiedImageError:
                return _look_at_clip(path, pixels_max, frames_max)
        return _look_at_clip(path, pixels_max, frames_max)


def frames_of(source: Path | bytes, content_type: str, most: int) -> Iterator[Image.Image]:
    """At most `most` frames in RGB, sampled evenly, first and last among them.

    A frame that can be seen through comes twice: without its transparency, and before white. Raises
    Unreadable and TooLarge; at least one frame comes.
    """
    with _decoder_faults():
        found = 0
        for frame in _sampled(source, content_type, most):
            found += 1
            yield from _views(frame)
        if not found:
            raise Unreadable("it holds no picture")


def _sampled(source: Path | bytes, content_type: str, most: int) -> Iterator[Image.Image]:
    if content_type.startswith("image/"):
        try:
            with Image.open(_readable(source), formats=PICTURE_FORMATS) as picture:
                yield from _picture_frames(picture, most)
                return
        except UnidentifiedImageError:
            # Formats that Pillow does not know, HEIC or EXR say, ffmpeg may.
            yield from _clip_frames(source, most)
            return
    yield from _clip_frames(source, most)


def _readable(source: Path | bytes) -> Path | io.BytesIO:
    return io.BytesIO(source) if isinstance(source, bytes) else source


@contextmanager
def _decoder_faults() -> Iterator[None]:
    """Whatever a decoder raises over what strangers sent is a fault of that."""
    try:
        yield
    except (Unreadable, TooLarge, FileNotFoundError):
        raise
    except MemoryError:
        raise Unreadable("decoding it takes too much memory") from None
    except Exception as error:
        raise Unreadable(_reason(error)) from error


def _reason(error: Exception) -> str:
    """The decoder's words, without the path that some of them repeat."""
    if isinstance(error, UnidentifiedImageError):
        return "no decoder knows it"
    words = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
    return words or type(error).__name__


def _check_pixels(width: int, height: int, most: int, limit: str = "picture_pixels_max") -> None:
    if width * height > most:
        raise TooLarge(limit, most, f"{width} by {height} pixels")


def _check_frames(frames: int, most: int) -> None:
    if frames > most:
        raise TooLarge("picture_frames_max", most, f"more than {most} frames")


def _look_at_picture(path: Path, pixels_max: int, frames_max: int) -> Seen:
    with Image.open(path, formats=PICTURE_FORMATS) as picture:
        _check_pixels(*picture.size, pixels_max)
        frames = int(getattr(picture, "n_frames", 1))
        _check_frames(frames, frames_max)
        width, height = picture.size
        # Pages and frames may be larger than the first one; seeking tells before they are decoded.
        for number in range(1, frames):
            picture.seek(number)
            _check_pixels(*picture.size, pixels_max)
            width, height = max(width, picture.width), max(height, picture.height)
        picture.seek(0)
        picture.load()
        return Seen(width, height, frames)


@contextmanager
def _clip(source: Path | bytes, pixels_max: int) -> Iterator[tuple[Any, Any]]:
    """The container and its first stream of pictures; every stream's size is checked."""
    options = {"format_whitelist": CLIP_FORMATS, "protocol_whitelist": "file"}
    opened = _readable(source)
    with av.open(str(opened) if isinstance(opened, Path) else opened, options=options) as container:
        streams = container.streams.video
        if not streams:
            raise Unreadable("it holds no picture")
        for stream in streams:
            _check_pixels(stream.codec_context.width, stream.codec_context.height, pixels_max)
        chosen = streams[0]
        chosen.codec_context.thread_count = 1
        # The size may change in the middle of a clip; then the decoder refuses. It counts its own padding.
        chosen.codec_context.options = {"max_pixels": str(2 * pixels_max)}
        yield container, chosen


def _look_at_clip(path: Path, pixels_max: int, frames_max: int) -> Seen:
    with _clip(path, pixels_max) as (container, stream):
        frames = 0
        for packet in container.demux(stream):
            frames += bool(packet.size)
            _check_frames(frames, frames_max)
    with _clip(path, pixels_max) as (container, stream):
        first = next(container.decode(stream), None)
        if first is None:
            raise Unreadable("it holds no picture")
        return Seen(first.width, first.height, frames)


def _evenly(total: int, most: int) -> list[int]:
    """At most `most` numbers from 0 to `total` - 1, first and last among them."""
    if total <= most:
        return list(range(total))
    if most == 1:
        return [total // 2]
    return [round(step * (total - 1) / (most - 1)) for step in range(most)]


def _picture_frames(picture: Image.Image, most: int) -> Iterator[Image.Image]:
    if picture.format == "JPEG":
        picture.draft("RGB", (DRAFT_PIXELS, DRAFT_PIXELS))
    for number in _evenly(int(getattr(picture, "n_frames", 1)), most):
        picture.seek(number)
        _check_pixels(*picture.size, SCORED_PIXELS_MAX, "scored_pixels_max")
        yield picture


def _clip_frames(source: Path | bytes, most: int) -> Iterator[Image.Image]:
    with _clip(source, SCORED_PIXELS_MAX) as (container, stream):
        times: list[int] = []
        keys: list[int] = []
        for packet in itertools.islice(container.demux(stream), PACKETS_MAX):
            at = packet.pts if packet.pts is not None else packet.dts
            if at is None or not packet.size:
                continue
            times.append(at)
            if packet.is_keyframe:
                keys.append(at)
    times.sort()
    keys.sort()
    targets = [times[number] for number in _evenly(len(times), most)]
    with _clip(source, SCORED_PIXELS_MAX) as (container, stream):
        yield from _frames_at(container, stream, targets, keys)


def _frames_at(container: Any, stream: Any, targets: list[int], keys: list[int]) -> Iterator[Image.Image]:
    """The frames at these times, going forward: by a jump where a key frame lies between, else frame by
    frame. Frames without a time all come."""
    decoded = container.decode(stream)
    at = keys[0] if keys else 0
    for target in targets:
        before = bisect_right(keys, target)
        if before and keys[before - 1] > at:
            container.seek(keys[before - 1], stream=stream)
            decoded = container.decode(stream)
        for frame in decoded:
            at = frame.pts if frame.pts is not None else target
            if at >= target:
                yield frame.to_image()
                break


def _views(frame: Image.Image) -> Iterator[Image.Image]:
    """The frame in RGB as a viewer may see it."""
    if frame.mode[0] in {"I", "F"}:
        yield _in_eight_bits(frame)
        return
    if frame.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in frame.info:
        with_alpha = frame.convert("RGBA")
        if with_alpha.getchannel("A").histogram()[255] < with_alpha.width * with_alpha.height:
            white = Image.new("RGBA", with_alpha.size, (255, 255, 255, 255))
            yield Image.alpha_composite(white, with_alpha).convert("RGB")
        yield with_alpha.convert("RGB")
        return
    yield frame.convert("RGB")


def _in_eight_bits(frame: Image.Image) -> Image.Image:
    """Many levels of grey, from its darkest to its lightest: plain conversion would clip it to white."""
    levels = np.asarray(frame, dtype=np.float32)
    low, high = float(levels.min()), float(levels.max())
    scaled = (levels - low) * (255.0 / (high - low) if high > low else 0.0)
    return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
