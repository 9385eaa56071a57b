"""One look serves all who ask at once, and none gets an answer that is older than its question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
Key = tuple[str, str | None]
KEPT_MAX = 2_000
"""Answers that are remembered; of more, the oldest are forgotten."""


class Looks(Generic[T]):
    """Looks by what they are at. The newest answers are remembered for `lately`."""

    def __init__(self) -> None:
        self._running: dict[Key, asyncio.Task[T]] = {}
        self._next: dict[Key, asyncio.Task[T]] = {}
        self._seen: dict[Key, tuple[float, T]] = {}

    async def now(self, key: Key, look: Callable[[], Awaitable[T]]) -> T:
        """What a look gives that begins after this call. Raises what the look raises."""
        task = self._next.get(key)
        if task is None:
            task = self._next[key] = asyncio.create_task(self._after(key, look))
            # Everybody who asked may have gone meanwhile.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(task)

    def lately(self, key: Key, seconds: float) -> T | None:
        """What a look gave that began within these seconds."""
        at, found = self._seen.get(key, (float("-inf"), None))
        return found if asyncio.get_running_loop().time() - at <= seconds else None

    async def _after(self, key: Key, look: Callable[[], Awaitable[T]]) -> T:
        """Once the look that is under way has ended: whoever asks until then asks for this one."""
        task = self._next[key]
        try:
            while (before := self._running.get(key)) is not None:
                await asyncio.wait({before})
        finally:
            del self._next[key]
        self._running[key] = task
        began = asyncio.get_running_loop().time()
        try:
            found = await look()
        finally:
            del self._running[key]
        if len(self._seen) >= KEPT_MAX:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = began, found
        return found
