"""Stopping with a job running: it is watched to its end, or left and taken up by the next start; never run twice."""

import asyncio
from pathlib import Path
from typing import Any

from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, image_graph, running_gateway, settings_for
from tests.api.watching import watching

PAID = [("grant", 100), ("hold", 1), ("capture", 1)]


async def test_a_running_job_is_watched_to_its_end(gateway: Gateway, sim: Simulator) -> None:
    async with gateway.client(await gateway.add_account()) as ann:
        sim.hold()
        running = await ann.submit(image_graph())
        await ann.until(running["id"], "running")
        draining = asyncio.create_task(gateway.service.drain(asyncio.Event()))
        waiting = await ann.submit(image_graph())
        async with watching(ann, running["id"]) as (watcher,):
            sim.release()
            assert await draining is True
            await watcher.until(lambda seen: seen.ended)
            assert watcher.statuses[-1] == "succeeded"
        assert (await ann.job(waiting["id"]))["status"] == "queued"
        assert len(sim.executed) == 1
        assert (await ann.entries())[:2] == PAID[:2]


async def _begun(gateway: Gateway, sim: Simulator) -> dict[str, Any]:
    """A job that runs, and a second one behind it."""
    async with gateway.client(await gateway.add_account()) as ann:
        sim.hold()
        job = await ann.submit(image_graph())
        await ann.until(job["id"], "running")
        return job


async def test_a_job_over_the_limit_is_left_and_taken_up_by_the_next_start(
    tmp_path: Path, database_url: str, sim: Simulator
) -> None:
    settings = settings_for(
        tmp_path / "gate", database_url, dispatch={"stop_seconds": 0.1, "lease_seconds": 1}
    )
    async with running_gateway(settings) as first:
        await first.add_server(sim)
        job = await _begun(first, sim)
        assert await first.service.drain(asyncio.Event()) is False
        key = first.keys["ann"]
    sim.release()
    async with running_gateway(settings) as second, second.client(key) as ann:
        await _ends_once(ann, job["id"], sim)


async def test_a_second_signal_stops_at_once(tmp_path: Path, sqlite_url: str, sim: Simulator) -> None:
    settings = settings_for(tmp_path / "gate", sqlite_url, dispatch={"stop_seconds": 3600})
    async with running_gateway(settings) as first:
        await first.add_server(sim)
        job = await _begun(first, sim)
        hurry = asyncio.Event()
        hurry.set()
        assert await first.service.drain(hurry) is False
        key = first.keys["ann"]
    async with running_gateway(settings) as second, second.client(key) as ann:
        # The server still works on it: it is adopted where it stands.
        async with watching(ann, job["id"]) as (watcher,):
            await watcher.until(lambda seen: "running" in seen.statuses)
            sim.release()
            await watcher.until(lambda seen: seen.ended)
        await _ends_once(ann, job["id"], sim)


async def _ends_once(ann: Client, job_id: str, sim: Simulator) -> None:
    ended = await ann.ended(job_id)
    assert ended["status"] == "succeeded"
    assert len(await ann.download(ended["outputs"][0])) > 0
    assert len(sim.executed) == 1
    assert await ann.entries() == PAID
    assert await ann.balance() == (99, 0)
