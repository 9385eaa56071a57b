"""A stop in a hurry: the running job is left where it is, found there by the next start, and paid once."""

import asyncio
from pathlib import Path
from typing import Any

from comfygate.simulator import Simulator
from tests.api.house import Client, Gateway, image_graph, running_gateway, settings_for
from tests.api.watching import watching

PAID = [("grant", 100), ("hold", 1), ("capture", 1)]


async def _begun(gateway: Gateway, sim: Simulator) -> dict[str, Any]:
    """A job that runs, and a second one behind it."""
    async with gateway.client(await gateway.add_account()) as ann:
        sim.hold()
        job = await ann.submit(image_graph())
        await ann.until(job["id"], "running")
        return job


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
