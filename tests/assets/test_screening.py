"""The real worker and the real model, on harmless drawn pictures: scores, limits, bombs, death, delay."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from comfygate.assets.screening import WORKER, PictureWorkers, shared_workers
from comfygate.assets.seen import Kept, Seen
from comfygate.domain.errors import (
    BlobNotFound,
    PayloadTooLarge,
    ScreeningUnavailable,
    UnreadablePicture,
)
from tests.assets.drawn import clip, encoded, huge_png, landscape

PIXELS = 1_000_000
FRAMES = 100


@pytest.fixture(scope="module")
def shared() -> Iterator[PictureWorkers]:
    with shared_workers() as worker:
        yield worker


@pytest.fixture
def own() -> Iterator[PictureWorkers]:
    """A worker that a test may mistreat."""
    worker = PictureWorkers()
    yield worker
    worker.close()


@pytest.fixture
def picture(tmp_path: Path) -> Image.Image:
    return landscape(tmp_path)


def stored(folder: Path, data: bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


async def look(worker: PictureWorkers, path: Path, content_type: str) -> Seen:
    return await worker.look(path, content_type, pixels_max=PIXELS, frames_max=FRAMES)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
async def test_pictures_of_every_format_decode_and_score_as_harmless(
    shared: PictureWorkers, picture: Image.Image, tmp_path: Path, form: str
) -> None:
    path = stored(tmp_path, encoded(picture, form))
    assert await look(shared, path, f"image/{form.lower()}") == Seen(320, 240, 1)
    assert 0 <= await shared.score(path, f"image/{form.lower()}", frames_max=4) < 0.2


async def test_bytes_and_files_score_alike(
    shared: PictureWorkers, picture: Image.Image, tmp_path: Path
) -> None:
    data = encoded(picture, "PNG")
    by_bytes = await shared.score(data, "image/png", frames_max=4)
    assert by_bytes == await shared.score(stored(tmp_path, data), "image/png", frames_max=4)


async def test_a_clip_decodes_and_scores_by_sampled_frames(
    shared: PictureWorkers, picture: Image.Image, tmp_path: Path
) -> None:
    path = clip(picture, tmp_path / "clip.mp4")
    assert await look(shared, path, "video/mp4") == Seen(160, 120, 60)
    assert 0 <= await shared.score(path, "video/mp4", frames_max=12) < 0.5


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L", "1", "P", "CMYK", "I;16", "F"])
async def test_every_kind_of_pixel_can_be_scored(
    shared: PictureWorkers, picture: Image.Image, tmp_path: Path, mode: str
) -> None:
    given = Image.new("I;16", (64, 64), 40_000) if mode == "I;16" else picture.convert(mode)
    if mode in {"RGBA", "LA"}:
        given.putalpha(90)
    form = "TIFF" if mode in {"CMYK", "F"} else "PNG"
    path = stored(tmp_path, encoded(given, form))
    assert 0 <= await shared.score(path, f"image/{form.lower()}", frames_max=4) < 0.8


async def test_animations_are_counted_and_limited(
    shared: PictureWorkers, picture: Image.Image, tmp_path: Path
) -> None:
    frames = [picture.crop((n, 0, n + 32, 32)) for n in range(FRAMES + 1)]
    for form, content_type in (("GIF", "image/gif"), ("WEBP", "image/webp"), ("PNG", "image/png")):
        most = encoded(frames[0], form, save_all=True, append_images=frames[1:FRAMES])
        assert (await look(shared, stored(tmp_path, most), content_type)).frames == FRAMES
        more = stored(tmp_path, encoded(frames[0], form, save_all=True, append_images=frames[1:]))
        with pytest.raises(PayloadTooLarge, match="more than 100 frames") as refused:
            await look(shared, more, content_type)
        assert refused.value.details == {"field": "file", "limit": "picture_frames_max", "most": FRAMES}
        assert 0 <= await shared.score(more, content_type, frames_max=5) < 0.8


async def test_a_clip_s_frames_and_pixels_are_limited(
    shared: PictureWorkers, picture: Image.Image, tmp_path: Path
) -> None:
    path = clip(picture, tmp_path / "clip.mp4")
    with pytest.raises(PayloadTooLarge):
        await shared.look(path, "video/mp4", pixels_max=PIXELS, frames_max=59)
    with pytest.raises(PayloadTooLarge):
        await shared.look(path, "video/mp4", pixels_max=160 * 120 - 1, frames_max=60)
    most = await shared.look(path, "video/mp4", pixels_max=160 * 120, frames_max=60)
    assert most == Seen(160, 120, 60)


async def test_bombs_are_refused_by_what_they_say_they_are(shared: PictureWorkers, tmp_path: Path) -> None:
    limit = await look(shared, stored(tmp_path, encoded(Image.new("1", (1000, 1000)), "PNG")), "image/png")
    assert limit == Seen(1000, 1000, 1)
    for data, content_type in (
        (huge_png(1000, 1001), "image/png"),
        (huge_png(2**31 - 1, 2**31 - 1), "image/png"),
        (encoded(Image.new("1", (20_000, 20_000)), "TIFF", compression="group4"), "image/tiff"),
        (b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\0\0\0;", "image/gif"),
    ):
        path = stored(tmp_path, data)
        assert path.stat().st_size < 100_000
        with pytest.raises((PayloadTooLarge, UnreadablePicture)):
            await look(shared, path, content_type)
    with pytest.raises(PayloadTooLarge, match="2147483647 by 2147483647 pixels; the limit is 1000000"):
        await look(shared, stored(tmp_path, huge_png(2**31 - 1, 2**31 - 1)), "image/png")


async def test_a_small_first_page_hides_no_large_second(shared: PictureWorkers, tmp_path: Path) -> None:
    pages = encoded(
        Image.new("1", (8, 8)), "TIFF", save_all=True, append_images=[Image.new("1", (5000, 5000))]
    )
    with pytest.raises(PayloadTooLarge, match="5000 by 5000"):
        await look(shared, stored(tmp_path, pages), "image/tiff")


async def test_what_is_no_picture_is_refused_without_its_path(
    shared: PictureWorkers, picture: Image.Image, tmp_path: Path
) -> None:
    whole = encoded(picture, "PNG")
    secret = stored(tmp_path, b"secret words", "secret.txt")
    playlist = f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n".encode()
    for data, content_type in (
        (b"", "image/png"),
        (b"hello", "image/png"),
        (whole[: len(whole) // 2], "image/png"),
        (encoded(picture, "JPEG")[:3000], "image/jpeg"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/png"),
        (playlist, "video/mp4"),
        (f"ffconcat version 1.0\nfile {secret}\n".encode(), "video/mp4"),
        (whole, "video/mp4"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video/mp4"),
    ):
        path = stored(tmp_path, data)
        with pytest.raises(UnreadablePicture) as refused:
            await look(shared, path, content_type)
        assert str(tmp_path) not in refused.value.message
        if content_type != "video/mp4":
            with pytest.raises(UnreadablePicture):
                await shared.score(path, content_type, frames_max=4)


async def test_bytes_that_are_gone_are_gone(shared: PictureWorkers, tmp_path: Path) -> None:
    for asked in (
        look(shared, tmp_path / "gone", "image/png"),
        shared.plan(tmp_path / "gone", "image/png", output=False),
        shared.score(tmp_path / "gone", "image/png", frames_max=4),
    ):
        with pytest.raises(BlobNotFound):
            await asked


async def test_a_worker_that_dies_is_started_anew(own: PictureWorkers, tmp_path: Path) -> None:
    path = stored(tmp_path, encoded(landscape(tmp_path), "PNG"))
    before = await own.score(path, "image/png", frames_max=4)
    (first,) = own.process_ids
    os.kill(first, signal.SIGKILL)
    assert await own.score(path, "image/png", frames_max=4) == before
    assert own.process_ids != [first]


async def test_what_takes_too_long_is_given_up_and_the_next_one_is_served(
    own: PictureWorkers, tmp_path: Path
) -> None:
    path = stored(tmp_path, encoded(landscape(tmp_path), "PNG"))
    await own.ready()
    # A frozen worker is a decoder that does not come to an end.
    (frozen,) = own.process_ids
    os.kill(frozen, signal.SIGSTOP)
    own.look_seconds = 0.2
    with pytest.raises(UnreadablePicture, match=r"takes more than 0.2 s"):
        await look(own, path, "image/png")
    own.look_seconds = 20.0
    assert await look(own, path, "image/png") == Seen(320, 240, 1)


async def test_a_long_look_holds_up_no_other(own: PictureWorkers, tmp_path: Path) -> None:
    path = stored(tmp_path, encoded(landscape(tmp_path), "PNG"))
    await own.ready()
    (first,) = own.process_ids
    os.kill(first, signal.SIGSTOP)
    long = asyncio.create_task(own.score(path, "image/png", frames_max=4))
    quick = asyncio.create_task(look(own, path, "image/png"))
    assert await quick == Seen(320, 240, 1)
    assert not long.done()
    assert len(own.process_ids) == 2
    os.kill(first, signal.SIGCONT)
    assert 0 <= await long < 0.2


async def test_no_more_are_started_than_are_needed_or_allowed(own: PictureWorkers, tmp_path: Path) -> None:
    path = stored(tmp_path, encoded(landscape(tmp_path), "PNG"))
    for _ in range(3):
        await look(own, path, "image/png")
    assert len(own.process_ids) == 1
    await asyncio.gather(*(look(own, path, "image/png") for _ in range(8)))
    assert len(own.process_ids) <= 2


async def test_the_event_loop_goes_on_meanwhile(own: PictureWorkers, tmp_path: Path) -> None:
    path = stored(tmp_path, encoded(landscape(tmp_path), "PNG"))
    turns = 0
    scoring = asyncio.create_task(own.score(path, "image/png", frames_max=4))
    while not scoring.done():
        turns += 1
        await asyncio.wait([scoring], timeout=0.001)
    assert turns > 20
    assert 0 <= await scoring < 0.2


async def test_a_model_that_cannot_be_loaded_says_why_and_pictures_still_decode(tmp_path: Path) -> None:
    weights = stored(tmp_path, b"not the weights", "broken.onnx")
    path = stored(tmp_path, encoded(landscape(tmp_path), "PNG"))
    for given, reason in ((weights, "ChecksumMismatchError"), (tmp_path / "gone", "ModelNotFoundError")):
        worker = PictureWorkers(str(given))
        try:
            for _ in range(2):
                with pytest.raises(ScreeningUnavailable, match=reason) as refused:
                    await worker.ready()
                assert refused.value.retry_after_seconds == 30
            with pytest.raises(ScreeningUnavailable, match=reason):
                await worker.score(path, "image/png", frames_max=4)
            assert reason in worker.trouble
            assert await look(worker, path, "image/png") == Seen(320, 240, 1)
        finally:
            worker.close()


async def test_a_plan_comes_through_the_pipe_as_it_was_made(own: PictureWorkers, tmp_path: Path) -> None:
    plain = encoded(landscape(tmp_path), "PNG")
    path = stored(tmp_path, plain)
    assert await own.plan(path, "image/png", output=False) is None
    stored(tmp_path, plain + b"more")
    assert await own.plan(path, "image/png", output=False) == [Kept(0, len(plain))]


def test_the_worker_ends_with_its_input_and_minds_no_terminal() -> None:
    """Whatever kills a gateway closes its pipes, so no worker is left behind."""
    with subprocess.Popen(
        [sys.executable, "-m", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b'{"operation": "ready"}\n')
        process.stdin.flush()
        assert process.stdout.readline() == b"{}\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.stdin.write(b'{"operation": "ready"}\n')
        process.stdin.flush()
        assert process.stdout.readline() == b"{}\n"
        process.stdin.close()
        assert process.wait(20) == 0


def test_all_share_one_worker_while_there_is_a_user() -> None:
    with shared_workers() as one, shared_workers() as other:
        assert one is other
