"""Thousands of event streams while jobs run: how late an end is heard, what a stream costs, what is missed.

Streams are held by a process of its own. The control is one stream a job. Light servers, screening off.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from benchmarks.engines import Engine
from benchmarks.figures import Figure, quantile
from benchmarks.processes import Caller, Child, Gateway, child, gateway

FOLLOW_SECONDS_MAX = 180.0


@dataclass(frozen=True, slots=True)
class Size:
    """Streams, the first number being the control; jobs they follow; servers; length of a job."""

    clients: tuple[int, ...] = (20, 1_000, 5_000)
    jobs: int = 20
    servers: int = 4
    job_seconds: float = 0.2


async def measure_followers(engine: Engine, size: Size | None = None) -> list[Figure]:
    """On SQLite only: what is shared out is one process's memory, not the database."""
    if engine.postgres is not None:
        return []
    size = size or Size()
    figures: list[Figure] = []
    first: tuple[float, float] | None = None
    async with (
        child("benchmarks.light_servers", str(size.servers), str(size.job_seconds)) as light,
        child("benchmarks.load_process") as callers,
        gateway(engine, screening={"enabled": False}, dispatch={"stop_seconds": 0}) as gate,
    ):
        for number in range(size.servers):
            await gate.add_server(f"s{number}", f"{light.url}/s{number}")
        caller = await gate.caller("bench")
        for clients in size.clients:
            before = gate.child.memory_mb()
            median, p99, missed, held = await _followed(gate, caller, light, callers, clients, size)
            what, control = f"{clients:,} streams", f"{size.clients[0]} streams"
            for name, value, base in (
                ("median", median, first and first[0]),
                ("p99", p99, first and first[1]),
            ):
                ratio = value / base if base else None
                shown = control if base else "from the server's end of the job to the last event heard"
                figures.append(
                    Figure(
                        f"{what}: end heard after, {name}", "sqlite", value, "ms", ratio, shown, None, "lower"
                    )
                )
            figures.append(Figure(f"{what}: ends missed", "sqlite", missed, "streams"))
            if clients != size.clients[0]:
                kb = (held - before) * 1000 / clients
                figures.append(Figure(f"{what}: gateway's memory a stream", "sqlite", kb, "kB"))
            first = first or (median, p99)
    return figures


async def _followed(
    gate: Gateway, caller: Caller, light: Child, callers: Child, clients: int, size: Size
) -> tuple[float, float, int, float]:
    """Median and p99 in ms, streams that heard no end, and the gateway's memory with all streams open."""
    await gate.operate("lanes.pause", lane="image")
    order = {"url": gate.child.url, "keys": [caller.key]}
    jobs = (
        await callers.ask(json.dumps({**order, "do": "submit_many", "count": size.jobs, "lane": "image"}))
    )["ids"]
    await callers.ask(json.dumps({**order, "do": "follow", "jobs": jobs, "clients": clients}))
    held = gate.child.memory_mb()
    await light.ask("reset")
    await gate.operate("lanes.resume", lane="image")
    heard = await callers.ask(json.dumps({"do": "followed", "seconds": FOLLOW_SECONDS_MAX}))
    stamps = (await light.ask("stamps"))["stamps"]
    await gate.idle()
    ended = {prompt_id: at for _, kind, prompt_id, at in stamps if kind == "finished"}
    of_job = {job: await _prompt_of(gate, job) for job in jobs}
    late = [(at - ended[of_job[job]]) / 1e6 for job, status, at in heard["heard"] if status == "succeeded"]
    return quantile(late, 0.5), quantile(late, 0.99), int(heard["missed"]), held


async def _prompt_of(gate: Gateway, job_id: str) -> str:
    shown = await gate.operate("jobs.show", job=job_id)
    return str(shown["attempts"][-1]["prompt_id"])
