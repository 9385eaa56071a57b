"""Durable submissions a second over HTTP: checked, paid and queued in one committed transaction each.

Callers are in a process of their own, whose processor share is told: where it nears 100 % of a core the
figure is theirs, not the gateway's. The one server is busy all the while. The control is FastAPI that keeps
nothing.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from benchmarks.engines import Engine
from benchmarks.figures import Figure, quantile
from benchmarks.graphs import plain_graph
from benchmarks.processes import Child, child, gateway, simulator

BUSY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Size:
    """Clients, those who also upload, and seconds of each load."""

    clients: tuple[int, ...] = (1, 16, 128)
    uploaders: tuple[int, ...] = (1, 16)
    seconds: float = 3.0
    warm_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a load came to; latencies in seconds, processor time in seconds a second."""

    rate: float
    latencies: tuple[float, ...]
    callers_share: float
    server_share: float


async def measure_submit(engine: Engine, size: Size | None = None) -> list[Figure]:
    """For each number of clients, without and with an upload: rate, median, p99, who used the processor."""
    size = size or Size()
    figures: list[Figure] = []
    async with (
        child("benchmarks.load_process") as callers,
        child("benchmarks.bare_process") as bare,
        simulator(BUSY_SECONDS) as sim,
        gateway(engine, dispatch={"stop_seconds": 0}) as gate,
    ):
        await gate.add_server("one", sim.url)
        made = [await gate.caller(f"caller-{number}") for number in range(max(size.clients))]
        await made[0].submit(plain_graph())
        keys = [one.key for one in made]
        for inputs in (False, True):
            await _load(callers, gate.child, gate.child.url, keys[:1], size.warm_seconds, inputs=inputs)
            for clients in size.uploaders if inputs else size.clients:
                given = keys[:clients]
                plain = await _load(callers, bare, bare.url, given, size.warm_seconds, inputs=inputs)
                ours = await _load(callers, gate.child, gate.child.url, given, size.seconds, inputs=inputs)
                what = f"{clients} client{'s' * (clients > 1)}{', with an upload each' * inputs}"
                figures += _figures(what, engine.name, ours, plain)
    return figures


def _figures(what: str, engine: str, ours: Load, plain: Load) -> list[Figure]:
    control = "FastAPI that keeps nothing"
    found = [
        Figure(
            f"submit, {what}: rate",
            engine,
            ours.rate,
            "jobs/s",
            ours.rate / plain.rate,
            control,
            None,
            "higher",
        )
    ]
    for name, part in (("median", 0.5), ("p99", 0.99)):
        mine, other = (quantile(one.latencies, part) * 1000 for one in (ours, plain))
        found.append(
            Figure(f"submit, {what}: {name}", engine, mine, "ms", mine / other, control, None, "lower")
        )
    shares = f"of a core; the callers' process {ours.callers_share:.0%}"
    return [*found, Figure(f"submit, {what}: gateway's CPU", engine, ours.server_share, shares)]


async def _load(
    callers: Child, server: Child, url: str, keys: list[str], seconds: float, *, inputs: bool
) -> Load:
    order = {"do": "submits", "url": url, "keys": keys, "seconds": seconds, "inputs": inputs}
    before, began = (callers.cpu_seconds(), server.cpu_seconds()), time.monotonic()
    found = await callers.ask(json.dumps(order))
    took = time.monotonic() - began
    return Load(
        len(found["latencies"]) / found["seconds"],
        tuple(found["latencies"]),
        (callers.cpu_seconds() - before[0]) / took,
        (server.cpu_seconds() - before[1]) / took,
    )
