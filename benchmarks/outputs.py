"""Collecting results of 1, 10 and 200 MB: speed, memory, and what another lane's server feels of it.

The control of the speed is the same file read over HTTP and written to the same disk without a gateway; of
the other lane's gaps, the same lane alone. Light servers make the files; nothing in them can be screened.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engines import Engine
from benchmarks.figures import Figure, quantile
from benchmarks.graphs import Json, plain_graph
from benchmarks.processes import Caller, Child, Gateway, child, gateway

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Size:
    """Megabytes of a result and how many of them; length of the other lane's jobs."""

    files: tuple[tuple[int, int], ...] = ((1, 20), (10, 6), (200, 2))
    other_seconds: float = 0.1
    other_jobs: int = 40


async def measure_outputs(engine: Engine, size: Size | None = None) -> list[Figure]:
    """On SQLite only: the bytes do not go through the database."""
    if engine.postgres is not None:
        return []
    size = size or Size()
    figures: list[Figure] = []
    async with (
        child("benchmarks.light_servers", "1", "0.001") as maker,
        child("benchmarks.light_servers", "1", str(size.other_seconds)) as other,
        gateway(engine, screening={"enabled": False}, dispatch={"stop_seconds": 0}) as gate,
    ):
        await gate.add_server("maker", f"{maker.url}/s0", "video")
        await gate.add_server("other", f"{other.url}/s0", "image")
        caller = await gate.caller("bench")
        await _queue_others(gate, caller, size.other_jobs)
        await gate.idle()
        alone = await _gaps(other)
        for number in range(len(size.files)):
            figures += await _collected(gate, caller, (maker, other), size, number, alone)
    return figures


async def _collected(
    gate: Gateway, caller: Caller, servers: tuple[Child, Child], size: Size, number: int, alone: list[float]
) -> list[Figure]:
    (megabytes, count), (maker, other) = size.files[number], servers
    direct = await _direct(gate, maker, megabytes)
    memory = gate.child.memory_mb()
    await other.ask("reset")
    await maker.ask("reset")
    await _queue_others(gate, caller, size.other_jobs)
    began = time.monotonic()
    jobs = [await caller.submit(_file_graph(megabytes), lane="video") for _ in range(count)]
    for job_id in jobs:
        await _ended(caller, job_id)
    seconds = time.monotonic() - began
    gaps = await _gaps(other)
    peak = gate.child.memory_peak_mb()
    await gate.operate("lanes.pause", lane="image")
    for job in (await gate.operate("jobs.list", status=["queued"], limit=100))["jobs"]:
        await gate.operate("jobs.cancel", job=job["id"])
    await gate.operate("lanes.resume", lane="image")
    await gate.idle()
    speed = megabytes * count / seconds
    name = f"results of {megabytes} MB"
    mine, theirs = quantile(gaps, 0.5) * 1000, statistics.median(alone) * 1000
    copying = f"reading and writing it without a gateway ({direct:.0f} MB/s)"
    return [
        Figure(f"{name}: collected", "sqlite", speed, "MB/s", speed / direct, copying, None, "higher"),
        Figure(f"{name}: memory above before, peak", "sqlite", max(peak - memory, 0.0), "MB"),
        Figure(
            f"{name}: other lane's gap, median", "sqlite", mine, "ms", mine / theirs,
            f"that lane alone ({theirs:.0f} ms)", None, "lower",
        ),
    ]  # fmt: skip


def _file_graph(megabytes: int) -> Json:
    graph = plain_graph()
    graph["1"]["inputs"]["color"] = megabytes * 1000
    return graph


async def _queue_others(gate: Gateway, caller: Caller, count: int) -> None:
    graph = plain_graph()
    graph["1"]["inputs"]["color"] = 0
    await gate.operate("lanes.pause", lane="image")
    for _ in range(count):
        await caller.submit(graph, lane="image")
    await gate.operate("lanes.resume", lane="image")


async def _ended(caller: Caller, job_id: str) -> None:
    headers = {"Authorization": f"Bearer {caller.key}"}
    url = f"{caller.url}/api/v2/jobs/{job_id}/events"
    async with caller.session.get(url, headers=headers) as answer:
        async for _line in answer.content:
            continue
    found = await caller.call("GET", f"/api/v2/jobs/{job_id}")
    if found["status"] != "succeeded":
        raise RuntimeError(f"a job of the benchmark is {found['status']}: {found['error']}")


async def _gaps(light: Child) -> list[float]:
    """Seconds between an end and the next start, since the last reset; at least one."""
    stamps = (await light.ask("stamps"))["stamps"]
    starts = [at for _, kind, _, at in stamps if kind == "started"]
    ends = [at for _, kind, _, at in stamps if kind == "finished"]
    return [(start - end) / 1e9 for start, end in zip(starts[1:], ends, strict=False)] or [0.0]


async def _direct(gate: Gateway, maker: Child, megabytes: int) -> float:
    """MB a second of a plain copy of the same file to the same disk."""
    target = Path(gate.base) / "copy.bin"
    began = time.monotonic()
    async with gate.session.get(
        f"{maker.url}/s0/view", params={"filename": f"{megabytes * 1000}-direct.bin"}
    ) as answer:
        with target.open("wb") as file:
            async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                file.write(chunk)
    seconds = time.monotonic() - began
    target.unlink()
    return megabytes / seconds
