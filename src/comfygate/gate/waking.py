"""Wakes those who watch a few at a time, and first those whose job ended.

Thousands that are woken together all run before anything else does: each step of every job then waits for
all of them, and an end waits behind places in line that nobody reads any more.
"""

from __future__ import annotations

import asyncio

AT_ONCE = 32
"""So many are woken in one turn of the event loop."""


class Waking:
    """Sets events, paced."""

    def __init__(self) -> None:
        self._first: dict[asyncio.Event, None] = {}
        self._then: dict[asyncio.Event, None] = {}
        self._left = AT_ONCE
        self._turning = False

    def wake(self, ready: asyncio.Event, *, first: bool = False) -> None:
        """Set it now if few were woken in this turn of the loop, else soon; `first`: before those that are
        not."""
        if ready.is_set():
            return
        if self._left and not self._first and not self._then:
            self._left -= 1
            ready.set()
        elif first:
            self._then.pop(ready, None)
            self._first[ready] = None
        elif ready not in self._first:
            self._then[ready] = None
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._left = AT_ONCE
        for waiting in (self._first, self._then):
            while waiting and self._left:
                ready = next(iter(waiting))
                del waiting[ready]
                ready.set()
                self._left -= 1
        self._turning = self._left < AT_ONCE
        if self._turning:
            asyncio.get_running_loop().call_soon(self._turn)
