"""One server: what is it, and is a slot of it open while work waits.

The loop has one await point. It is woken by submissions and by its own attempts ending; the poll is only the
safety net. It runs in the one replica that holds the server's lease. What the server is given follows from
its health (`domain/health.py`): evidence comes from probes, from the socket, and from the attempts
themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from functools import partial

import structlog

from comfygate.comfy.errors import ComfyError
from comfygate.domain.blame import CONSEQUENCES, Blame
from comfygate.domain.health import Answered, JobBlamed, JobSucceeded, Restarted, Silent, Stuck
from comfygate.domain.job import Failed, Fence, Outcome, Succeeded
from comfygate.gate.ahead import Ahead, Prepared
from comfygate.gate.claiming import Claiming
from comfygate.gate.clearing import Clearing
from comfygate.gate.condition import Condition
from comfygate.gate.context import Context, heard, lane_bell, lease_name
from comfygate.gate.drive import drive
from comfygate.gate.driving import BEHIND_MAX, Driving, Stands
from comfygate.gate.extra import Extra
from comfygate.gate.forgetting import Forgetting
from comfygate.gate.probing import DOWN_PROBE_SECONDS, Prober
from comfygate.gate.run import Beforehand, Link, NoLongerOurs
from comfygate.store import attempts as attempts_store
from comfygate.store import lanes as lanes_store
from comfygate.store.ready import Late
from comfygate.store.rows import ClaimedAttempt, ServerRow

CONNECT_SECONDS = 2.0
"""How long the server's socket is waited for before a job is chosen and watched by polling alone."""

log = structlog.get_logger(__name__)


