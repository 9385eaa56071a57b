"""Every node really computes: pixels, sizes, counts and files are checked on what comes out of /view."""

from __future__ import annotations

import asyncio
import json
from io import BytesIO
from pathlib import Path

import av
import pytest
from PIL import Image

from comfygate.simulator import Simulator
from comfygate.simulator.catalog import CATALOG
from tests.simulator.support import Client, Graph, invert_graph, node, pictures, png, ran, simulated


def two_colours() -> bytes:
    """8x4: left half red, right half blue."""
    picture = Image.new("RGB", (8, 4), (255, 0, 0))
    picture.paste((0, 0, 255), (4, 0, 8, 4))
    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


async def processed(graph: Graph, *, content: bytes = b"", name: str = "in.png") -> list[Image.Image]:
    """What node `out` saves when `in.png` holds `content`; node `in` loads it."""
    whole: Graph = {"in": node("LoadImage", image=name), **graph}
    async with simulated() as (sim, client):
        status, _ = await client.upload(name, content or two_colours())
        assert status == 200
        return await pictures(sim, client, whole, "out")


def saved_from(source: str) -> dict[str, object]:
    return node("SaveImage", images=[source, 0], filename_prefix="out")


async def test_empty_image_has_its_colour_and_count() -> None:
    graph: Graph = {
        "1": node("EmptyImage", width=5, height=3, batch_size=2, color=0x0A1B2C),
        "out": saved_from("1"),
    }
    async with simulated() as (sim, client):
        made = await pictures(sim, client, graph, "out")
    assert [one.size for one in made] == [(5, 3), (5, 3)]
    assert made[0].getpixel((4, 2)) == (0x0A, 0x1B, 0x2C)


async def test_invert_inverts() -> None:
    [made] = await processed({"1": node("ImageInvert", image=["in", 0]), "out": saved_from("1")})
    assert made.getpixel((0, 0)) == (0, 255, 255)
    assert made.getpixel((7, 3)) == (255, 255, 0)


@pytest.mark.parametrize("method", ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"])
async def test_scale_to_a_size(method: str) -> None:
    scale = node("ImageScale", image=["in", 0], upscale_method=method, width=16, height=12, crop="disabled")
    [made] = await processed({"1": scale, "out": saved_from("1")})
    assert made.size == (16, 12)
    assert made.getpixel((0, 0)) == (255, 0, 0)
    assert made.getpixel((15, 11)) == (0, 0, 255)


async def test_scale_keeps_the_aspect_when_a_side_is_zero() -> None:
    scale = node("ImageScale", image=["in", 0], upscale_method="area", width=0, height=8, crop="disabled")
    [made] = await processed({"1": scale, "out": saved_from("1")})
    assert made.size == (16, 8)


async def test_scale_crops_about_the_centre() -> None:
    scale = node("ImageScale", image=["in", 0], upscale_method="area", width=4, height=4, crop="center")
    [made] = await processed({"1": scale, "out": saved_from("1")})
    assert made.getpixel((1, 0)) == (255, 0, 0)
    assert made.getpixel((2, 0)) == (0, 0, 255)


async def test_scale_by_a_factor() -> None:
    scale = node("ImageScaleBy", image=["in", 0], upscale_method="nearest-exact", scale_by=2.5)
    [made] = await processed({"1": scale, "out": saved_from("1")})
    assert made.size == (20, 10)


async def test_crop_is_clipped_to_the_picture() -> None:
    crop = node("ImageCrop", image=["in", 0], width=100, height=2, x=4, y=1)
    [made] = await processed({"1": crop, "out": saved_from("1")})
    assert made.size == (4, 2)
    assert made.getpixel((0, 0)) == (0, 0, 255)


async def test_blur_mixes_neighbours_only() -> None:
    blur = node("ImageBlur", image=["in", 0], blur_radius=1, sigma=5.0)
    [made] = await processed({"1": blur, "out": saved_from("1")})
    assert made.getpixel((0, 0)) == (255, 0, 0)
    red, green, blue = made.getpixel((3, 1)) or (0, 0, 0)  # type: ignore[misc]
    assert (160 <= red <= 180, green, 75 <= blue <= 95) == (True, 0, True)


async def test_sharpen_leaves_flat_parts_and_widens_edges() -> None:
    grey = Image.new("L", (8, 4), 100)
    grey.paste(150, (4, 0, 8, 4))
    buffer = BytesIO()
    grey.save(buffer, format="PNG")
    sharpen = node("ImageSharpen", image=["in", 0], sharpen_radius=1, sigma=1.0, alpha=0.1)
    [made] = await processed({"1": sharpen, "out": saved_from("1")}, content=buffer.getvalue())
    assert made.getpixel((0, 0)) == (100, 100, 100)
    assert (made.getpixel((3, 1)) or (0,))[0] < 100  # type: ignore[index]
    assert (made.getpixel((4, 1)) or (0,))[0] > 150  # type: ignore[index]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("normal", 200),
        ("multiply", 78),
        ("screen", 222),
        ("overlay", 157),
        ("soft_light", 134),
        ("difference", 0),
    ],
)
async def test_blend_modes(mode: str, expected: int) -> None:
    graph: Graph = {
        "a": node("EmptyImage", width=4, height=4, batch_size=1, color=0x646464),
        "b": node("EmptyImage", width=8, height=8, batch_size=1, color=0xC8C8C8),
        "1": node("ImageBlend", image1=["a", 0], image2=["b", 0], blend_factor=1.0, blend_mode=mode),
        "out": saved_from("1"),
    }
    async with simulated() as (sim, client):
        [made] = await pictures(sim, client, graph, "out")
    assert made.size == (4, 4)
    assert made.getpixel((1, 1)) == (expected,) * 3


