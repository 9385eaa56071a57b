"""Two hundred pages open while jobs go through: what a page costs, how late the event loop is, what is
missed, and what it is to the jobs that some of the pages take nothing any more.

In one run: no page open; then, in turns, all pages reading and some of them not. Light servers that tell
progress and previews, screening off. On SQLite: what is shared out is one process, not the database.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engines import Engine
from benchmarks.figures import Figure, quantile
from benchmarks.processes import Caller, Child, Gateway, child, gateway

HEARD_SECONDS_MAX = 5.0
MADE_AT_ONCE = 16
MORE_OF_SLOW = 3
LAGS = ("lag_p50", "lag_p99", "lag_max")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """Pages of accounts and of operators, one in so many of them slow; servers, a job's length and how often
    it shows how far it is; jobs a second; turns, and seconds of each."""

    accounts: int = 150
    operators: int = 50
    slow_each: int = 5
    servers: int = 30
    job_seconds: float = 1.0
    steps: int = 4
    rate: float = 20.0
    turns: int = 3
    seconds: float = 2.5


@dataclass(frozen=True, slots=True)
class Turn:
    """What some seconds came to. `late_ms`: from a job's end to its account's page hearing it."""

    rate: float
    waits_ms: list[float]
    lags_ms: list[float]
    cpu: float
    late_ms: list[float]
    missed: int
    missed_by_operators: int
    stuck: int


@dataclass(slots=True)
class Scene:
    """All that takes part."""

    gate: Gateway
    light: Child
    pages: Child
    callers: Child
    people: list[Caller]
    size: Size
    ports: list[int]

    def is_slow(self, number: int) -> bool:
        """Whether this page is one of those that stop reading."""
        return number % self.size.slow_each == 0

    def who_orders(self) -> list[int]:
        """Accounts in the order of their jobs; those of slow pages have more, so that much waits for them."""
        accounts = range(self.size.accounts)
        return [*accounts, *[one for one in accounts if self.is_slow(one)] * MORE_OF_SLOW]

    def operates(self, number: int) -> bool:
        """Whether it is an operator's."""
        return number >= self.size.accounts


async def measure_pages(engine: Engine, size: Size | None = None) -> list[Figure]:
    """On SQLite only."""
    if engine.postgres is not None:
        return []
    size = size or Size()
    async with (
        child("benchmarks.light_servers", str(size.servers), str(size.job_seconds), str(size.steps)) as light,
        child("benchmarks.pages_process") as pages,
        child("benchmarks.pages_process") as callers,
        gateway(engine, screening={"enabled": False}, dispatch={"stop_seconds": 0}) as gate,
    ):
        scene = Scene(gate, light, pages, callers, await _people(gate, size), size, [])
        for number in range(size.servers):
            url = f"{light.url}/s{number}"
            await gate.operate("servers.add", name=f"s{number}", url=url, lanes=["image"])
        await gate.servers_up(size.servers)
        await _through(scene, size.seconds / 2, slow=False)  # what is done once is done now
        return await _measured(scene)


async def _people(gate: Gateway, size: Size) -> list[Caller]:
    turn = asyncio.Semaphore(MADE_AT_ONCE)

    async def made(number: int) -> Caller:
        async with turn:
            one = await gate.caller(f"person-{number}")
            if number >= size.accounts:
                await gate.operate("accounts.role", account=one.id, role="operator")
            return one

    return await asyncio.gather(*map(made, range(size.accounts + size.operators)))


async def _measured(scene: Scene) -> list[Figure]:
    size, gate = scene.size, scene.gate
    alone = [await _through(scene, size.seconds, slow=False)]
    before = gate.child.memory_mb()
    people = [
        {"key": one.key, "operates": scene.operates(number), "slow": scene.is_slow(number)}
        for number, one in enumerate(scene.people)
    ]
    opened = await scene.pages.ask(json.dumps({"do": "open", "url": gate.child.url, "people": people}))
    scene.ports = opened["ports"]
    held = gate.child.memory_mb()
    reading: list[Turn] = []
    some: list[Turn] = []
    for turn in range(size.turns):
        # Who is first of a pair takes turns as well: what a machine is busy with comes and goes.
        for slow in (False, True) if turn % 2 == 0 else (True, False):
            await scene.pages.ask(json.dumps({"do": "read", "on": not slow}))
            (some if slow else reading).append(await _through(scene, size.seconds, slow=slow))
    used = gate.child.memory_mb()
    await scene.pages.ask(json.dumps({"do": "close"}))
    count = len(scene.people)
    every, without = f"{count} pages", f"{sum(map(scene.is_slow, range(count)))} of {count} pages never read"
    return [
        *_figures("no page", alone, None, ""),
        *_figures(every, reading, alone, "no page open"),
        *_hearing(every, reading, None),
        *_figures(without, some, reading, "all pages reading"),
        *_hearing(without, some, reading),
        Figure(f"{without}: with something unsent", "sqlite", min(one.stuck for one in some), "pages"),
        Figure(f"{every}: memory a page, opened", "sqlite", (held - before) * 1000 / count, "kB"),
        Figure(f"{every}: memory a page, in use", "sqlite", (used - before) * 1000 / count, "kB"),
    ]


