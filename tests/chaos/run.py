"""One run of chaos, from an empty folder to the audit."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.chaos.audit import Given, Verdict, audit
from tests.chaos.callers import ANSWER_SECONDS_MAX, CallerAtWork, Gateways, Notes
from tests.chaos.evidence import keep_rows, read_evidence, unfinished
from tests.chaos.plan import SERVERS, Kill, Plan
from tests.chaos.processes import Launch, environment, fresh, pause, until
from tests.chaos.stranger import Stranger
from tests.chaos.world import World, running_world

GAP_SECONDS: Final = 0.8
"""Between two kills, at least."""
UP_SECONDS_MAX: Final = 15.0
SETTLE_SECONDS_MAX: Final = 180.0
"""After the last kill: until every accepted job has ended."""
NARRATE_SECONDS: Final = 30.0

Say = Callable[[str], None]


@dataclass(slots=True)
class Progress:
    """How many jobs were accepted and kills made so far; others wait for more jobs."""

    accepted: int = 0
    kills: int = 0
    submitted_all: bool = False
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    def one_more(self) -> None:
        """A job was accepted."""
        self.accepted += 1
        self.wake()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        self._grown.set()
        self._grown = asyncio.Event()

    async def reached(self, jobs: int) -> None:
        """Wait until so many were accepted, or all that there will be."""
        while self.accepted < jobs and not self.submitted_all:
            await self._grown.wait()


def chaos(plan: Plan, *, seconds_max: float, say: Say, launch: Launch = fresh) -> Verdict:
    """Run it, print what it found, and keep the folder only when a promise was broken."""
    folder = Path(tempfile.mkdtemp(prefix=f"comfygate-chaos-{plan.engine}-"))
    begun = time.monotonic()
    replicas = 1 if plan.engine == "sqlite" else plan.replicas
    say(
        f"chaos: {plan.engine}, {replicas} gateway{'s' * (replicas > 1)}, {len(SERVERS)} simulators, "
        f"{plan.jobs} jobs, {len(plan.kills)} kills, seed {plan.seed}"
    )
    keep = True
    try:
        verdict = asyncio.run(_run(plan, folder, seconds_max, say, launch))
        keep = bool(verdict.broken)
        say(verdict.text())
    except KeyboardInterrupt:
        keep = False
        raise
    finally:
        took = f"took {time.monotonic() - begun:.0f} s"
        if keep:
            say(f"chaos: {took}; what it left is in {folder}; again with SEED={plan.seed}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
            say(f"chaos: {took}")
    if not verdict.broken:
        say("chaos: every promise was kept")
    return verdict


async def _run(plan: Plan, folder: Path, seconds_max: float, say: Say, launch: Launch) -> Verdict:
    notes, progress = Notes(), Progress()
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS_MAX)
    async with aiohttp.ClientSession(timeout=timeout) as http, running_world(plan, folder, launch) as world:
        stranger = Stranger(http, world.simulator_urls)
        gateways = Gateways(world.gateways, http, world.over, notes)
        keys = await _prepare(plan, gateways, world)
        narrator = asyncio.create_task(_narrate(plan, world, progress, say))
        begun = time.monotonic()
        try:
            async with asyncio.timeout(seconds_max):
                await _mischief(plan, world, gateways, keys, stranger, progress)
        finally:
            narrator.cancel()
        took = time.monotonic() - begun
        await _until_all_ended(world, http)
        await world.stop()
        verdict = await _audited(plan, world, notes, stranger, launch)
    verdict.figure("kills of gateways", sum(len(one.deaths) for one in world.gateways))
    verdict.figure("kills of simulators", sum(len(one.deaths) for one in world.simulators))
    verdict.figure("kills of the database", len(world.database.deaths))
    verdict.figure("starts that failed (database down)", sum(one.failed_starts for one in world.gateways))
    verdict.figure("requests without an answer, keys looked up", f"{notes.unanswered}, {notes.looked_up}")
    verdict.figure("seconds under fire", f"{took:.0f}")
    return verdict


async def _prepare(plan: Plan, gateways: Gateways, world: World) -> dict[str, str]:
    """Servers and accounts, before the first kill; each account's key."""
    for (lanes, slots), child, url in zip(SERVERS, world.simulators, world.simulator_urls, strict=True):
        server = {"name": child.name, "url": url, "lanes": list(lanes), "slots": slots}
        await gateways.operator("servers.add", server)
    keys: dict[str, str] = {}
    for caller in plan.callers:
        account = {"name": caller.name, "tier": caller.tier, "credits": caller.credits}
        keys[caller.name] = (await gateways.operator("accounts.add", account))["api_key"]
    return keys