async def test_batches_join_and_repeat() -> None:
    graph: Graph = {
        "a": node("EmptyImage", width=4, height=4, batch_size=1, color=0xFF0000),
        "b": node("EmptyImage", width=8, height=8, batch_size=1, color=0x00FF00),
        "1": node("ImageBatch", image1=["a", 0], image2=["b", 0]),
        "2": node("RepeatImageBatch", image=["1", 0], amount=2),
        "out": saved_from("2"),
    }
    async with simulated() as (sim, client):
        made = await pictures(sim, client, graph, "out")
    assert [one.getpixel((0, 0)) for one in made] == [(255, 0, 0), (0, 255, 0)] * 2
    assert {one.size for one in made} == {(4, 4)}


async def test_load_turns_as_exif_says() -> None:
    picture = Image.open(BytesIO(two_colours()))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = BytesIO()
    picture.save(buffer, format="PNG", exif=exif)
    [made] = await processed({"out": saved_from("in")}, content=buffer.getvalue())
    assert made.size == (4, 8)
    assert made.getpixel((0, 0)) == (255, 0, 0)
    assert made.getpixel((0, 7)) == (0, 0, 255)


async def test_load_gives_the_alpha_as_an_inverted_mask() -> None:
    from comfygate.simulator.files import Folders
    from comfygate.simulator.node import Call

    async with simulated() as (sim, client):
        await client.upload("glass.png", png((1, 2, 3, 55), mode="RGBA"))
        call = Call(Folders(sim.base_dir), {}, None, lambda *_: None)
        loaded = CATALOG["LoadImage"].run({"image": "glass.png"}, call)
        plain = CATALOG["LoadImage"].run({"image": "example.png"}, call)
    assert loaded.outputs[0][0].getpixel((0, 0)) == (1, 2, 3)
    assert loaded.outputs[1][0].getpixel((0, 0)) == 200
    assert (plain.outputs[1][0].size, plain.outputs[1][0].getextrema()) == ((64, 64), (0, 0))


async def test_save_counts_on_and_writes_the_graph_into_the_png() -> None:
    async with simulated() as (sim, client):
        for color, name in ((1, "p_00001_.png"), (2, "p_00002_.png")):
            graph = invert_graph("acct/job/p", color=color)
            prompt_id = await client.submit(graph, extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}})
            await sim.finished(prompt_id)
            [ref] = (await client.history(prompt_id))["outputs"]["3"]["images"]
            assert ref == {"filename": name, "subfolder": "acct/job", "type": "output"}
        with Image.open(sim.base_dir / "output" / "acct" / "job" / "p_00002_.png") as made:
            text = dict(made.info)
    assert json.loads(text["prompt"]) == invert_graph("acct/job/p", color=2)
    assert json.loads(text["workflow"]) == {"id": "w"}


async def test_preview_saves_to_temp() -> None:
    async with simulated() as (sim, client):
        graph: Graph = {
            "1": node("EmptyImage", width=2, height=2, batch_size=2, color=0),
            "out": node("PreviewImage", images=["1", 0]),
        }
        refs = (await ran(sim, client, graph))["outputs"]["out"]["images"]
        answers = [await client.call("GET", "/view", params=ref) for ref in refs]
    assert [ref["type"] for ref in refs] == ["temp", "temp"]
    assert [status for status, _ in answers] == [200, 200]


