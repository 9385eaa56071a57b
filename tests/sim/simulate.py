"""Run one plan in a world of its own, and report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from tests.sim.clock import Deadlock, VirtualLoop
from tests.sim.weather import Plan
from tests.sim.world import World


@dataclass(frozen=True, slots=True)
class Report:
    """How a run went. `failure` is None when every invariant held."""

    seed: int
    failure: str | None
    trace: tuple[str, ...]
    fingerprint: int
    states: dict[str, int]
    deaths: int
    seconds: float
    reruns: int


def simulate(plan: Plan, echo: Callable[[str], object] | None = None) -> Report:
    """Run one plan to its end."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        world = World(plan, loop, echo)
        loop.set_exception_handler(lambda _loop, told: world.fail(f"an error nobody fetched: {told}"))
        try:
            loop.run_until_complete(world.run())
        except Deadlock:
            world.fail("I3: nothing moves any more, and not everything has ended")
        return _report(world)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _report(world: World) -> Report:
    states: dict[str, int] = {}
    for job in world.auditor.jobs.values():
        states[job.state] = states.get(job.state, 0) + 1
    return Report(
        seed=world.plan.seed,
        failure=world.failure,
        trace=tuple(world.trace),
        fingerprint=world.fingerprint,
        states=states,
        deaths=sum(process.dead for process in world.processes),
        seconds=world.loop.time(),
        reruns=sum(job.attempt - 1 for job in world.auditor.jobs.values() if job.attempt > 1),
    )
