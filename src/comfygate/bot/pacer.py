"""Lets messages out one after another as Telegram's limits allow: answers and results before progress."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from enum import IntEnum

from comfygate.bot.limits import IN_FLIGHT_MAX, Limits


class Haste(IntEnum):
    """What goes first when not everything can go."""

    ANSWER = 0
    """Somebody pressed or wrote something and waits."""
    RESULT = 1
    """A job ended."""
    PROGRESS = 2
    """A job moved on."""
    BROADCAST = 3


@dataclass(slots=True, eq=False)
class _Waiter:
    chat_id: int
    cost: int
    turn: asyncio.Event = field(default_factory=asyncio.Event)


class Pacer:
    """Turns to send, in order of haste, then of asking; `clock` in seconds."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._waiting: dict[Haste, deque[_Waiter]] = {haste: deque() for haste in Haste}
        self._more = asyncio.Event()
        self._in_flight = 0

    def done(self) -> None:
        """Who had a turn has used it: what was sent has arrived, or never will."""
        self._in_flight -= 1
        self._more.set()

    async def run(self) -> None:
        """Give turns until cancelled."""
        while True:
            self._more.clear()
            wait = self._round()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._more.wait()

    async def turn(self, chat_id: int, haste: Haste, cost: int = 1) -> None:
        """Wait until `cost` messages may go to the chat. Call `done` after: few may be under way at once."""
        waiter = _Waiter(chat_id, cost)
        self._waiting[haste].append(waiter)
        self._more.set()
        try:
            await waiter.turn.wait()
        except asyncio.CancelledError:
            if waiter.turn.is_set():
                self.done()
            else:
                self._waiting[haste].remove(waiter)
            raise

    def hold(self, seconds: float, chat_id: int | None = None) -> None:
        """Telegram asked to wait so long, with this chat or altogether."""
        self._limits.hold(chat_id, self._clock() + seconds)

    def _round(self) -> float | None:
        """Give every turn that can be given now; seconds until the next one, None if nobody waits."""
        now = self._clock()
        soonest: float | None = None
        for haste, queue in self._waiting.items():
            spare = haste >= Haste.PROGRESS
            # Who comes first in a chat goes first there: a result must not overtake what led to it.
            blocked: set[int] = set()
            for waiter in list(queue):
                if self._in_flight >= IN_FLIGHT_MAX:
                    return None
                if waiter.chat_id in blocked:
                    continue
                ready = self._limits.ready_at(waiter.chat_id, waiter.cost, now, spare=spare)
                if ready <= now:
                    self._limits.take(waiter.chat_id, waiter.cost, now)
                    queue.remove(waiter)
                    self._in_flight += 1
                    waiter.turn.set()
                    continue
                blocked.add(waiter.chat_id)
                soonest = ready if soonest is None else min(soonest, ready)
                if self._limits.chat_ready_at(waiter.chat_id, waiter.cost, now, spare=spare) <= now:
                    # The limit over all chats: nobody behind may take what this one waits for.
                    return ready - now
        return None if soonest is None else soonest - now


@contextlib.asynccontextmanager
async def pacing(pacer: Pacer) -> AsyncIterator[Pacer]:
    """Run the pacer for the length of the block."""
    task = asyncio.create_task(pacer.run(), name="telegram pacer")
    try:
        yield pacer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
