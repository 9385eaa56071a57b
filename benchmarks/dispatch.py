"""What a job waits for when nothing is in its way: the answer to its submission, and its prompt's arrival.

The control is the same prompt posted to the simulator directly, by the same client, in the same rounds.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from benchmarks.engines import Engine
from benchmarks.figures import Figure, quantile
from benchmarks.graphs import plain_graph
from benchmarks.processes import Child, gateway, simulator
from benchmarks.utilisation import send


@dataclass(frozen=True, slots=True)
class Size:
    """Jobs, one at a time."""

    jobs: int = 50


async def measure_dispatch(engine: Engine, size: Size | None = None) -> list[Figure]:
    """Milliseconds until the answer and until the server has the prompt, median and p99."""
    jobs = (size or Size()).jobs
    direct: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    async with simulator(0) as sim, gateway(engine) as gate:
        await gate.add_server("one", sim.url)
        caller = await gate.caller("bench")
        for number in range(jobs + 1):
            await sim.ask("reset")
            began = time.monotonic_ns()
            await send(caller.session, sim.url, plain_graph(), uuid.uuid4().hex)
            direct.append(await _waited(sim, began))
            await sim.ask("reset")
            began = time.monotonic_ns()
            await caller.submit(plain_graph())
            ours.append(await _waited(sim, began))
            await gate.idle()
            if number == 0:  # connections and caches are warm from here on
                direct.clear()
                ours.clear()
    figures = []
    for name, which in (("submit answered", 0), ("submit to prompt received", 1)):
        for shown, part in (("median", 0.5), ("p99", 0.99)):
            mine = quantile((one[which] for one in ours), part)
            other = quantile((one[which] for one in direct), part)
            control = f"POST /prompt to the simulator itself ({other:.1f} ms)"
            figures.append(
                Figure(f"{name}, {shown}", engine.name, mine, "ms", mine / other, control, better="lower")
            )
    return figures


async def _waited(sim: Child, began_ns: int) -> tuple[float, float]:
    """Milliseconds from then to now, and to the prompt's arrival; once it has run."""
    answered = time.monotonic_ns()
    await sim.ask("wait 1")
    stamps = (await sim.ask("stamps"))["stamps"]
    received = next(at for kind, _, at in stamps if kind == "received")
    return (answered - began_ns) / 1e6, (received - began_ns) / 1e6
