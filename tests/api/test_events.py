"""Event streams: what they tell first and last, keep-alive, their limit, and how they end."""

import asyncio
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from comfygate.api import events
from comfygate.api.server import end_streams
from comfygate.simulator import Simulator
from tests.api.house import (
    PATIENCE_SECONDS,
    Client,
    Gateway,
    image_graph,
    running_gateway,
    settings_for,
    sse,
    unpacked,
)
from tests.api.watching import watching


async def test_an_ended_job_says_what_it_made_and_that_it_ended(ann: Client) -> None:
    job = await ann.run(image_graph())
    told = [event async for event in ann.events(job["id"])]
    assert [name for name, _ in told] == ["output", "status"]
    assert told[0][1]["id"] == job["outputs"][0]["id"]
    assert told[1][1] == {"status": "succeeded", "queue_position": None}
    assert await ann.download(told[0][1]) == await ann.download(job["outputs"][0])


async def test_a_stream_needs_no_buffer_and_no_cache(ann: Client, sim: Simulator) -> None:
    sim.hold()
    job = await ann.submit(image_graph())
    async with ann.http.stream("GET", f"/api/v2/jobs/{job['id']}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert "content-length" not in answer.headers
        assert answer.headers["x-request-id"]
        name, body = await anext(sse(answer.aiter_lines()))
        assert name == "status"
        assert body["status"] in {"queued", "running"}


@pytest.fixture
async def slow_sim(tmp_path: Path) -> AsyncIterator[Simulator]:
    """A server that takes its time, and shows it."""
    async with Simulator(
        base_dir=tmp_path / "slow", node_seconds=0.6, node_steps=6, previews=True
    ) as running:
        yield running


async def test_progress_and_previews(tmp_path: Path, sqlite_url: str, slow_sim: Simulator) -> None:
    async with running_gateway(settings_for(tmp_path / "gate", sqlite_url)) as gateway:
        await gateway.add_server(slow_sim)
        async with gateway.client(await gateway.add_account()) as ann:
            job = await ann.submit(image_graph())
            async with watching(ann, job["id"]) as (watcher,):
                await watcher.until(lambda seen: {"progress", "preview"} <= {name for name, _ in seen.events})
                # Who comes late gets the present state at once.
                async with watching(ann, job["id"]) as (late,):
                    await late.until(lambda seen: {"progress", "preview"} <= {n for n, _ in seen.events[:3]})
                now = (await ann.job(job["id"]))["progress"]
                assert 0 < now["value"] <= 1
                await watcher.until(lambda seen: seen.ended)
            values = [body["value"] for name, body in watcher.events if name == "progress"]
            assert values == sorted(values)
            preview = next(body for name, body in watcher.events if name == "preview")
            assert preview["content_type"] == "image/jpeg"
            assert Image.open(BytesIO(unpacked(preview))).format == "JPEG"
            progress = [body for name, body in watcher.events if name == "progress"]
            assert all(body["nodes_total"] == 3 for body in progress)
            told = {body["message"] for body in progress} - {None}
            assert any("/" in message for message in told)
            assert (await ann.job(job["id"]))["progress"] is None


async def test_silence_is_broken_by_comments(
    ann: Client, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.05)
    sim.hold()
    job = await ann.submit(image_graph())
    await ann.until(job["id"], "running")
    async with watching(ann, job["id"]) as (watcher,):
        await watcher.until(lambda seen: sum(name == "comment" for name, _ in seen.events) >= 3)
        sim.release()
        await watcher.until(lambda seen: seen.ended)
        assert watcher.statuses[-1] == "succeeded"


@pytest.mark.parametrize("changes", [{"limits": {"streams_per_account_max": 2}}])
async def test_the_limit_counts_open_streams_of_one_account(
    ann: Client, ben: Client, lite: Gateway, sim: Simulator, changes: dict[str, Any]
) -> None:
    sim.hold()
    mine, theirs = await ann.submit(image_graph()), await ben.submit(image_graph())
    address = f"/api/v2/jobs/{mine['id']}/events"
    async with watching(ann, mine["id"], mine["id"]) as watchers:
        for watcher in watchers:
            await watcher.until(lambda seen: bool(seen.events))
        refused = await ann.http.get(address)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_streams")
        assert int(refused.headers["retry-after"]) > 0
        assert (await ann.http.get(mine["urls"]["self"])).status_code == 200
        async with watching(ben, theirs["id"]) as (other,):
            await other.until(lambda seen: bool(seen.events))
    # Clients that left have freed their places as soon as the server heard of it.
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async with ann.http.stream("GET", address) as answer:
                if answer.status_code == 200:
                    break
    sim.release()
    await ann.ended(mine["id"])
    async with asyncio.timeout(PATIENCE_SECONDS):
        while lite.ctx.live._streams:
            await ann.job(mine["id"])
    assert lite.ctx.live._watches == {}


async def test_streams_end_when_the_service_stops(ann: Client, lite: Gateway, sim: Simulator) -> None:
    sim.hold()
    job = await ann.submit(image_graph())
    async with watching(ann, job["id"]) as (watcher,):
        await watcher.until(lambda seen: "running" in seen.statuses)
        end_streams(lite.http._server.config.app)  # type: ignore[arg-type]
        await watcher.until(lambda seen: seen.ended)
    assert watcher.statuses[-1] == "running"
    sim.release()


async def test_head_of_a_stream_is_not_served(ann: Client) -> None:
    job = await ann.run(image_graph())
    answer: httpx.Response = await ann.http.head(f"/api/v2/jobs/{job['id']}/events")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, OPTIONS"
