"""One gateway process and up to a thousand servers; then three replicas of it over one PostgreSQL.

Servers are light stand-ins whose jobs take a second and compute nothing; more work is queued than can be done
in the time. Screening is off: it has a measure of its own. Figures are of the seconds watched.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.engines import Engine
from benchmarks.figures import Figure, quantile
from benchmarks.prepared import fill, folders
from benchmarks.processes import Child, Gateway, child, running

REPLICAS = 3


@dataclass(frozen=True, slots=True)
class Size:
    """Servers; seconds watched; length of a job; servers of the replicas."""

    servers: tuple[int, ...] = (10, 100, 1_000)
    seconds: float = 10.0
    job_seconds: float = 1.0
    replicated_servers: int = 100
    jobs: int = 20_000


@dataclass(frozen=True, slots=True)
class Watched:
    """What the seconds came to; busy is the part of the servers' time in which they ran a job."""

    rate: float
    cpu_ms: float
    loop_ms: float
    store_ms: float
    rest_ms: float
    collector_ms: float
    gap_median_ms: float
    gap_p99_ms: float
    busy: float
    lag_p99_ms: float


async def measure_fleet(engine: Engine, size: Size | None = None) -> list[Figure]:
    """Each size on SQLite; replicas against one process on PostgreSQL."""
    size = size or Size()
    if engine.postgres is not None:
        one = await _watched(engine, size.replicated_servers, 1, size)
        three = await _watched(engine, size.replicated_servers, REPLICAS, size)
        what = f"{size.replicated_servers} servers"
        return [
            *_figures(f"{what}, 1 replica", engine.name, one, None, ""),
            *_figures(f"{what}, {REPLICAS} replicas", engine.name, three, one, "one replica"),
        ]
    figures: list[Figure] = []
    first: Watched | None = None
    for count in size.servers:
        found = await _watched(engine, count, 1, size)
        figures += _figures(f"{count:,} servers", engine.name, found, first, f"{size.servers[0]} servers")
        first = first or found
    return figures


def _figures(what: str, engine: str, found: Watched, first: Watched | None, control: str) -> list[Figure]:
    def figure(name: str, which: str, unit: str, *, higher: bool = False) -> Figure:
        value = getattr(found, which)
        base = getattr(first, which) if first is not None else 0.0
        return Figure(
            f"{what}: {name}", engine, value, unit, value / base if base else None,
            control if base else "", None, "higher" if higher else "lower",
        )  # fmt: skip

    found_all = [
        figure("rate", "rate", "jobs/s", higher=True),
        figure("busy", "busy", "of the servers' time", higher=True),
        figure("event-loop lag, p99", "lag_p99_ms", "ms"),
    ]
    if not found.rate:  # no job ended in the time: there is no gap and no cost a job to speak of
        return found_all
    return [
        *found_all,
        figure("gateway's CPU a job", "cpu_ms", "ms"),
        figure("CPU a job in the event loop's thread", "loop_ms", "ms"),
        figure("CPU a job in the store's threads", "store_ms", "ms"),
        figure("CPU a job in other threads", "rest_ms", "ms"),
        figure("CPU a job for collecting cycles, within the former", "collector_ms", "ms"),
        figure("gap, median", "gap_median_ms", "ms"),
        figure("gap, p99", "gap_p99_ms", "ms"),
    ]


async def _watched(engine: Engine, servers: int, replicas: int, size: Size) -> Watched:
    extra = {"screening": {"enabled": False}, "dispatch": {"stop_seconds": 0}}
    async with AsyncExitStack() as stack:
        light = await stack.enter_async_context(
            child("benchmarks.light_servers", str(servers), str(size.job_seconds))
        )
        bases = stack.enter_context(folders(engine, replicas, **extra))
        urls = {f"s{number}": f"{light.url}/s{number}" for number in range(servers)}
        await fill(bases[0], urls, size.jobs)
        gates = [await stack.enter_async_context(running(base)) for base in bases]
        await gates[0].servers_up(servers)
        await gates[0].operate("lanes.resume", lane="image")
        await light.ask(f"wait {min(servers, 20)}")
        return await _seconds(light, gates, servers, size)


async def _seconds(light: Child, gates: list[Gateway], servers: int, size: Size) -> Watched:
    await light.ask("reset")
    before = [await gate.look() for gate in gates]
    await asyncio.sleep(size.seconds)
    after = [await gate.look() for gate in gates]
    now = time.monotonic_ns()
    stamps = (await light.ask("stamps"))["stamps"]
    lags = [float(look["lag_p99"]) for look in after]
    used = {
        part: sum(a["cpu"][part] - b["cpu"][part] for a, b in zip(after, before, strict=True))
        for part in after[0]["cpu"]
    }
    gaps: list[float] = []
    last: dict[str, int] = {}
    done: dict[str, int] = defaultdict(int)
    for server, kind, _, at in stamps:
        if kind == "finished":
            last[server] = at
            done[server] += 1
        elif kind == "started" and server in last:
            gaps.append((at - last.pop(server)) / 1e6)
    # A server that still waits counts with what it has waited so far.
    gaps += [max(now - at, 0) / 1e6 for at in last.values()]
    jobs = sum(done.values())
    per_job = {part: seconds * 1000 / jobs if jobs else 0.0 for part, seconds in used.items()}
    return Watched(
        jobs / size.seconds,
        per_job["loop"] + per_job["store"] + per_job["rest"],
        per_job["loop"],
        per_job["store"],
        per_job["rest"],
        per_job["collector"],
        statistics.median(gaps) if gaps else 0.0,
        quantile(gaps, 0.99),
        jobs * size.job_seconds / (servers * size.seconds),
        max(lags) * 1000,
    )
