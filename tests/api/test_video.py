"""A clip shows what its graph makes of the picture that was uploaded."""

from io import BytesIO

import av

from tests.api.house import Gateway, png, reference, video_graph


async def test_a_video_from_upload_to_download(lite: Gateway) -> None:
    async with lite.client(await lite.add_account(credits=10)) as ann:
        photo = await ann.asset(png((250, 20, 30)))
        job = await ann.run(video_graph(reference(photo), frames=6))
        assert job["status"] == "succeeded", job["error"]
        (output,) = job["outputs"]
        assert (output["type"], output["content_type"], output["node_id"]) == ("video", "video/mp4", "5")
        with av.open(BytesIO(await ann.download(output)), "r") as clip:
            frames = [frame.to_image() for frame in clip.decode(video=0)]  # type: ignore[no-untyped-call]
        assert len(frames) == 6
        red, green, blue = frames[0].getpixel((8, 8))
        assert red < 30
        assert green > 200
        assert blue > 200
        assert await ann.balance() == (5, 0)
        assert await ann.entries() == [("grant", 10), ("hold", 5), ("capture", 5)]