async def _mischief(
    plan: Plan, world: World, gateways: Gateways, keys: dict[str, str], stranger: Stranger, progress: Progress
) -> None:
    """Callers, a stranger and kills, until each has done what was planned."""
    callers = [
        CallerAtWork(one, keys[one.name], gateways, gateways.notes, plan.open_max, progress.one_more)
        for one in plan.callers
    ]

    async def submit_all() -> None:
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(caller.work())
        progress.submitted_all = True
        progress.wake()

    async def strange() -> None:
        for after_jobs, server in plan.foreign:
            await progress.reached(after_jobs)
            await stranger.submit(server)

    async def kill_all() -> None:
        for kill in plan.kills:
            await progress.reached(kill.after_jobs)
            await pause(kill.jitter_seconds, world.over)
            await _kill(world, kill)
            progress.kills += 1
            await pause(GAP_SECONDS, world.over)

    async with asyncio.TaskGroup() as group:
        group.create_task(submit_all())
        group.create_task(strange())
        group.create_task(kill_all())


async def _kill(world: World, kill: Kill) -> None:
    if kill.kind == "database":
        await world.database.kill()
        await pause(kill.back_after_seconds, world.over)
        await world.database.start()
        return
    among = world.gateways if kill.kind == "gateway" else world.simulators
    child = among[kill.which % len(among)]
    await until(child.up.is_set, world.over, seconds=UP_SECONDS_MAX, step_seconds=0.05)
    child.kill(kill.back_after_seconds)


async def _narrate(plan: Plan, world: World, progress: Progress, say: Say) -> None:
    while True:
        await pause(NARRATE_SECONDS, world.over)
        done = (
            f"{progress.accepted} of {plan.jobs} jobs accepted, {progress.kills} of {len(plan.kills)} kills"
        )
        say(f"chaos: {done}")


async def _until_all_ended(world: World, http: aiohttp.ClientSession) -> None:
    """With every fault off, until no job is open; the audit tells of those that stay."""
    await asyncio.gather(*(until(one.up.is_set, world.over, seconds=60.0) for one in world.children))
    for url in world.simulator_urls:
        async with http.delete(f"{url}/simulator/faults") as answer:
            answer.raise_for_status()
    deadline = time.monotonic() + SETTLE_SECONDS_MAX
    while await asyncio.to_thread(unfinished, world.database.url) and time.monotonic() < deadline:
        await pause(0.5, world.over)


async def _audited(plan: Plan, world: World, notes: Notes, stranger: Stranger, launch: Launch) -> Verdict:
    books = await _books(world, launch)
    journals = [(child.name, world.journal(number)) for number, child in enumerate(world.simulators)]
    found = await asyncio.to_thread(read_evidence, world.database.url, journals, world.folder)
    given = Given(
        notes=notes,
        slots={child.name: slots for child, (_, slots) in zip(world.simulators, SERVERS, strict=True)},
        foreign=stranger.sent,
        gateway_deaths=[death for child in world.gateways for death in child.deaths],
        own_ends=[end for child in world.children for end in child.own_ends],
        ledger_faults=books["faults"],
        ledger_sum=books["total"],
    )
    verdict = await asyncio.to_thread(audit, found, given)
    if verdict.broken:
        await asyncio.to_thread(keep_rows, found, world.folder / "rows.jsonl")
    return verdict


async def _books(world: World, launch: Launch) -> dict[str, Any]:
    """`comfygate ledger audit`, beside nothing."""
    base = Path(world.gateways[0].environment["COMFYGATE_BASE_DIR"])
    process = await launch("ledger", "audit", "--json", env=environment(base), cwd=base)
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert out, err.decode()
    found: dict[str, Any] = json.loads(out)
    return found
