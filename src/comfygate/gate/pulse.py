"""One timer for all who wait for something that may not come, however many they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

GRAIN_SECONDS = 0.25
"""Between two rounds at least; so much later than it asked somebody may be woken."""


class Pulse:
    """Wakes each when it asked for it."""

    def __init__(self) -> None:
        self._due: dict[Callable[[], None], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._round_at = float("-inf")

    def __len__(self) -> int:
        return len(self._due)

    def at(self, wake: Callable[[], None], when: float) -> None:
        """Call `wake` once, at `when` by the event loop's clock or soon after; it asks for one time only."""
        self._due[wake] = when
        if self._timer is None or when < self._timer.when():
            self._set(when)

    def leave(self, wake: Callable[[], None]) -> None:
        """It is not to be called any more."""
        self._due.pop(wake, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        when = max(when, self._round_at + GRAIN_SECONDS)
        self._timer = asyncio.get_running_loop().call_at(when, self._round)

    def _round(self) -> None:
        self._timer = None
        now = self._round_at = asyncio.get_running_loop().time()
        for wake in [wake for wake, when in self._due.items() if when <= now]:
            del self._due[wake]
            wake()
        if self._due and self._timer is None:
            self._set(min(self._due.values()))
