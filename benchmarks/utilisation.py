"""How busy a server is kept: jobs a second and the gap between two jobs, by the server's own stamps.

The control is the server's own queue with all prompts sent in advance, in rounds that alternate with the
gateway's on the same simulator; and the way of a simple bot: send one, poll /history, send the next.
"""

from __future__ import annotations

import asyncio
import statistics
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp

from benchmarks.engines import Engine
from benchmarks.figures import Figure, compared, quantile
from benchmarks.graphs import NODES, picture, picture_graph, plain_graph
from benchmarks.processes import Caller, Child, Gateway, gateway, simulator


@dataclass(frozen=True, slots=True)
class Size:
    """Job lengths in seconds with the jobs of a round, rounds of each kind, jobs of the polling bot."""

    jobs: tuple[tuple[float, int], ...] = ((0.02, 30), (0.1, 12), (0.5, 4))
    rounds: int = 3
    polled_jobs: int = 4
    poll_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to; gaps in seconds, from a job's end to the next one's start on the server."""

    rate: float
    gaps: tuple[float, ...]
    requests: float

    @classmethod
    async def of(cls, sim: Child) -> Round:
        """From the simulator's stamps since its last reset."""
        found = await sim.ask("stamps")
        starts = [at for kind, _, at in found["stamps"] if kind == "started"]
        ends = [at for kind, _, at in found["stamps"] if kind == "finished"]
        gaps = tuple((start - end) / 1e9 for start, end in zip(starts[1:], ends, strict=False))
        return cls(len(ends) / ((ends[-1] - starts[0]) / 1e9), gaps, found["requests"] / len(ends))


async def measure_utilisation(engine: Engine, size: Size | None = None) -> list[Figure]:
    """For each job length, without and with an input: rate and gaps against the server's own queue."""
    size = size or Size()
    figures: list[Figure] = []
    # On PostgreSQL without inputs only: these cost the same there, and the bench has a quarter of an hour.
    kinds = (False, True) if engine.postgres is None else (False,)
    async with gateway(engine) as gate:
        caller = await gate.caller("bench")
        for seconds, jobs in size.jobs:
            async with simulator(seconds / NODES) as sim:
                name = f"s{seconds * 1000:.0f}"
                await gate.add_server(name, sim.url)
                await _through(gate, caller, sim, 2, inputs=True)
                for inputs in kinds:
                    own, ours = [], []
                    for _ in range(size.rounds):
                        own.append(await _own_queue(sim, jobs, inputs=inputs))
                        ours.append(await _through(gate, caller, sim, jobs, inputs=inputs))
                    what = f"jobs of {seconds * 1000:.0f} ms{', with an input' if inputs else ''}"
                    figures += _figures(what, engine.name, seconds, own, ours)
                if engine.postgres is None:
                    figures += await _one_ahead(gate, caller, sim, name, seconds, jobs)
                await gate.operate("servers.remove", name=name)
    if engine.postgres is None:
        figures += await _polled_all(size)
    return figures


async def _one_ahead(
    gate: Gateway, caller: Caller, sim: Child, name: str, seconds: float, jobs: int
) -> list[Figure]:
    """The same server with `ahead = 1`: in one pair of rounds, rate and gaps."""
    await gate.add_server(name, sim.url, ahead=1)
    await _through(gate, caller, sim, 2, inputs=False)
    own = [await _own_queue(sim, jobs, inputs=False)]
    ours = [await _through(gate, caller, sim, jobs, inputs=False)]
    return _figures(f"jobs of {seconds * 1000:.0f} ms, one ahead", "sqlite", seconds, own, ours)[:-1]


