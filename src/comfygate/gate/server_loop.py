"""One server: what is it, and is a slot of it open while work waits.

The loop has one await point. It is woken by submissions and by its own attempts ending; the poll is only the
safety net. It runs in the one replica that holds the server's lease. What the server is given follows from
its health (`domain/health.py`): evidence comes from probes, from the socket, and from the attempts
themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial

import structlog

from comfygate.comfy.errors import ComfyError
from comfygate.comfy.wire import CancelResult
from comfygate.domain.blame import CONSEQUENCES, Blame
from comfygate.domain.errors import Conflict
from comfygate.domain.fit import lacks
from comfygate.domain.health import Answered, JobBlamed, JobSucceeded, Restarted, Silent, Stuck
from comfygate.domain.job import Failed, Outcome, Succeeded
from comfygate.gate.ahead import Ahead
from comfygate.gate.condition import Condition
from comfygate.gate.context import OUTBOX, Context, heard, lane_bell
from comfygate.gate.drive import drive
from comfygate.gate.driving import BEHIND_MAX, Driving
from comfygate.gate.happenings import Claimed
from comfygate.gate.probing import DOWN_PROBE_SECONDS, Prober
from comfygate.gate.run import Link
from comfygate.store import attempts as attempts_store
from comfygate.store import lanes as lanes_store
from comfygate.store.attempts import Slot
from comfygate.store.fit import Taste
from comfygate.store.rows import ClaimedAttempt, ServerRow

CONNECT_SECONDS = 2.0
"""How long a job waits for the server's socket before it is sent and watched by polling alone."""

log = structlog.get_logger(__name__)


def lease_name(server: str) -> str:
    """The lease that the one replica has which gives work to this server."""
    return f"server:{server}"


