"""Image and video lanes do not wait for each other."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfygate.simulator import Simulator
from tests.api.house import Gateway, image_graph, png, reference, running_gateway, settings_for, video_graph


@pytest.fixture
async def video_sim(tmp_path: Path) -> AsyncIterator[Simulator]:
    """A second server."""
    async with Simulator(base_dir=tmp_path / "video") as running:
        yield running


async def test_a_hanging_video_server_delays_no_image(
    tmp_path: Path, database_url: str, sim: Simulator, video_sim: Simulator
) -> None:
    async with running_gateway(settings_for(tmp_path / "gate", database_url)) as gateway:
        await gateway.add_server(sim, name="images", lanes=("image",))
        await gateway.add_server(video_sim, name="videos", lanes=("video",))
        video_sim.hang("CreateVideo")
        async with gateway.client(await gateway.add_account()) as ann:
            photo = reference(await ann.asset(png()))
            stuck = await ann.submit(video_graph(photo))
            await ann.until(stuck["id"], "running")
            behind = await ann.submit(video_graph(photo))
            for _ in range(5):
                assert (await ann.run(image_graph()))["status"] == "succeeded"
            assert (await ann.job(stuck["id"]))["status"] == "running"
            assert (await ann.job(behind["id"]))["queue_position"] == 1
            lanes = {lane["name"]: lane for lane in (await ann.http.get("/gate/v1/lanes")).json()["lanes"]}
            assert (lanes["image"]["depth"], lanes["video"]["depth"]) == (0, 1)
            assert lanes["video"]["positions"] == {behind["id"]: 1}
            video_sim.release()
            for job in (stuck, behind):
                assert (await ann.ended(job["id"]))["status"] == "succeeded"
            assert len(sim.executed) == 5
            assert len(video_sim.executed) == 2


async def test_a_lane_may_be_chosen_by_the_caller(lite: Gateway) -> None:
    async with lite.client(await lite.add_account(credits=10)) as ann:
        job = await ann.run(image_graph(), params={"lane": "video"})
        assert job["status"] == "succeeded"
        assert await ann.balance() == (5, 0)
        refused = await ann.http.post(
            "/api/v2/jobs", params={"lane": "audio"}, json={"workflow": image_graph()}
        )
        assert refused.status_code == 422
        assert refused.json()["error"]["details"] == {"field": "lane"}
        assert "image, video" in refused.json()["error"]["message"]
