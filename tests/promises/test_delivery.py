"""Completion and delivery, a picture and a video, byte for byte."""

from __future__ import annotations

import io
from pathlib import Path

import av
from PIL import Image

from comfygate.simulator import Simulator
from tests.promises.rig import Gateway, image_graph, picture, video_graph


def saved(simulator: Simulator, name: str) -> list[bytes]:
    """What the server itself has under this file name, in any folder."""
    return [path.read_bytes() for path in Path(simulator.base_dir).rglob(name)]


async def test_a_picture_is_delivered_byte_for_byte(house: Gateway, simulator: Simulator) -> None:
    ann = await house.add_account("ann")
    asset = await ann.upload(picture((10, 20, 30)))
    job_id = await ann.submit(image_graph({"__type": "core/ASSET", "info": {"id": asset["id"]}}))
    job = await ann.end(job_id)
    assert job["status"] == "succeeded", job["error"]
    [output] = job["outputs"]
    content = await ann.content(output)
    assert Image.open(io.BytesIO(content)).getpixel((5, 5)) == (245, 235, 225)
    assert content in saved(simulator, output["name"])
    assert output["size_bytes"] == len(content)
    assert await ann.entries(job_id) == ["hold", "capture"]
    assert await ann.credits() == (99, 0)
    await house.audit()


async def test_a_video_goes_end_to_end(house: Gateway, simulator: Simulator) -> None:
    ann = await house.add_account("ann")
    await ann.upload(picture())
    job_id = await ann.submit(video_graph(frames=8))
    assert (await ann.call("GET", "/gate/v1/lanes"))["lanes"][1]["name"] == "video"
    job = await ann.end(job_id)
    assert job["status"] == "succeeded", job["error"]
    [output] = job["outputs"]
    assert (output["type"], output["content_type"]) == ("video", "video/mp4")
    content = await ann.content(output)
    assert content in saved(simulator, output["name"])
    with av.open(io.BytesIO(content), "r") as clip:
        assert len(list(clip.decode(video=0))) == 8
    assert await ann.credits() == (95, 0)
    await house.audit()


async def test_the_server_keeps_no_history_of_ours(house: Gateway, simulator: Simulator) -> None:
    ann = await house.add_account("ann")
    await ann.upload(picture())
    await ann.end(await ann.submit(image_graph()))
    [prompt_id] = simulator.executed
    forgotten = await simulator.requested("POST", "/history")
    assert forgotten.json == {"delete": [prompt_id]}