async def _through(scene: Scene, seconds: float, *, slow: bool) -> Turn:
    """Let jobs of all accounts through, and see what came of it. `slow`: some pages do not read."""
    size, gate = scene.size, scene.gate
    await scene.light.ask("reset")
    await gate.look()
    owners = scene.who_orders()
    keys = [scene.people[one].key for one in owners]
    cpu = gate.child.cpu_seconds()
    order = {"do": "pace", "url": gate.child.url, "keys": keys, "lane": "image", "rate": size.rate}
    paced = await scene.callers.ask(json.dumps({**order, "seconds": seconds}))
    look = await gate.look()
    cpu = gate.child.cpu_seconds() - cpu
    stuck = _stuck(scene) if slow else 0
    made = [(job, owners[number], began) for job, number, began in paced["made"]]
    await scene.light.ask(f"wait {len(made)}")
    heard = await _heard(scene, made, slow=slow)
    await gate.idle()
    stamps = _stamps((await scene.light.ask("stamps"))["stamps"], gate.base)
    missing = list(enumerate(heard["missing"]))
    return Turn(
        rate=len(made) / paced["seconds"],
        waits_ms=[(stamps[job, "started"] - began) / 1e6 for job, _, began in made],
        lags_ms=[look[name] * 1000 for name in LAGS],
        cpu=cpu / paced["seconds"],
        late_ms=[(at - stamps[job, "finished"]) / 1e6 for job, at in heard["heard"]],
        missed=sum(found for number, found in missing if not scene.operates(number)),
        missed_by_operators=sum(found for number, found in missing if scene.operates(number)),
        stuck=stuck,
    )


async def _heard(scene: Scene, made: Sequence[tuple[str, int, int]], *, slow: bool) -> Json:
    """What the open pages heard of the jobs' ends: each account's of its own, each operator's of all."""
    wanted: list[list[str] | None] = []
    for number in range(len(scene.ports)):
        if slow and scene.is_slow(number):
            wanted.append(None)
        else:
            wanted.append([job for job, of, _ in made if scene.operates(number) or of == number])
    order = {"do": "heard", "jobs": wanted, "seconds": HEARD_SECONDS_MAX}
    return await scene.pages.ask(json.dumps(order))


def _stamps(stamps: Sequence[tuple[str, str, str, int]], base: Path) -> dict[tuple[str, str], int]:
    """When each job started and finished on its server, in ns."""
    with closing(sqlite3.connect(f"file:{base / 'data' / 'comfygate.db'}?mode=ro", uri=True)) as database:
        jobs = dict(database.execute("SELECT prompt_id, job_id FROM attempts"))
    return {(jobs[prompt], kind): at for _, kind, prompt, at in stamps if prompt in jobs}


def _stuck(scene: Scene) -> int:
    """Connections of slow pages over which the service has something to send that is not taken."""
    port = int(scene.gate.child.url.rpartition(":")[2])
    ports = {one for number, one in enumerate(scene.ports) if scene.is_slow(number)}
    found = 0
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        ours = int(local.rpartition(":")[2], 16) == port and int(remote.rpartition(":")[2], 16) in ports
        found += ours and int(queues.partition(":")[0], 16) > 0
    return found


def _figures(what: str, turns: list[Turn], first: list[Turn] | None, control: str) -> list[Figure]:
    """Medians of the turns. Ratios are of the least of each side: neighbours on the machine only ever add."""

    def figure(name: str, unit: str, mine: list[float], theirs: list[float]) -> Figure:
        value, base = statistics.median(mine), min(theirs)
        if first is None or not base:
            return Figure(f"{what}: {name}", "sqlite", value, unit)
        return Figure(f"{what}: {name}", "sqlite", value, unit, min(mine) / base, control, None, "lower")

    other = first or turns

    def waits(part: float) -> tuple[list[float], list[float]]:
        mine = [quantile(one.waits_ms, part) for one in turns]
        return mine, [quantile(one.waits_ms, part) for one in other]

    lags = [
        figure(name, "ms", [one.lags_ms[nth] for one in turns], [one.lags_ms[nth] for one in other])
        for nth, name in enumerate(
            ("event-loop lag, median", "event-loop lag, p99", "event-loop lag, longest")
        )
    ]
    return [
        Figure(f"{what}: rate", "sqlite", statistics.mean(one.rate for one in turns), "jobs/s"),
        figure("submit to start on a server, median", "ms", *waits(0.5)),
        figure("submit to start on a server, p99", "ms", *waits(0.99)),
        *lags,
        figure("gateway's CPU", "of a core", [one.cpu for one in turns], [one.cpu for one in other]),
    ]


def _hearing(what: str, turns: list[Turn], first: list[Turn] | None) -> list[Figure]:
    def late(name: str, part: float) -> Figure:
        value = quantile((ms for one in turns for ms in one.late_ms), part)
        base = quantile((ms for one in first or () for ms in one.late_ms), part)
        control = "all pages reading" if base else "from the server's end of the job to its account's page"
        ratio = value / base if base else None
        return Figure(
            f"{what}: end heard after, {name}", "sqlite", value, "ms", ratio, control, None, "lower"
        )

    def total(name: str, unit: str, values: list[int]) -> Figure:
        return Figure(f"{what}: {name}", "sqlite", sum(values), unit)

    return [
        late("median", 0.5),
        late("p99", 0.99),
        total("ends missed by accounts' pages", "ends", [one.missed for one in turns]),
        total("ends missed by operators' pages", "ends", [one.missed_by_operators for one in turns]),
    ]