class ServerLoop:
    """Keeps one server busy with the jobs of its lanes, never more at a time than its slots and `ahead`."""

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
        self._condition = Condition(ctx, server)
        self._claiming = Claiming(ctx, server, self._condition, self._driving)
        self._extra = Extra(server, link.client, self._condition, self._driving, self._claiming)
        self._clearing = Clearing(ctx, server.name, link)
        self._ahead = Ahead(ctx, server, link.client, self._claiming.taste, self._bell.set)
        self._following = asyncio.Event()
        self._inherited = tuple(inherited)
        self._forgetting = Forgetting(server.name, link.client)
        self._adopt_due = adopt
        self._stopping = False
        self._prober = Prober(
            ctx,
            link,
            self._condition,
            held=lambda: len(self._driving.held),
            see=self._see,
            able=self._able,
        )
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
            self._stopping = True
            tasks += self._driving.tasks.values()  # type: ignore[arg-type]  # any tasks
            for task in tasks:
                task.cancel()
            closing = (self._forgetting.close(), self._ahead.close())
            await asyncio.gather(*tasks, *closing, return_exceptions=True)
            self._seat.leave()
            self._condition.gone()
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
        await self._forgetting.done()

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
        self._claiming.forget_fits()
        self._ahead.forget()
        self._bell.set()

    def _trouble(self, reason: str) -> None:
        self._see(Silent(reason))
        self._prober.look_now()

    def _restarted(self) -> None:
        self._log.warning("server.restarted", how="its count of prompts began anew")
        self._condition.warmed("")
        self._ahead.forget()
        self._see(Restarted())

    async def _claim_loop(self) -> None:
        rules, rang = self._ctx.rules, True
        while True:
            # Cleared first: a ring during the claims below must not be lost.
            self._bell.clear()
            if rang or not self._clearing.is_clear or await self._worth_a_look():
                await self._look()
            self._look_ahead()
            # A job that was left to a warmer server is ours if that one does not take it.
            left = self._claiming.was_left()
            rang = not self._seat.sleep(free=self._may_claim() or self._extra.is_open) or await heard(
                self._bell, rules.warm_wait_seconds if left else rules.dispatch_poll_seconds
            )
            rang = rang or left

    async def _look(self) -> None:
        with self._seat.looking():
            await self._adopt()
            if await self._recalled():
                while self._may_claim() and await self._cleared() and await self._begin_one():
                    pass
                await self._begin_extra()
            await self._seat.looked()

    async def _worth_a_look(self) -> bool:
        now, seconds = asyncio.get_running_loop().time(), self._ctx.rules.dispatch_poll_seconds / 2
        has_place = self._may_claim() or self._extra.is_open
        return has_place and await self._seat.worth_a_look(now, seconds)

    def _look_ahead(self) -> None:
        driving = self._driving
        if not driving.held or not self._condition.answers or self._stopping:
            return
        if self._clearing.recalled and not driving.unclaimed and self._seat.few:
            self._ahead.look()

    def _may_claim(self) -> bool:
        driving = self._driving
        # Before it is claimed, what was sent is still the first that is queued.
        if self._stopping or driving.unclaimed or driving.behind >= BEHIND_MAX:
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

    async def _recalled(self) -> bool:
        """Whether it is known what was left on the server; what was made ready and sent before is claimed."""
        if self._clearing.recalled:
            return True
        if not self._condition.answers:
            return False
        try:
            found = await self._clearing.recall()
        except ComfyError as error:
            self._trouble(str(error))
            return False
        if found is None:
            self._clearing.recalled = True
            return True
        # It was sent when those before it had left.
        for attempt in self._driving.all:
            self._driving.leave(attempt)
        match await self._claiming.of_ready(found, self._driving.left):
            case Late.CLAIMED:
                self._start(replace(found, ready=False))
            case Late.GONE:
                self._link.abandoned.add(found.prompt_id)
            case Late.NOT_OURS:
                return False
        self._clearing.recalled = True
        return True

    async def _cleared(self) -> bool:
        memory = self._clearing.free_first
        try:
            cleared = await self._clearing.cleared()
        except ComfyError as error:
            self._trouble(str(error))
            return False
        if memory and cleared:
            self._condition.warmed("")
        return cleared

    async def _begin_one(self) -> bool:
        """Give an open slot what is ready for it, else the first job in order; whether there was one."""
        # Before a job is chosen: a better one that comes meanwhile is the one that is sent.
        if self._condition.answers and not await self._link.connected_within(CONNECT_SECONDS):
            self._log.warning("channel.not_connected")
        prepared = await self._ahead.take()
        if not self._may_claim():
            return False
        if prepared is not None:
            self._start_ready(prepared)
            return True
        self._following.set()
        attempt = await self._claiming.first_in_order()
        if attempt is not None:
            self._start(attempt)
        return attempt is not None

    async def _begin_extra(self) -> None:
        """Let the first job in order wait on the server behind what runs there, where that is wanted."""
        if self._stopping or not self._extra.is_open or not await self._cleared():
            return
        await self._ahead.take()
        try:
            attempt = await self._extra.claimed()
        except ComfyError as error:
            self._trouble(str(error))
            return
        if attempt is not None:
            self._start(attempt)

    async def _claim_ready(self, attempt: ClaimedAttempt, left: Collection[Fence]) -> bool:
        came = await self._claiming.of_ready(attempt, left)
        # The next one can be made ready now.
        self._bell.set()
        if came is Late.NOT_OURS:
            # If the server is ours again, what was sent is looked for like that of another process.
            self._clearing.recalled = False
            raise NoLongerOurs
        return came is Late.CLAIMED

    def _start_ready(self, prepared: Prepared) -> None:
        attempt, sent = prepared.attempt, self._following
        claim = partial(self._claim_ready, attempt, self._driving.left)
        self._start(attempt, Beforehand(prepared.staged, prepared.brought, claim, sent))

    def _start(self, attempt: ClaimedAttempt, beforehand: Beforehand | None = None) -> None:
        task = asyncio.create_task(self._drive(attempt, beforehand), name=f"attempt {attempt.fence.job_id}")
        self._driving.begin(attempt, task)
        self._count()
        if not attempt.adopted:
            self._condition.warmed(attempt.models or self._condition.status.warm)
        task.add_done_callback(lambda done: self._finished(attempt, done))

    async def _drive(self, attempt: ClaimedAttempt, beforehand: Beforehand | None) -> Outcome | None:
        return await drive(
            self._ctx,
            self._link,
            attempt,
            trouble=self._trouble,
            stuck=lambda reason: self._see(Stuck(reason)),
            left=lambda: self._left(attempt),
            stands=partial(self._stands, attempt),
            inputs=self._ahead.inputs_of,
            beforehand=beforehand,
        )

    def _count(self) -> None:
        self._condition.holds(len(self._driving.held))

    def _stands(self, attempt: ClaimedAttempt, how: Stands) -> None:
        self._driving.stand(attempt, how)
        if how is Stands.RUNS and self.server.ahead:
            self._bell.set()

    def _left(self, attempt: ClaimedAttempt) -> asyncio.Event | None:
        """The prompt ended well: the server may get the next one while what this one made is fetched.

        What is ready is sent now, or after one look where that is due; what is set when it was is given.
        """
        if not self._driving.leave(attempt):
            return None
        self._count()
        self._bell.set()
        if not (self._clearing.is_clear and self._link.channel.connected and self._may_claim()):
            return None
        following = self._following = asyncio.Event()
        if prepared := self._ahead.take_now():
            self._start_ready(prepared)
        elif not self._ahead.has_ready:
            return None
        return following

    def _finished(self, attempt: ClaimedAttempt, done: asyncio.Task[Outcome | None]) -> None:
        self._driving.end(attempt, done, over=not done.cancelled())
        self._count()
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
        self._forgetting.begin(attempt.prompt_id)

    def _learn(self, outcome: Outcome) -> None:
        """What an attempt's end says about the server."""
        match outcome:
            case Succeeded():
                self._see(JobSucceeded())
            case Failed(blame=blame, cause=cause):
                self._clearing.free_first |= CONSEQUENCES[blame].free_memory
                if blame is Blame.MISSING:
                    # It lists what it has not, or lost it: ask again.
                    self._prober.look_now(at_abilities=True)
                self._see(JobBlamed(blame, cause.splitlines()[0] if cause else blame.value))
            case _:
                return