def _figures(what: str, engine: str, seconds: float, own: list[Round], ours: list[Round]) -> list[Figure]:
    control = "the server's own queue"
    pairs = list(zip(ours, own, strict=True))
    rates = [(mine.rate, theirs.rate) for mine, theirs in pairs]
    figures = [compared(f"{what}: rate", engine, "jobs/s", "higher", rates, control)]
    for name, part in (("median", 0.5), ("p99", 0.99)):
        theirs_ms = statistics.median(quantile(one.gaps, part) for one in own) * 1000
        gaps = [(quantile(one.gaps, part) * 1000, seconds * 1000) for one in ours]
        against = f"the job's length; the server's own queue: {theirs_ms:.2f} ms"
        figures.append(compared(f"{what}: gap, {name}", engine, "ms", "lower", gaps, against))
    own_p99_ms = statistics.median(quantile(one.gaps, 0.99) for one in own) * 1000
    figures.append(Figure(f"{what}: own gap, p99", engine, own_p99_ms, "ms", control=control))
    asked = [(mine.requests, theirs.requests) for mine, theirs in pairs]
    return [*figures, compared(f"{what}: requests to the server", engine, "a job", "lower", asked, control)]


async def _through(gate: Gateway, caller: Caller, sim: Child, jobs: int, *, inputs: bool) -> Round:
    """Queued while the lane is paused, so that nothing is submitted while the server works."""
    await gate.operate("lanes.pause", lane="image")
    await sim.ask("reset")
    for _ in range(jobs):
        graph = plain_graph()
        if inputs:
            name = f"{uuid.uuid4().hex}.png"
            await caller.upload(picture(), name)
            graph = picture_graph(name)
        await caller.submit(graph)
    await gate.operate("lanes.resume", lane="image")
    await sim.ask(f"wait {jobs}")
    found = await Round.of(sim)
    await gate.idle()
    return found


async def _own_queue(sim: Child, jobs: int, *, inputs: bool) -> Round:
    """Every prompt sent in advance by a client that then listens on its WebSocket."""
    client_id = uuid.uuid4().hex
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{sim.url}/ws?clientId={client_id}") as socket,
    ):
        graphs = [
            picture_graph(await put(session, sim.url, picture())) if inputs else plain_graph()
            for _ in range(jobs)
        ]
        await sim.ask("reset")
        for graph in graphs:
            await send(session, sim.url, graph, client_id)
        ended = 0
        while ended < jobs:
            frame = await socket.receive_json()
            ended += frame["type"] == "executing" and frame["data"]["node"] is None
    return await Round.of(sim)


async def put(session: aiohttp.ClientSession, url: str, content: bytes) -> str:
    """Upload a picture to a ComfyUI; the name that a graph must say."""
    form = aiohttp.FormData()
    form.add_field("image", content, filename=f"{uuid.uuid4().hex}.png", content_type="image/png")
    async with session.post(f"{url}/upload/image", data=form) as answer:
        answer.raise_for_status()
        return str((await answer.json())["name"])


async def send(session: aiohttp.ClientSession, url: str, graph: dict[str, Any], client_id: str) -> str:
    """Send a prompt to a ComfyUI; its id."""
    body = {"prompt": graph, "client_id": client_id}
    async with session.post(f"{url}/prompt", json=body) as answer:
        answer.raise_for_status()
        return str((await answer.json())["prompt_id"])


async def _polled_all(size: Size) -> list[Figure]:
    """The polling bot on idle servers, all job lengths at once: it waits nearly all of the time."""
    async with AsyncExitStack() as stack:
        sims = [await stack.enter_async_context(simulator(seconds / NODES)) for seconds, _ in size.jobs]
        found = await asyncio.gather(*(_polled(sim, size) for sim in sims))
    return [
        Figure(
            f"jobs of {seconds * 1000:.0f} ms, polled every {size.poll_seconds:g} s: {name}",
            "-", value, unit, control="one sent, polled until it ended, then the next",
        )
        for (seconds, _), one in zip(size.jobs, found, strict=True)
        for name, value, unit in (
            ("rate", one.rate, "jobs/s"),
            ("gap, median", statistics.median(one.gaps) * 1000, "ms"),
        )
    ]  # fmt: skip


async def _polled(sim: Child, size: Size) -> Round:
    async with aiohttp.ClientSession() as session:
        for _ in range(size.polled_jobs):
            prompt_id = await send(session, sim.url, plain_graph(), uuid.uuid4().hex)
            ended = False
            while not ended:
                await asyncio.sleep(size.poll_seconds)
                async with session.get(f"{sim.url}/history/{prompt_id}") as answer:
                    ended = prompt_id in await answer.json()
    return await Round.of(sim)
