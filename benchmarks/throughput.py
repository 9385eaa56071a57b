"""Jobs a second through the gateway, against the simulator's own queue on the same jobs, in one run."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import aiohttp

from benchmarks.engines import Engine, simulator
from comfygate.app import started
from comfygate.gate import accounts, operate
from comfygate.gate.embedded import Gate, Job

JOBS = 60
NODE_SECONDS = (0.0, 0.01, 0.05)
"""Time each of the two nodes takes; the jobs take about 2, 20 and 100 ms."""


def graph(prefix: str) -> dict[str, Any]:
    """A small picture, saved under a prefix of its own so that no job is answered from a cache."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SaveImage", "inputs": {"filename_prefix": prefix, "images": ["1", 0]}},
    }


async def measure_throughput(engine: Engine) -> list[tuple[str, str, str, str]]:
    """One row a job length."""
    rows = []
    for node_seconds in NODE_SECONDS:
        async with simulator(node_seconds) as url:
            own = await _own_queue(url)
            ours = await _through_gateway(engine, url)
        rows.append(
            (
                f"throughput, nodes of {node_seconds * 1000:.0f} ms",
                engine.name,
                f"{ours:.1f} jobs/s",
                f"{ours / own:.2f} of the simulator's own queue ({own:.1f} jobs/s)",
            )
        )
    return rows


async def _own_queue(url: str) -> float:
    """All prompts sent in advance; from the first POST to the end of the last."""
    client_id = uuid.uuid4().hex
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/ws?clientId={client_id}") as socket,
    ):
        began = time.monotonic()
        for number in range(JOBS):
            body = {
                "prompt": graph(f"own/{client_id}-{number}"),
                "client_id": client_id,
                "prompt_id": str(uuid.uuid4()),
            }
            async with session.post(f"{url}/prompt", json=body) as answer:
                answer.raise_for_status()
        ended = 0
        while ended < JOBS:
            frame = await socket.receive_json()
            ended += frame["type"] == "executing" and frame["data"]["node"] is None
        return JOBS / (time.monotonic() - began)


async def _through_gateway(engine: Engine, url: str) -> float:
    """Submitted in advance too; from the first submission to the last job settled and told."""
    with engine.settings() as settings:
        async with started(settings) as service:
            gate = Gate(service)
            await accounts.add_account(service.ctx, "bench", credits=10 * JOBS)
            await operate.servers_add(service.ctx, "one", url, ["image"])
            warm = await gate.submit(graph("warm"), account="bench")
            await warm.wait()
            began = time.monotonic()
            jobs: list[Job] = [await gate.submit(graph("x"), account="bench") for _ in range(JOBS)]
            ends = await asyncio.gather(*(job.wait() for job in jobs))
            seconds = time.monotonic() - began
    failed = [view.job.error for view in ends if view.status != "succeeded"]
    if failed:
        raise RuntimeError(f"{len(failed)} of {JOBS} jobs did not succeed, the first with {failed[0]}")
    return JOBS / seconds
