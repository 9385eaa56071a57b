"""What screening costs: milliseconds a picture and a clip, through the worker process, as jobs pay for it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import av
from PIL import Image

from benchmarks.engines import Engine
from comfygate.assets.screening import PictureWorkers
from comfygate.cli.picture import draw_photo

ROUNDS = 20
CLIP_ROUNDS = 5
FRAMES_MAX = 12
PIXELS_MAX = 400_000_000


async def measure_screening(engine: Engine) -> list[tuple[str, str, str, str]]:
    """Rows for the first engine only: no database is in it."""
    if not engine.name.lower().startswith("sqlite"):
        return []
    worker = PictureWorkers()
    try:
        with TemporaryDirectory() as folder:
            return await _measured(worker, Path(folder))
    finally:
        worker.close()


async def _measured(worker: PictureWorkers, folder: Path) -> list[tuple[str, str, str, str]]:
    began = time.monotonic()
    await worker.ready()
    rows = [
        ("screening, start and model", "-", f"{1000 * (time.monotonic() - began):.0f} ms", "once a process")
    ]
    photo = folder / "photo.png"
    draw_photo(photo)
    with Image.open(photo) as opened:
        drawn = opened.convert("RGB")
    plain = 0.0
    for size in ((768, 576), (2048, 1536), (8000, 6000)):
        path = folder / f"{size[0]}.png"
        drawn.resize(size).save(path, compress_level=1)

        async def score(path: Path = path) -> object:
            return await worker.score(path, "image/png", frames_max=FRAMES_MAX)

        async def look(path: Path = path) -> object:
            return await worker.look(path, "image/png", pixels_max=PIXELS_MAX, frames_max=1)

        rounds = ROUNDS if size[0] < 4000 else CLIP_ROUNDS
        took = await _median_ms(score, rounds)
        plain = plain or took
        name = f"{size[0]} x {size[1]}"
        rows.append((f"score a picture, {name}", "-", f"{took:.0f} ms", f"{took / plain:.1f} of the small"))
        rows.append((f"check an upload, {name}", "-", f"{await _median_ms(look, rounds):.0f} ms", ""))
    preview = BytesIO()
    drawn.resize((512, 384)).save(preview, "JPEG")

    async def glance() -> object:
        return await worker.score(preview.getvalue(), "image/jpeg", frames_max=1)

    rows.append(("score a preview, 512 x 384", "-", f"{await _median_ms(glance, ROUNDS):.0f} ms", ""))
    for seconds in (2, 20):
        path = _clip(folder / f"{seconds}.mp4", drawn, seconds)

        async def watch(path: Path = path) -> object:
            return await worker.score(path, "video/mp4", frames_max=FRAMES_MAX)

        took = await _median_ms(watch, CLIP_ROUNDS)
        about = f"{FRAMES_MAX} frames, {took / plain:.1f} of a small picture"
        rows.append((f"score a clip of {seconds} s, 640 x 480", "-", f"{took:.0f} ms", about))
    return rows


async def _median_ms(act: Callable[[], Awaitable[object]], rounds: int) -> float:
    await act()
    took = []
    for _ in range(rounds):
        began = time.monotonic()
        await act()
        took.append(time.monotonic() - began)
    return 1000 * median(took)


def _clip(path: Path, drawn: Image.Image, seconds: int) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for number in range(24 * seconds):
            left = number % (drawn.width - 640)
            container.mux(stream.encode(_frame(drawn.crop((left, 0, left + 640, 480)))))
        container.mux(stream.encode())
    return path


def _frame(drawn: Image.Image) -> av.VideoFrame:
    frame: av.VideoFrame = av.VideoFrame.from_image(drawn)  # type: ignore[no-untyped-call]
    return frame
