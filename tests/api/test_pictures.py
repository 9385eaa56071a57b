"""Uploads that claim to be pictures: they are decoded within limits, and what a camera wrote stays here."""

from __future__ import annotations

import asyncio
from io import BytesIO
from pathlib import Path
from typing import Any

import comfy_sdk
import pytest
from PIL import Image

from comfygate.gate import clean
from comfygate.gate.context import Context
from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, file_graph, hash_of, node, png, reference
from tests.assets.drawn import GPS, ORIENTATION, PROFILE, SECRET, clip, encoded, exif, huge_png, landscape


def stored(house: Gateway) -> list[Path]:
    return [path for path in house.settings.uploads_path.rglob("*") if path.is_file()]


def on_server(sim: Simulator) -> list[bytes]:
    """Every file that ComfyUI was sent."""
    return [path.read_bytes() for path in (sim.base_dir / "input" / "comfygate").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("content", "name", "code", "status"),
    [
        (b"hello", "photo.png", "unreadable_picture", 422),
        (b"", "photo.jpg", "unreadable_picture", 422),
        (png()[:40], "photo.png", "unreadable_picture", 422),
        (b"\xff\xd8\xff\xe0 no picture", "note.txt", "unreadable_picture", 422),
        (b"#EXTM3U\nfile:///etc/passwd\n", "clip.mp4", "unreadable_picture", 422),
        (huge_png(60_000, 60_000), "photo.png", "payload_too_large", 413),
    ],
)
async def test_what_claims_to_be_a_picture_and_is_none_is_refused_and_not_kept(
    ann: Client, lite: Gateway, content: bytes, name: str, code: str, status: int
) -> None:
    answer = await ann.upload(content, name)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert answer.json()["error"]["details"]["field"] == "file"
    assert str(lite.settings.base_path) not in answer.text
    assert stored(lite) == []


@pytest.mark.parametrize("changes", [{"limits": {"picture_pixels_max": 400, "picture_frames_max": 3}}])
async def test_the_limits_at_their_edges(ann: Client, lite: Gateway, changes: dict[str, Any]) -> None:
    await ann.asset(png(size=(20, 20)))
    answer = await ann.upload(png(size=(20, 21)))
    assert answer.status_code == 413
    assert "20 by 21 pixels; the limit is 400" in answer.json()["error"]["message"]
    frames = [Image.new("RGB", (8, 8), (n * 40, 0, 0)) for n in range(4)]
    await ann.asset(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:3]), "three.gif")
    answer = await ann.upload(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "four.gif")
    assert answer.json()["error"]["details"] == {"field": "file", "limit": "picture_frames_max", "most": 3}


async def test_what_a_camera_wrote_never_reaches_a_server(
    ann: Client, lite: Gateway, sim: Simulator, tmp_path: Path
) -> None:
    drawn = landscape(tmp_path)
    sent = encoded(drawn, "JPEG", exif=exif(6), icc_profile=PROFILE, comment=SECRET)
    asset = await ann.asset(sent, "photo.jpg", expected_hash=hash_of(sent))
    # Its owner has it back as it was sent, under the hash that was computed before.
    assert asset["hash"] == hash_of(sent)
    assert await ann.download(asset) == sent
    graph = {
        "1": node("LoadImage", image=reference(asset)),
        "2": node("SaveImage", images=["1", 0], filename_prefix="same"),
    }
    job = await ann.run(graph)
    assert job["status"] == "succeeded", job["error"]
    (there,) = on_server(sim)
    assert SECRET not in there
    found = Image.open(BytesIO(there))
    assert dict(found.getexif()) == {ORIENTATION: 6}
    assert found.info["icc_profile"] == PROFILE
    assert found.tobytes() == Image.open(BytesIO(sent)).tobytes()
    assert SECRET not in await ann.download(job["outputs"][0])


async def test_a_clip_s_position_never_reaches_a_server(
    ann: Client, lite: Gateway, sim: Simulator, tmp_path: Path
) -> None:
    path = clip(landscape(tmp_path), tmp_path / "clip.mp4", location="+51.5007-000.1246/")
    asset = await ann.asset(path.read_bytes(), "clip.mp4", content_type="video/mp4")
    assert asset["content_type"] == "video/mp4"
    graph = {
        "1": node("LoadVideo", file=reference(asset)),
        "2": node("SaveVideo", video=["1", 0], filename_prefix="same", format="auto", codec="auto"),
    }
    job = await ann.submit(graph)
    await ann.ended(job["id"])
    (there,) = on_server(sim)
    assert b"51.5007" in path.read_bytes()
    assert b"51.5007" not in there


async def test_the_official_client_dedups_by_the_hash_of_what_it_sent(
    ann: Client, lite: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFY_BASE_URL", lite.url)
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(encoded(landscape(tmp_path), "JPEG", exif=exif(3)))

    def twice() -> set[str | None]:
        with comfy_sdk.Comfy(api_key=lite.keys["ann"]) as client:
            found = [client.assets.from_file(photo) for _ in range(2)]
            for asset in found:
                asset.commit()
            assert [asset.created_new for asset in found] == [True, False]
            return {asset.hash for asset in found}

    assert await asyncio.to_thread(twice) == {hash_of(photo.read_bytes())}
    assert len(stored(lite)) == 1


async def test_metadata_is_taken_out_of_outputs_too(lite: Gateway, tmp_path: Path) -> None:
    from comfygate.store.rows import BlobRow, NewOutput

    ctx: Context = lite.ctx
    assert ctx.eyes is not None

    async def bytes_of(data: bytes) -> Any:
        yield data

    data = encoded(landscape(tmp_path), "JPEG", exif=exif(8))
    kept = await ctx.blobs.write("results", bytes_of(data), bytes_max=10**7)
    output = NewOutput(
        "id", BlobRow(kept.hash, kept.key, kept.size_bytes), "1", "a.jpg", "image", "image/jpeg"
    )
    after = await clean.cleaned(ctx, ctx.eyes, output)
    left = b"".join([piece async for piece in ctx.blobs.read(after.blob.key)])
    assert (after.blob.hash, after.blob.size_bytes) == (hash_of(left), len(left))
    assert GPS not in Image.open(BytesIO(left)).getexif()
    assert [found.key async for found in ctx.blobs.keys("results")] == [after.blob.key]
    assert await clean.cleaned(ctx, ctx.eyes, after) is not None


async def test_a_vector_drawing_is_a_file_like_any_other(ann: Client) -> None:
    await ann.asset(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "x.svg", content_type="image/svg+xml")
    assert (await ann.upload(file_graph("x")["1"]["class_type"].encode(), "x.bin")).status_code == 422
