"""One server: is it there, what can it do, and is a slot of it free while work waits.

The loop has one await point. It is woken by submissions and by its own attempts ending; the poll is only the
safety net. A server that does not answer its probe takes no new job, so it cannot burn through the queue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import structlog

from comfygate.comfy.errors import ComfyError
from comfygate.comfy.wire import CancelResult, Capabilities
from comfygate.domain.errors import Conflict
from comfygate.domain.graph import NodeClass, node_class
from comfygate.gate.context import OUTBOX, Context, ServerStatus, heard, lane_bell
from comfygate.gate.drive import drive
from comfygate.gate.run import Link
from comfygate.store import attempts as attempts_store
from comfygate.store.attempts import Slot
from comfygate.store.rows import ClaimedAttempt, ServerRow

CONNECT_SECONDS = 2.0
"""How long a job waits for the server's socket before it is sent and watched by polling alone."""
DOWN_PROBE_SECONDS = 1.0
"""Between two probes of a server that is down."""

log = structlog.get_logger(__name__)


class ServerLoop:
    """Keeps one server busy with the jobs of its lanes, never more at a time than its slots."""

    def __init__(
        self, ctx: Context, server: ServerRow, link: Link, inherited: Sequence[ClaimedAttempt] = ()
    ) -> None:
        self._ctx = ctx
        self.server = server
        self._link = link
        self._bell = ctx.bells.hang(frozenset(lane_bell(lane) for lane in server.lanes))
        self._running: dict[int, asyncio.Task[None]] = {}
        self._attempts: dict[int, ClaimedAttempt] = {}
        self._inherited = tuple(inherited)
        self._forgetting: set[asyncio.Task[None]] = set()
        self._adopt_at = 0.0
        self._elsewhere: set[int] = set()
        self._status = ServerStatus(lanes=server.lanes)
        self._stopping = False
        self._recalled = False
        self._log = log.bind(server=server.name)
        self._checked = asyncio.Event()
        ctx.fleet.status[server.name] = self._status

    async def run(self) -> None:
        """Until cancelled; then running attempts are left for adoption."""
        tasks = [
            asyncio.create_task(self._forever(self._link.channel.run), name="socket"),
            asyncio.create_task(self._forever(self._probe_loop), name="probe"),
            asyncio.create_task(self._forever(self._claim_loop), name="claim"),
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            tasks += [*self._running.values(), *self._forgetting]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ctx.bells.remove(self._bell)
            self._ctx.fleet.status.pop(self.server.name, None)
            self._ctx.fleet.classes.pop(self.server.name, None)

    def left_open(self) -> list[ClaimedAttempt]:
        """After `run` was cancelled: the attempts that the loop in its place must adopt."""
        return [replace(attempt, adopted=True) for attempt in self._attempts.values()]

    async def drained(self) -> None:
        """Claim nothing more, and return when the last running attempt has settled."""
        self._stopping = True
        while self._running:
            await asyncio.wait(list(self._running.values()))
            # Lets the tasks' done callbacks take them off the list.
            await asyncio.sleep(0)
        await asyncio.gather(*self._forgetting, return_exceptions=True)

    async def _forever(self, part: Callable[[], Awaitable[None]]) -> None:
        """A part that breaks is logged and begun again: one bug must not idle a server for good."""
        while True:
            try:
                await part()
            except Exception:  # noqa: BLE001 - see above
                self._log.exception("server.part_broke", part=getattr(part, "__name__", "socket"))
            await asyncio.sleep(DOWN_PROBE_SECONDS)

    async def _probe_loop(self) -> None:
        while True:
            await self._probe()
            self._checked.set()
            up = self._status.up
            await asyncio.sleep(self._ctx.rules.probe_seconds if up else DOWN_PROBE_SECONDS)

    async def _probe(self) -> None:
        was_up = self._status.up
        try:
            found = await self._link.client.probe()
            if not was_up:
                self._ctx.fleet.classes[self.server.name] = await self._classes()
        except ComfyError as error:
            self._down(str(error))
            return
        self._up(found, was_up=was_up)

    async def _classes(self) -> dict[str, NodeClass]:
        described = await self._link.client.object_info()
        return {name: node_class(body) for name, body in described.items() if isinstance(body, dict)}

    def _up(self, found: Capabilities, *, was_up: bool) -> None:
        self._status.up, self._status.version, self._status.last_error = True, found.version, ""
        if not was_up:
            self._log.info("server.up", version=found.version, cancel_via=found.cancel_via.value)
            self._bell.set()

    def _down(self, reason: str) -> None:
        if self._status.up or self._status.last_error != reason:
            self._log.warning("server.down", reason=reason)
        self._status.up, self._status.last_error = False, reason

    async def _claim_loop(self) -> None:
        while True:
            # Cleared first: a ring during the claims below must not be lost.
            self._bell.clear()
            await self._adopt()
            while self._may_claim() and await self._cleared() and await self._claim_one():
                pass
            await heard(self._bell, self._ctx.rules.dispatch_poll_seconds)

    def _may_claim(self) -> bool:
        return not self._stopping and self._status.up and len(self._running) < self.server.slots

    async def _adopt(self) -> None:
        """Take over attempts that nobody drives: at the start on SQLite, when their lease ran out
        elsewhere."""
        ctx, now = self._ctx, asyncio.get_running_loop().time()
        if self._stopping or now < self._adopt_at:
            return
        self._adopt_at = now + ctx.rules.lease_seconds / 2
        inherited, self._inherited = self._inherited, ()
        for attempt in inherited:
            self._start(attempt)
        orphans = await ctx.store.run(
            attempts_store.take_over,
            self.server.name,
            owner=ctx.owner,
            lease_ms=ctx.lease_ms,
            now_ms=ctx.now_ms(),
            # SQLite is opened by one process at a time, so whoever began these is dead.
            at_once=ctx.store.dialect == "sqlite",
            driven=[attempt.prompt_id for attempt in self._attempts.values()],
        )
        for orphan in orphans:
            self._start(orphan)

    async def _cleared(self) -> bool:
        """Whether every prompt that was given up is off the server; those that are not are asked to stop."""
        if not self._recalled and not await self._recall():
            return False
        for prompt_id in list(self._link.abandoned):
            try:
                result = await self._link.client.cancel(prompt_id)
            except ComfyError as error:
                self._down(str(error))
                return False
            if result is not CancelResult.NOT_THERE:
                self._log.info("prompt.still_there", prompt_id=prompt_id, result=result.value)
                return False
            self._link.abandoned.discard(prompt_id)
        return True

    async def _recall(self) -> bool:
        """Find the prompts that an earlier process, or an earlier loop, gave up and that are here still."""
        try:
            queue = await self._link.client.queue()
        except ComfyError as error:
            self._down(str(error))
            return False
        here = queue.running | queue.pending
        given_up = await self._ctx.store.read(attempts_store.given_up, self.server.name, here)
        self._link.abandoned.update(given_up)
        self._recalled = True
        return True

    async def _claim_one(self) -> bool:
        ctx = self._ctx
        free = min(set(range(self.server.slots)) - self._running.keys() - self._elsewhere, default=None)
        if free is None:
            self._elsewhere = set()
            return False
        try:
            attempt = await ctx.store.run(
                attempts_store.claim,
                Slot(self.server.name, free, self.server.lanes),
                owner=ctx.owner,
                prompt_id=ctx.new_id(),
                lease_ms=ctx.lease_ms,
                now_ms=ctx.now_ms(),
            )
        except Conflict:
            # Another replica has the slot; perhaps not the next one.
            self._elsewhere = await ctx.store.read(attempts_store.open_slots, self.server.name)
            return free in self._elsewhere
        if attempt is None:
            return False
        ctx.bells.ring(OUTBOX)
        self._start(attempt)
        return True

    def _start(self, attempt: ClaimedAttempt) -> None:
        task = asyncio.create_task(self._drive(attempt), name=f"attempt {attempt.fence.job_id}")
        self._running[attempt.slot] = task
        self._attempts[attempt.slot] = attempt
        self._status.running = len(self._running)
        task.add_done_callback(lambda done: self._finished(attempt, done))

    async def _drive(self, attempt: ClaimedAttempt) -> None:
        if not self._link.channel.connected and self._status.up:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._link.channel.wait_connected()
            except TimeoutError:
                self._log.warning("channel.not_connected", job=attempt.fence.job_id)
        await drive(self._ctx, self._link, attempt, trouble=self._down)

    async def _forget(self, prompt_id: str) -> None:
        """Delete our own entry from the server's history, beside the next job."""
        try:
            await self._link.client.forget(prompt_id)
        except ComfyError as error:
            self._log.info("history.not_deleted", error=str(error))

    def _finished(self, attempt: ClaimedAttempt, done: asyncio.Task[None]) -> None:
        if self._running.get(attempt.slot) is done:
            del self._running[attempt.slot]
        self._status.running = len(self._running)
        if done.cancelled():
            return
        self._attempts.pop(attempt.slot, None)
        self._bell.set()
        if (error := done.exception()) is not None:
            # Not settled: its history entry is what a later process will settle it from.
            self._log.error("attempt.left_open", job=attempt.fence.job_id, error=repr(error))
            return
        forgetting = asyncio.create_task(self._forget(attempt.prompt_id))
        self._forgetting.add(forgetting)
        forgetting.add_done_callback(self._forgetting.discard)
