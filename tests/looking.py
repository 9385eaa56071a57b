"""Looking again and again at what rings no bell.

Most of what a test waits for is a signal: an event, a line of a log, a frame. Some things only show in a
table, a folder or a field. Those are looked at again when the event loop has done something and has nothing
more to do; what other processes do is not heard here, and looked at every TICK_SECONDS.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

TICK_SECONDS = 0.02
BUSY_TURNS = 100
"""A loop that always has something to do lets whoever looks go on after so many turns."""


class _Hearing:
    """A loop's selector, which tells those who look that something was heard and done."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._coming: list[asyncio.Future[None]] = []
        self._ripe: list[asyncio.Future[None]] = []
        self._turns = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def wait(self, looking: asyncio.Future[None]) -> None:
        self._coming.append(looking)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        idle = timeout is None or timeout > 0
        self._turns += 1
        if self._ripe and (idle or self._turns >= BUSY_TURNS):
            for looking in self._ripe:
                if not looking.done():
                    looking.set_result(None)
            self._ripe, idle, timeout = [], False, 0
        if self._coming and idle:
            timeout = TICK_SECONDS if timeout is None else min(timeout, TICK_SECONDS)
        found = self._selector.select(timeout)
        if self._coming:
            self._ripe += self._coming
            self._coming, self._turns = [], 0
        return found


async def before_the_next_look() -> None:
    """Let every other task do what it can; the caller's own timeout bounds it."""
    loop: Any = asyncio.get_running_loop()
    if not isinstance(loop._selector, _Hearing):
        loop._selector = _Hearing(loop._selector)
    looking = loop.create_future()
    loop._selector.wait(looking)
    await looking