async def test_text_comes_out_as_text() -> None:
    async with simulated() as (sim, client):
        graph: Graph = {"1": node("PrimitiveString", value="hello"), "2": node("PreviewAny", source=["1", 0])}
        assert (await ran(sim, client, graph))["outputs"] == {"2": {"text": ["hello"]}}


def video_graph(*, width: int = 32, height: int = 24, frames: int = 6) -> Graph:
    return {
        "1": node("EmptyImage", width=width, height=height, batch_size=frames, color=0xFF0000),
        "2": node("CreateVideo", images=["1", 0], fps=8.0),
        "mp4": node("SaveVideo", video=["2", 0], filename_prefix="v/clip", format="auto", codec="auto"),
        "webm": node("SaveWEBM", images=["1", 0], filename_prefix="clip", codec="vp9", fps=8.0, crf=32.0),
        "webp": node(
            "SaveAnimatedWEBP",
            images=["in", 0],
            filename_prefix="clip",
            fps=8.0,
            lossless=True,
            quality=80,
            method="default",
        ),
        "in": node("ImageBatch", image1=["1", 0], image2=["other", 0]),
        "other": node("EmptyImage", width=width, height=height, batch_size=1, color=0x0000FF),
    }


async def output_path(sim: Simulator, client: Client, graph: Graph, node_id: str) -> Path:
    output = (await ran(sim, client, graph))["outputs"][node_id]
    assert output["animated"] == [True]
    [ref] = output["images"]
    return sim.base_dir.joinpath(ref["type"], ref["subfolder"], ref["filename"])


@pytest.mark.parametrize(("node_id", "codec", "suffix"), [("mp4", "h264", ".mp4"), ("webm", "vp9", ".webm")])
async def test_videos_have_their_frames(node_id: str, codec: str, suffix: str) -> None:
    async with simulated() as (sim, client):
        path = await output_path(sim, client, video_graph(), node_id)
        assert path.suffix == suffix
        with av.open(path) as container:
            stream = container.streams.video[0]
            about = (stream.codec_context.name, stream.width, stream.height, float(stream.average_rate or 0))
            frames = list(container.decode(video=0))
    assert about[0].removeprefix("lib") in {codec, f"{codec}-vp9", "vpx-vp9"}
    assert about[1:] == (32, 24, 8.0)
    assert len(frames) == 6
    red, green, blue = frames[3].to_image().getpixel((16, 12))  # type: ignore[no-untyped-call]
    assert (red > 200, green < 50, blue < 50) == (True, True, True)


async def test_odd_sizes_lose_a_pixel_in_mp4() -> None:
    async with simulated() as (sim, client):
        path = await output_path(sim, client, video_graph(width=33, height=25), "mp4")
        with av.open(path) as container:
            stream = container.streams.video[0]
            assert (stream.width, stream.height) == (32, 24)


async def test_animated_webp_has_its_frames() -> None:
    async with simulated() as (sim, client):
        path = await output_path(sim, client, video_graph(frames=1), "webp")
        with Image.open(path) as made:
            assert getattr(made, "n_frames", 1) == 2
            assert made.info.get("loop") is not None
            assert f"prompt:{json.dumps({})[:1]}" in str(made.getexif()[0x0110])


async def test_a_video_can_be_loaded_taken_apart_and_saved() -> None:
    async with simulated() as (sim, client):
        made = await output_path(sim, client, video_graph(frames=3), "mp4")
        content = await asyncio.to_thread(made.read_bytes)
        assert (await client.upload("clip.mp4", content))[0] == 200
        graph: Graph = {
            "1": node("LoadVideo", file="clip.mp4"),
            "2": node("GetVideoComponents", video=["1", 0]),
            "3": node("SaveImage", images=["2", 0], filename_prefix="frame"),
            "4": node("PreviewAny", source=["2", 2]),
        }
        outputs = (await ran(sim, client, graph))["outputs"]
    assert len(outputs["3"]["images"]) == 3
    assert outputs["4"] == {"text": ["8.0"]}


async def test_object_info_tells_every_node_it_runs() -> None:
    async with simulated() as (_, client):
        status, info = await client.call("GET", "/api/object_info")
    assert status == 200
    assert set(info) == set(CATALOG)
    assert info["SaveVideo"]["input"]["required"]["codec"][0] == "COMBO"
    assert info["ImageScale"]["input"]["required"]["crop"] == [["disabled", "center"]]
    assert info["CreateVideo"]["input_order"] == {"required": ["images", "fps"], "optional": ["audio"]}
