"""How long until a gateway is ready, and until a killed one's jobs are all settled by its successor.

The control of the start is FastAPI and uvicorn alone; of the take-over, the start. On SQLite the successor is
the same gateway started again; on PostgreSQL another replica that was running all the while.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.engines import Engine
from benchmarks.figures import Figure
from benchmarks.prepared import fill, folders
from benchmarks.processes import child, running


@dataclass(frozen=True, slots=True)
class Size:
    """Starts, each after a control; jobs in flight at the kill (0: no kill) and their length; whether to run
    the demo."""

    starts: int = 2
    jobs: int = 100
    job_seconds: float = 5.0
    demo: bool = True


async def measure_start(engine: Engine, size: Size | None = None) -> list[Figure]:
    """Seconds."""
    size = size or Size()
    ours, bare = [], []
    with folders(engine) as (base,):
        await fill(base, {}, 1)  # the schema is there, as at every start but the first
        for _ in range(size.starts):
            began = time.monotonic()
            async with child("benchmarks.bare_process"):
                bare.append(time.monotonic() - began)
            began = time.monotonic()
            async with running(base):
                ours.append(time.monotonic() - began)
    mine, other = statistics.median(ours), statistics.median(bare)
    ready = Figure(
        "start to ready",
        engine.name,
        mine,
        "s",
        mine / other,
        f"FastAPI alone ({other:.1f} s)",
        None,
        "lower",
    )
    found = [ready]
    if size.jobs:
        found.append(await _take_over(engine, size, mine))
    if size.demo and engine.postgres is None:
        found.append(await _demo(mine))
    return found


async def _demo(start_seconds: float) -> Figure:
    """What `make demo` runs once all is installed: a picture and a clip, on a base directory of its own."""
    began = time.monotonic()
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "comfygate", "demo", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    said = (await demo.communicate())[1]
    if demo.returncode:
        raise RuntimeError(f"comfygate demo ended with {demo.returncode}: {said.decode()[-500:]}")
    took = time.monotonic() - began
    control = f"a start ({start_seconds:.1f} s); what it installs is not in it"
    return Figure("make demo", "sqlite", took, "s", took / start_seconds, control, None, "lower")


async def _take_over(engine: Engine, size: Size, start_seconds: float) -> Figure:
    """From the kill until all jobs that were in flight are settled."""
    replicas = 1 if engine.postgres is None else 2
    extra = {"screening": {"enabled": False}, "dispatch": {"stop_seconds": 0}}
    async with AsyncExitStack() as stack:
        light = await stack.enter_async_context(
            child("benchmarks.light_servers", str(size.jobs), str(size.job_seconds))
        )
        bases = stack.enter_context(folders(engine, replicas, **extra))
        urls = {f"s{number}": f"{light.url}/s{number}" for number in range(size.jobs)}
        await fill(bases[0], urls, size.jobs)
        doomed = await stack.enter_async_context(running(bases[0]))
        await doomed.servers_up(size.jobs)
        heirs = [await stack.enter_async_context(running(base)) for base in bases[1:]]
        await doomed.operate("lanes.resume", lane="image")
        await light.ask(f"begun {size.jobs}")
        began = time.monotonic()
        doomed.child.process.kill()
        await doomed.child.process.wait()
        heir = heirs[0] if heirs else await stack.enter_async_context(running(bases[0]))
        await heir.idle(120.0)
        seconds = time.monotonic() - began
        ran = (await light.ask("stamps"))["stamps"]
    again = sum(kind == "started" for _, kind, _, _ in ran) - size.jobs
    how = "the same gateway again" if replicas == 1 else "another replica, after a lease of 10 s"
    control = f"a start; by {how}; {again} of {size.jobs} ran twice; the jobs took {size.job_seconds:g} s"
    name = f"kill with {size.jobs} jobs in flight to all settled"
    return Figure(name, engine.name, seconds, "s", seconds / start_seconds, control, None, "lower")