class ServerLoop:
    """Keeps one server busy with the jobs of its lanes, never more at a time than its slots."""

    def __init__(
        self,
        ctx: Context,
        server: ServerRow,
        link: Link,
        inherited: Sequence[ClaimedAttempt] = (),
        *,
        adopt: bool = True,
    ) -> None:
        self._ctx = ctx
        self.server = server
        self._link = link
        self._bell = asyncio.Event()
        self._seat = ctx.bells.rota.join(
            [lane_bell(lane) for lane in server.lanes],
            self._bell.set,
            lambda: ctx.store.read(lanes_store.work_waits, server.lanes),
        )
        self._driving = Driving()
        self._ahead = Ahead(ctx, server, link.client)
        self._inherited = tuple(inherited)
        self._forgetting: set[asyncio.Task[None]] = set()
        self._adopt_due = adopt
        self._elsewhere: set[int] = set()
        self._condition = Condition(ctx, server)
        self._stopping = False
        self._free_first = False
        self._recalled = False
        self._prober = Prober(
            ctx,
            link,
            self._condition,
            held=lambda: len(self._driving.held),
            see=self._see,
            able=self._able,
        )
        self._good: set[str] = set()
        self._taste = Taste()
        self._log = log.bind(server=server.name)
        link.was_restarted = self._restarted

    async def run(self) -> None:
        """Until cancelled; then running attempts are left for adoption."""
        tasks = [
            asyncio.create_task(self._forever(self._link.channel.run), name="socket"),
            asyncio.create_task(self._forever(self._prober.run), name="probe"),
            asyncio.create_task(self._forever(self._socket_loop), name="socket drops"),
            asyncio.create_task(self._forever(self._claim_loop), name="claim"),
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            tasks += [*self._driving.tasks.values(), *self._forgetting]  # type: ignore[list-item]  # any tasks
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, self._ahead.close(), return_exceptions=True)
            self._seat.leave()
            self._ctx.fleet.status.pop(self.server.name, None)
            self._ctx.fleet.classes.pop(self.server.name, None)

    def left_open(self) -> list[ClaimedAttempt]:
        """After `run` was cancelled: the attempts that the loop in its place must adopt."""
        return self._driving.left_open()

    async def drained(self) -> None:
        """Claim nothing more, and return when the last running attempt has settled."""
        self._stopping = True
        while self._driving.tasks:
            await asyncio.wait(list(self._driving.tasks.values()))
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

    async def _socket_loop(self) -> None:
        """A socket that drops is the first sign of a server that went away: look at once."""
        while True:
            await self._link.channel.dropped.wait()
            self._link.channel.dropped.clear()
            self._ahead.forget()
            self._prober.look_now()

    def _see(self, evidence: Answered | Silent | JobSucceeded | JobBlamed | Stuck | Restarted) -> None:
        """Take evidence in. What follows (another probe, a claim) is done by the loops."""
        answered = self._condition.answers
        changed = self._condition.see(evidence)
        if changed or answered != self._condition.answers:
            self._bell.set()
        if changed and not isinstance(evidence, Answered | Silent):
            # Looked at, and kept, by the probe loop, which alone writes health.
            self._prober.look_now()

    def _able(self) -> None:
        self._good.clear()
        self._bell.set()

    def _trouble(self, reason: str) -> None:
        self._see(Silent(reason))
        self._prober.look_now()

    def _restarted(self) -> None:
        self._log.warning("server.restarted", how="its count of prompts began anew")
        self._condition.status.warm = ""
        self._ahead.forget()
        self._see(Restarted())

    async def _claim_loop(self) -> None:
        rules, rang = self._ctx.rules, True
        while True:
            # Cleared first: a ring during the claims below must not be lost.
            self._bell.clear()
            if rang or self._unclear or await self._worth_a_look():
                await self._look()
            if self._driving.held and self._condition.answers and not self._stopping and self._seat.few:
                self._ahead.look()
            # A job that was left to a warmer server is ours if that one does not take it.
            left, self._taste.left = self._taste.left, False
            rang = not self._seat.sleep(free=self._may_claim()) or await heard(
                self._bell, rules.warm_wait_seconds if left else rules.dispatch_poll_seconds
            )
            rang = rang or left

    async def _look(self) -> None:
        with self._seat.looking():
            await self._adopt()
            while self._may_claim() and await self._cleared() and await self._claim_one():
                pass
            await self._seat.looked()

    @property
    def _unclear(self) -> bool:
        """Whether something is to be done on the server before it can be given a job."""
        return not self._recalled or self._free_first or bool(self._link.abandoned)

    async def _worth_a_look(self) -> bool:
        now, seconds = asyncio.get_running_loop().time(), self._ctx.rules.dispatch_poll_seconds / 2
        return self._may_claim() and await self._seat.worth_a_look(now, seconds)

    def _may_claim(self) -> bool:
        driving = self._driving
        if self._stopping or driving.behind >= BEHIND_MAX:
            return False
        return self._condition.open_slots(len(driving.held), driving.behind) > 0

    async def _adopt(self) -> None:
        """Take over the server's open attempts that this process does not drive: with the server come its
        attempts."""
        ctx = self._ctx
        if self._stopping:
            return
        inherited, self._inherited = self._inherited, ()
        for attempt in inherited:
            self._start(attempt)
        if not self._adopt_due:
            return
        self._adopt_due = False
        orphans = await ctx.store.run(
            attempts_store.take_over,
            self.server.name,
            owner=ctx.owner,
            lease_ms=ctx.lease_ms,
            now_ms=ctx.now_ms(),
            under_lease=lease_name(self.server.name),
            driven=self._driving.prompts,
        )
        for orphan in orphans:
            self._start(orphan)

    def adopt_if_needed(self, prompts: Collection[str]) -> None:
        """These are open here; one that nobody drives is adopted before anything else is begun."""
        if not self._stopping and set(prompts) - set(self._driving.prompts):
            self._adopt_due = True
            self._bell.set()

    async def _cleared(self) -> bool:
        """Whether every prompt that was given up is off the server, and its memory is freed if that is due.

        Prompts that are still there are asked to stop.
        """
        try:
            if not self._recalled:
                await self._recall()
            for prompt_id in list(self._link.abandoned):
                result = await self._link.client.cancel(prompt_id)
                if result is not CancelResult.NOT_THERE:
                    self._log.info("prompt.still_there", prompt_id=prompt_id, result=result.value)
                    return False
                self._link.abandoned.discard(prompt_id)
                await self._link.client.forget(prompt_id)
            if self._free_first:
                await self._link.client.free()
                self._condition.status.warm = ""
                self._free_first = False
                self._log.info("server.memory_freed")
        except ComfyError as error:
            self._trouble(str(error))
            return False
        return True

    async def _recall(self) -> None:
        """Find the prompts that an earlier process, or an earlier loop, gave up and that are here still."""
        queue = await self._link.client.queue()
        here = queue.running | queue.pending
        given_up = await self._ctx.store.read(attempts_store.given_up, self.server.name, here)
        self._link.abandoned.update(given_up)
        self._recalled = True

    async def _claim_one(self) -> bool:
        ctx = self._ctx
        driving = self._driving
        free = min(set(range(self.server.slots)) - driving.held - self._elsewhere, default=None)
        if free is None:
            self._elsewhere = set()
            return False
        left = driving.left
        asked_at = asyncio.get_running_loop().time()
        try:
            attempt = await ctx.store.run(
                attempts_store.claim,
                Slot(self.server.name, free, self.server.lanes),
                owner=ctx.owner,
                prompt_id=ctx.new_id(),
                lease_ms=ctx.lease_ms,
                now_ms=ctx.now_ms(),
                under_lease=lease_name(self.server.name),
                taste=self._taste_now(),
                left=left,
            )
        except Conflict:
            # Another attempt has the slot; perhaps not the next one.
            self._elsewhere = await ctx.store.read(attempts_store.open_slots, self.server.name)
            return free in self._elsewhere
        if attempt is None:
            return False
        driving.written(left)
        self._condition.status.warm = attempt.models or self._condition.status.warm
        ctx.bells.ring(OUTBOX)
        ctx.happened(Claimed(attempt, asyncio.get_running_loop().time() - asked_at))
        self._start(attempt)
        return True

    def _taste_now(self) -> Taste:
        """What this server can run and has warm, and what others beside it have."""
        rules, mine = self._ctx.rules, self._condition.status
        classes = self._ctx.fleet.classes.get(self.server.name)
        others = [
            status
            for name, status in self._ctx.fleet.status.items()
            if name != self.server.name and status.free and set(status.lanes) & set(self.server.lanes)
        ]
        self._taste = Taste(
            judge=None if classes is None else partial(lacks, classes, rules.limits.graph_nodes_max),
            good=self._good,
            warm=mine.warm,
            window=rules.warm_window,
            overtakes_max=rules.warm_overtakes_max,
            leave_to_others=frozenset(status.warm for status in others if status.warm),
            leave_ms=int(rules.warm_wait_seconds * 1000),
            limits=rules.overtakes_max,
        )
        return self._taste

    def _start(self, attempt: ClaimedAttempt) -> None:
        task = asyncio.create_task(self._drive(attempt), name=f"attempt {attempt.fence.job_id}")
        self._driving.begin(attempt, task)
        self._condition.status.running = len(self._driving.held)
        task.add_done_callback(lambda done: self._finished(attempt, done))

    async def _drive(self, attempt: ClaimedAttempt) -> Outcome | None:
        if not self._link.channel.connected and self._condition.answers:
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._link.channel.wait_connected()
            except TimeoutError:
                self._log.warning("channel.not_connected", job=attempt.fence.job_id)
        return await drive(
            self._ctx,
            self._link,
            attempt,
            trouble=self._trouble,
            stuck=lambda reason: self._see(Stuck(reason)),
            left=lambda: self._left(attempt),
            brought=self._ahead.take(attempt.fence.job_id),
        )

    def _left(self, attempt: ClaimedAttempt) -> None:
        """The prompt ended well: the server may get the next one while what this one made is fetched."""
        if self._driving.leave(attempt):
            self._condition.status.running = len(self._driving.held)
            self._bell.set()

    async def _forget(self, prompt_id: str) -> None:
        """Delete our own entry from the server's history, beside the next job."""
        try:
            await self._link.client.forget(prompt_id)
        except ComfyError as error:
            self._log.info("history.not_deleted", error=str(error))

    def _finished(self, attempt: ClaimedAttempt, done: asyncio.Task[Outcome | None]) -> None:
        self._driving.end(attempt, done, over=not done.cancelled())
        self._condition.status.running = len(self._driving.held)
        if done.cancelled():
            return
        self._bell.set()
        if (error := done.exception()) is not None:
            # Not settled: its history entry stays, and it is settled from that by whoever adopts it, us
            # perhaps.
            self._log.error("attempt.left_open", job=attempt.fence.job_id, error=repr(error))
            return
        if (outcome := done.result()) is None:
            # Somebody else's now, who needs the history entry.
            return
        self._learn(outcome)
        forgetting = asyncio.create_task(self._forget(attempt.prompt_id))
        self._forgetting.add(forgetting)
        forgetting.add_done_callback(self._forgetting.discard)

    def _learn(self, outcome: Outcome) -> None:
        """What an attempt's end says about the server."""
        match outcome:
            case Succeeded():
                self._see(JobSucceeded())
            case Failed(blame=blame, cause=cause):
                self._free_first |= CONSEQUENCES[blame].free_memory
                if blame is Blame.MISSING:
                    # It lists what it has not, or lost it: ask again.
                    self._prober.look_now(at_abilities=True)
                self._see(JobBlamed(blame, cause.splitlines()[0] if cause else blame.value))
            case _:
                return
