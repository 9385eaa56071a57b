"""One seeded run: servers, gateways that come and go, people, trouble, then calm, then the reckoning."""

from __future__ import annotations

import asyncio
import random
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from comfygate.domain.health import HealthLimits
from comfygate.domain.job import Fence
from comfygate.domain.order import Lane, Tier
from comfygate.domain.retry import SubmitPolicy
from comfygate.domain.safety import NodePolicy
from comfygate.domain.watchdog import Patience
from comfygate.gate import accounts, files, operate
from comfygate.gate.rules import Rules
from tests.sim import people
from tests.sim.auditor import ENDED, Audit
from tests.sim.clock import VirtualLoop, pause
from tests.sim.comfy_server import SimServer
from tests.sim.database import Database
from tests.sim.disk import Kept
from tests.sim.gate_log import listen_to_the_gate
from tests.sim.network import HEARTBEAT_SECONDS
from tests.sim.people import Holder
from tests.sim.process import Process
from tests.sim.weather import CALM, Plan

EPOCH_MS = 1_800_000_000_000
CALM_SECONDS = 2500.0
"""In calm weather everything must have ended after this time."""
EFFECTS_MAX = 300_000
TRACE_LINES = 200


class World:
    """Everything in one run, reproducible from its plan."""

    def __init__(self, plan: Plan, loop: VirtualLoop, echo: Callable[[str], object] | None = None) -> None:
        self.plan = plan
        self.loop = loop
        self.weather = CALM
        self.stormy = False
        self.rng = random.Random(f"world/{plan.seed}")  # noqa: S311 - no secret
        self.aside = random.Random(f"aside/{plan.seed}")  # noqa: S311 - no secret
        self.ids = random.Random(f"ids/{plan.seed}")  # noqa: S311 - no secret
        self.database = Database()
        self.disk: dict[str, Kept] = {}
        self.servers: dict[str, SimServer] = {}
        self.rules = _rules(plan)
        self.holders = [
            Holder(f"user{number}", people.TIERS[number], self.rng.randint(5, 40))
            for number in range(plan.users)
        ]
        self.auditor = Audit(self)
        self.failure: str | None = None
        self.failed: asyncio.Future[None] = loop.create_future()
        self.trace: deque[str] = deque(maxlen=TRACE_LINES)
        self.fingerprint = 0
        self.effects = 0
        self.processes: list[Process] = []
        self._echo = echo
        self._known: set[str] = set()
        self._counts: dict[tuple[str, str], int] = {}
        self._next: asyncio.Future[None] = loop.create_future()
        self._tasks: list[asyncio.Task[Any]] = []

    # What everything in the world uses.

    def now_ms(self) -> int:
        return EPOCH_MS + int(self.loop.time() * 1000)

    def new_id(self) -> str:
        made = str(uuid.UUID(int=self.ids.getrandbits(128), version=4))
        self._known.add(made)
        return made

    def knows(self, some_id: str) -> bool:
        """Whether this id was made in this world, so that a replay makes it again."""
        return some_id in self._known

    def alias(self, long_id: str) -> str:
        return long_id if long_id.startswith("foreign-") else long_id[:6]

    def note(self, line: str) -> None:
        """One line of the trace."""
        if self.failure is not None:
            return
        stamped = f"{self.loop.time():9.3f} {line}"
        self.fingerprint = zlib.crc32(stamped.encode(), self.fingerprint)
        self.trace.append(stamped)
        if self._echo is not None:
            self._echo(stamped)

    def fail(self, message: str) -> None:
        """An invariant is broken: the first one ends the run."""
        if self.failure is None:
            self.note(f"FAILED: {message}")
            self.failure = message
            if not self.failed.done():
                self.failed.set_result(None)

    def committed(self, what: str, who: str, fence: Fence | None) -> None:
        """Something was written, on behalf of the attempt that `fence` names, if of any."""
        if self.failure is None:
            self.note(f"{who}: commits {what}")
            self.auditor.committed(fence)

    def dies_at(self, kind: str, phase: str) -> bool:
        if self.effects > EFFECTS_MAX:
            self.fail(f"I3: no end after {EFFECTS_MAX} effects")
        if not self.stormy:
            return False
        count = self._counts[kind, phase] = self._counts.get((kind, phase), 0) + 1
        return any(
            death.kind == kind and death.phase == phase and death.nth == count
            for death in self.weather.deaths
        )

    def lanes_of(self, server: str) -> tuple[str, ...]:
        return ("image",) if server == "east" and self.plan.servers > 1 else ("image", "video")

    async def gateway(self) -> Process:
        """A gateway process that is there, as soon as one is."""
        while not (there := self.alive()):
            await asyncio.wait([self._next])
        return there[0] if len(there) == 1 else self.rng.choice(there)

    def alive(self) -> list[Process]:
        return [process for process in self.processes if not process.dead]

    def _someone(self, act: Callable[[Process], object]) -> None:
        """Do this to one of the processes that are there, if any."""
        if there := self.alive():
            act(self.rng.choice(there))

    # What the servers tell the auditor.

    def servers_changed(self, server: SimServer) -> None:
        """I5: never more of our prompts on a server than its slots and the one that may wait there."""
        ours = server.ours()
        if len(ours) > server.ours_most:
            shown = [self.alias(prompt_id) for prompt_id in ours]
            self.fail(f"I5: {server.name} has {shown} of ours, it may have {server.ours_most}")

    def check_sent(self, server: SimServer, prompt_id: str, graph: dict[str, Any]) -> None:
        """I8: a prompt was written down before it was sent, goes to its server only, and only once."""
        known = self.auditor.prompts.get(prompt_id)
        name = self.alias(prompt_id)
        if known is None or known[2] != server.name:
            self.fail(f"I8: {server.name} was sent {name}, which is no attempt there: {known}")
            return
        if server.knows(prompt_id) or server.sent.get(prompt_id, 0):
            self.fail(f"I8: {server.name} was sent {name} a second time")
        job = self.auditor.jobs[known[0]]
        folder = f"{job.account_id}/{job.id}"
        for body in graph.values():
            prefix = body["inputs"].get("filename_prefix", folder)
            image = body["inputs"].get("image", "")
            if folder not in prefix or (isinstance(image, str) and image and image not in server.inputs):
                self.fail(f"I7: {name} was sent with {body['inputs']}")

    def check_foreign(self, server: SimServer, ids: Iterable[str], what: str, *, ours: bool) -> None:
        """I6: what is not ours is not touched by us."""
        foreign = [prompt_id for prompt_id in ids if prompt_id.startswith("foreign-")]
        if ours and foreign:
            self.fail(f"I6: we {what} {foreign} on {server.name}")

    # The run.

    async def run(self) -> None:
        """From the first process to the last reckoning, or to the first failure."""
        story = asyncio.create_task(self._story())
        try:
            await asyncio.wait([story, self.failed], return_when=asyncio.FIRST_COMPLETED)
            if story.done():
                await story
        finally:
            await self._dissolve([story])

    async def _story(self) -> None:
        listen_to_the_gate(self)
        names = ("east", "west")[: self.plan.servers]
        each = zip(names, self.plan.versions, self.plan.slots, self.plan.ahead, strict=True)
        for name, version, slots, ahead in each:
            self.servers[name] = SimServer(self, name, version, slots + ahead)
        for _ in range(self.plan.replicas):
            self._start(self._supervise())
        await self._open_house()
        self.weather, self.stormy = self.plan.weather, True
        crowd = [self._start(people.live(self, holder)) for holder in self.holders]
        self._start_trouble()
        await pause(self.plan.storm_seconds)
        await asyncio.gather(*crowd)
        self._calm()
        await self._rest()
        self.auditor.at_the_end()

    def _start(self, coro: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(coro)
        self._tasks.append(task)
        return task

    async def _supervise(self) -> None:
        """Start the gateway, and start it again whenever it is gone."""
        while True:
            process = Process(self, len(self.processes) + 1)
            self.processes.append(process)
            process.start()
            told, self._next = self._next, self.loop.create_future()
            told.set_result(None)
            await asyncio.wait([process.gone])
            await pause(self.rng.choice((0.05, 1.0, 10.0, 40.0)) * self.rng.random())

    async def _open_house(self) -> None:
        """Servers, accounts and an input each, before anything goes wrong."""
        for name, slots, ahead in zip(self.servers, self.plan.slots, self.plan.ahead, strict=True):
            given = (name, f"http://{name}:8188", list(self.lanes_of(name)), slots, ahead)
            await people.call(self, lambda ctx, a=given: operate.servers_add(ctx, *a))  # type: ignore[misc]
        for holder in self.holders:
            made = await people.call(
                self,
                lambda ctx, h=holder: accounts.add_account(ctx, h.name, tier=h.tier, credits=h.credits),  # type: ignore[misc]
            )
            holder.id = made.account.id
            upload = files.Upload(holder.id, file_path="photo.png", content_type="image/png")
            await people.call(
                self,
                lambda ctx, u=upload, h=holder: files.store_upload(ctx, u, _photo(h.name)),  # type: ignore[misc]
            )

    def _start_trouble(self) -> None:
        weather = self.weather
        for moment in weather.sudden_deaths:
            self._start(people.after(moment, lambda: self._someone(Process.kill)))
        for moment in weather.stops:
            self._start(people.after(moment, lambda: self._someone(Process.stop)))
        for moment in weather.pauses:
            self._start(people.after(moment, lambda: self._someone(self._pause_gate)))
        for moment in weather.database_losses:
            self._start(people.after(moment, lambda: self._someone(self._lose_database)))
        for moment in weather.reconfigurations:
            name, slots = self.rng.choice(list(self.servers)), self.rng.choice((1, 2))
            self._start(people.after(moment, lambda n=name, s=slots: people.reconfigure(self, n, s)))  # type: ignore[misc]
        for server in self.servers.values():
            self._start(self._now_and_then(weather.crash_every, server.crash, server.start, 1.0, 30.0))
            self._start(self._now_and_then(weather.stall_every, server.stall, server.wake, 0.5, 15.0))
            self._start(
                self._now_and_then(
                    weather.cut_every,
                    lambda s=server: self._cut(s),  # type: ignore[misc]
                    lambda s=server: self._mend(s),  # type: ignore[misc]
                    1.0,
                    60.0,
                )
            )
            self._start(
                self._now_and_then(weather.socket_drop_every, server.drop_sockets, server.wake, 0.1, 0.2)
            )
            if weather.strangers_every:
                self._start(people.visit(self, server))

    async def _now_and_then(
        self, every: float, begin: Callable[[], None], end: Callable[[], None], least: float, most: float
    ) -> None:
        while every:
            await pause(self.rng.expovariate(1.0 / every))
            if not self.stormy:
                return
            begin()
            await pause(self.rng.uniform(least, most))
            end()

    def _pause_gate(self, process: Process) -> None:
        if process.frozen:
            return
        self.note(f"{process.name}: stopped by the system for a while")
        self.loop.freeze(process)
        self.loop.later(self.rng.uniform(0.5, 60.0), self._go_on, process)

    def _lose_database(self, process: Process) -> None:
        self.note(f"{process.name}: has lost its database")
        process.database_away = True
        self.loop.later(self.rng.uniform(1.0, 60.0), self._find_database, process)

    def _find_database(self, process: Process) -> None:
        self.note(f"{process.name}: has its database again")
        process.database_away = False

    def _go_on(self, process: Process) -> None:
        if not process.dead:
            self.note(f"{process.name}: goes on")
            self.loop.thaw(process)

    def _cut(self, server: SimServer) -> None:
        self.note(f"{server.name}: cut off")
        server.cut = True
        for socket in server.sockets.values():
            socket.deaf = True
            self.loop.later(HEARTBEAT_SECONDS, socket.drop)

    def _mend(self, server: SimServer) -> None:
        self.note(f"{server.name}: reachable again")
        server.cut = False

    def _calm(self) -> None:
        self.note("calm")
        self.weather, self.stormy = CALM, False
        for server in self.servers.values():
            server.wake()
            server.start()
            server.cut = False

    async def _rest(self) -> None:
        """Wait until every job has ended and everything was told."""
        until = self.loop.time() + CALM_SECONDS
        while self.loop.time() < until:
            ended = all(job.state in ENDED for job in self.auditor.jobs.values())
            if ended and all(len(self.auditor.told.get(job, [])) == len(self.auditor.rows[job])
                             for job in self.auditor.jobs):  # fmt: skip
                return
            await pause(5.0)

    async def _dissolve(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Unwind what is left, the dead processes too, so that nothing is torn apart by the collector."""
        listen_to_the_gate(None)
        for process in self.processes:
            process.dissolve()
        mine = asyncio.current_task()
        for _ in range(20):
            left = [task for task in self.loop.kept if not task.done() and task is not mine]
            if not left:
                break
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=1.0)
        for task in [*tasks, *self.loop.kept]:
            if task.done() and not task.cancelled():
                # Fetched, or the loop would complain of it at its end.
                task.exception()
        self.database.close()


def _rules(plan: Plan) -> Rules:
    return Rules(
        lanes={
            "image": Lane("image", 2, 12, plan.queue_seconds_max),
            "video": Lane("video", 5, 12, plan.queue_seconds_max),
        },
        tiers={
            "regular": Tier("regular", 100, 4),
            "vip": Tier("vip", 50, 4),
            "black_gold": Tier("black_gold", 10, 8),
        },
        output_nodes={"SaveImage": "image", "SaveVideo": "video"},
        file_inputs={"LoadImage": ("image",)},
        nodes=NodePolicy(frozenset({"*"})),
        submit=SubmitPolicy(retries=2, retry_seconds=1.0),
        health=HealthLimits(failures_max=3, quarantine_seconds=15.0, quarantine_seconds_max=60.0),
        patience=Patience(
            floor_seconds=30.0,
            times_usual=3.0,
            verify_seconds=6.0,
            restart_seconds=20.0,
            pair_quarantine_seconds=60.0,
        ),
        attempts_max=3,
        comfy_poll_seconds=3.0,
        probe_seconds=10.0,
        lost_after_seconds=25.0,
        dispatch_poll_seconds=3.0,
        lease_seconds=20.0,
        stop_seconds=8.0,
        results_seconds=plan.results_seconds,
    )


async def _photo(name: str) -> Any:
    yield f"photo of {name}".encode()
