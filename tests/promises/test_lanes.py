"""Lanes do not wait for each other."""

from __future__ import annotations

from pathlib import Path

from comfygate.simulator import Simulator
from tests.promises.rig import gateway, picture, plain_graph, settings_for, video_graph


async def test_images_go_on_while_the_video_server_hangs(tmp_path: Path, database_url: str) -> None:
    async with (
        Simulator(base_dir=tmp_path / "images") as images,
        Simulator(base_dir=tmp_path / "videos") as videos,
        gateway(settings_for(tmp_path / "gate", database_url)) as house,
    ):
        await house.add_server("images", images.url, "image")
        await house.add_server("videos", videos.url, "video")
        ann = await house.add_account("ann")
        await ann.upload(picture())
        videos.hang("CreateVideo")
        stuck = await ann.submit(video_graph())
        await ann.until(stuck, "running")
        waiting = await ann.submit(video_graph())
        for _ in range(5):
            assert (await ann.end(await ann.submit(plain_graph())))["status"] == "succeeded"
        assert (await ann.job(stuck))["status"] == "running"
        assert (await ann.job(waiting))["queue_position"] == 1
        videos.release()
        assert (await ann.end(stuck))["status"] == "succeeded"
        assert (await ann.end(waiting))["status"] == "succeeded"
        await house.audit()


async def test_a_server_that_is_gone_does_not_burn_through_the_queue(tmp_path: Path) -> None:
    async with gateway(settings_for(tmp_path / "gate")) as house:
        async with Simulator(base_dir=tmp_path / "c") as simulator:
            await house.add_server("one", simulator.url, "image")
        await house.until_server("one", "down")
        ann = await house.add_account("ann")
        jobs = [await ann.submit(plain_graph()) for _ in range(5)]
        assert {(await ann.job(job_id))["status"] for job_id in jobs} == {"queued"}
        async with Simulator(base_dir=tmp_path / "d", port=simulator.port):
            ends = [await ann.end(job_id) for job_id in jobs]
        assert {job["status"] for job in ends} == {"succeeded"}
        await house.audit()
