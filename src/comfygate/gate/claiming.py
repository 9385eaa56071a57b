"""Claims for one server: the first job in order, or the one that was made ready and has been sent."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial

import structlog

from comfygate.domain.errors import Conflict
from comfygate.domain.fit import lacks
from comfygate.domain.job import Fence
from comfygate.gate.condition import Condition
from comfygate.gate.context import OUTBOX, Context, lease_name
from comfygate.gate.driving import Driving
from comfygate.gate.happenings import Claimed
from comfygate.gate.patience import surely_run
from comfygate.store import attempts as attempts_store
from comfygate.store import ready as ready_store
from comfygate.store.attempts import Slot
from comfygate.store.fit import Taste
from comfygate.store.ready import Late
from comfygate.store.rows import ClaimedAttempt, ServerRow

log = structlog.get_logger(__name__)


class Claiming:
    """Writes claims down, and what this server brings to them."""

    def __init__(self, ctx: Context, server: ServerRow, condition: Condition, driving: Driving) -> None:
        self._ctx = ctx
        self._server = server
        self._condition = condition
        self._driving = driving
        self._elsewhere: set[int] = set()
        self._good: set[str] = set()
        self._taste = Taste()

    def forget_fits(self) -> None:
        """The server can do other things now."""
        self._good.clear()

    def was_left(self) -> bool:
        """Whether since the last call a job was left to a server with its models warm."""
        left, self._taste.left = self._taste.left, False
        return left

    async def first_in_order(self, extra: int = 0) -> ClaimedAttempt | None:
        """Claim the first job in order for an open slot or one of `extra` places more; None when there is no
        job or no place."""
        ctx, driving, server = self._ctx, self._driving, self._server
        while True:
            taken = driving.held | self._elsewhere
            # The place more is not always the last one: what was in it may be what runs now.
            free = min(set(range(server.slots + server.ahead)) - taken, default=None)
            if free is None or len(taken) >= server.slots + extra:
                self._elsewhere = set()
                return None
            left, asked_at = driving.left, asyncio.get_running_loop().time()
            try:
                attempt = await ctx.store.run(
                    attempts_store.claim,
                    Slot(self._server.name, free, self._server.lanes),
                    owner=ctx.owner,
                    prompt_id=ctx.new_id(),
                    lease_ms=ctx.lease_ms,
                    now_ms=ctx.now_ms(),
                    under_lease=lease_name(self._server.name),
                    taste=self.taste(),
                    left=left,
                )
            except Conflict:
                # Another attempt has the slot; perhaps not the next one.
                self._elsewhere = await ctx.store.read(attempts_store.open_slots, self._server.name)
                if free not in self._elsewhere:
                    return None
                continue
            if attempt is not None:
                self._done(attempt, left, asked_at)
            return attempt

    async def of_ready(self, attempt: ClaimedAttempt, left: Collection[Fence]) -> Late:
        """Claim the job of a prompt that was sent. `left`: as `Driving.left`."""
        ctx, asked_at = self._ctx, asyncio.get_running_loop().time()
        # After trouble of the database the server may still be nobody else's: wait until it is ours again.
        await ctx.lease.held()
        try:
            came = await surely_run(
                ctx,
                ready_store.claim_ready,
                attempt,
                owner=ctx.owner,
                lease_ms=ctx.lease_ms,
                now_ms=ctx.now_ms(),
                under_lease=lease_name(self._server.name),
                left=left,
            )
        except Conflict as error:
            log.warning("attempt.not_claimed", job=attempt.fence.job_id, error=error.message)
            return Late.GONE
        if came is Late.CLAIMED:
            self._driving.claimed(attempt)
            self._done(attempt, left, asked_at)
        return came

    def _done(self, attempt: ClaimedAttempt, left: Collection[Fence], asked_at: float) -> None:
        self._driving.written(left)
        self._ctx.bells.ring(OUTBOX)
        self._ctx.happened(Claimed(attempt, asyncio.get_running_loop().time() - asked_at))

    @property
    def others_free(self) -> bool:
        """Whether another server of this process that has a lane of this one could begin a job now."""
        return self._ctx.fleet.idle.any_beside(self._server.name, self._server.lanes)

    def taste(self) -> Taste:
        """What this server can run and has warm, and what others beside it have."""
        rules, mine = self._ctx.rules, self._condition.status
        classes = self._ctx.fleet.classes.get(self._server.name)
        self._taste = Taste(
            judge=None if classes is None else partial(lacks, classes, rules.limits.graph_nodes_max),
            good=self._good,
            warm=mine.warm,
            window=rules.warm_window,
            overtakes_max=rules.warm_overtakes_max,
            leave_to_others=self._ctx.fleet.idle.warm_beside(self._server.name, self._server.lanes),
            leave_ms=int(rules.warm_wait_seconds * 1000),
            limits=rules.overtakes_max,
        )
        return self._taste
