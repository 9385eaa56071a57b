"""A video from end to end, and delivery byte for byte."""

from io import BytesIO
from pathlib import Path

import av
from PIL import Image

from comfygate.simulator import Simulator
from tests.api.house import Gateway, hash_of, image_graph, png, reference, video_graph


async def test_a_video_from_upload_to_download(gateway: Gateway) -> None:
    async with gateway.client(await gateway.add_account(credits=10)) as ann:
        photo = await ann.asset(png((250, 20, 30)))
        job = await ann.run(video_graph(reference(photo), frames=6))
        assert job["status"] == "succeeded", job["error"]
        (output,) = job["outputs"]
        assert (output["type"], output["content_type"], output["node_id"]) == ("video", "video/mp4", "5")
        with av.open(BytesIO(await ann.download(output))) as clip:
            frames = [frame.to_image() for frame in clip.decode(video=0)]
        assert len(frames) == 6
        red, green, blue = frames[0].getpixel((8, 8))
        assert red < 30
        assert green > 200
        assert blue > 200
        assert await ann.balance() == (5, 0)
        assert await ann.entries() == [("grant", 10), ("hold", 5), ("capture", 5)]


async def test_delivered_bytes_are_the_servers_bytes(gateway: Gateway, sim: Simulator) -> None:
    async with gateway.client(await gateway.add_account()) as ann:
        job = await ann.run(image_graph(size=64))
        (output,) = job["outputs"]
        delivered = await ann.download(output)
        (made,) = [path for path in (sim.base_dir / "output").rglob("*.png") if path.is_file()]
        assert delivered == made.read_bytes()
        assert output["hash"] == hash_of(delivered)
        assert output["size_bytes"] == len(delivered)
        assert output["name"] == made.name
        assert Image.open(BytesIO(delivered)).size == (64, 64)
        assert Path(gateway.settings.results_path).is_dir()
