"""One read for all who ask at the same time, and one write for all who write.

A question that comes while a read is on its way waits for the next one, which answers every question that
came meanwhile. No answer is older than its question, so nothing is kept and nothing can be stale.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Generic, TypeVar

QUESTIONS_MAX = 256
"""Most questions that one read answers."""
REST_SECONDS_MAX = 0.25
"""Nobody waits longer than that, and a read, because of a rest."""

K = TypeVar("K")
V = TypeVar("V")

T = TypeVar("T")
R = TypeVar("R")

Read = Callable[[Collection[K]], Awaitable[Mapping[K, V]]]
Write = Callable[[Sequence[T]], Awaitable[Sequence[R | None]]]


class Gathered(Generic[K, V]):
    """Questions of one kind. Equal keys ask the same. After a read it rests for `rest` times as long as that
    took, while questions gather: many who ask all the time take no more than their part of a processor."""

    def __init__(self, rest: float = 0.0) -> None:
        self._rest = rest
        self._waiting: dict[K, list[asyncio.Future[V | None]]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def ask(self, key: K, read: Read[K, V]) -> V | None:
        """The answer, or None where `read` gave none for the key. Raises what `read` raised.

        Every caller's `read` must do the same: one of them is used for all.
        """
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all(read))
        return await future

    async def _read_all(self, read: Read[K, V]) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                keys = list(self._waiting)[:QUESTIONS_MAX]
                asked = {key: self._waiting.pop(key) for key in keys}
                began = loop.time()
                try:
                    found = await read(keys)
                except Exception as error:  # noqa: BLE001 - whoever asked gets it
                    _answer(asked, {}, error)
                else:
                    _answer(asked, found, None)
                if self._rest:
                    await asyncio.sleep(min(self._rest * (loop.time() - began), REST_SECONDS_MAX))
        finally:
            self._reading = None
            # Only where this task itself was ended.
            for futures in self._waiting.values():
                for future in futures:
                    future.cancel()
            self._waiting.clear()


def _answer(
    asked: Mapping[K, list[asyncio.Future[V | None]]], found: Mapping[K, V], error: Exception | None
) -> None:
    for key, futures in asked.items():
        for future in futures:
            if future.done():
                continue  # whoever asked has given up
            if error is None:
                future.set_result(found.get(key))
            else:
                future.set_exception(error)


class Joined(Generic[T, R]):
    """One write for all who write the same kind of thing at the same time: what comes while one is on its
    way waits for the next. No write takes more than `most` of them, nor more than `size_max` of their sizes
    together, unless one alone is larger."""

    def __init__(self, most: int, size_max: int) -> None:
        self._most, self._size_max = most, size_max
        self._waiting: deque[tuple[T, int, asyncio.Future[R | None]]] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def put(self, item: T, size: int, write: Write[T, R]) -> R | None:
        """What `write` gave at the item's place, None where it left the item alone. Raises what that raised.

        Every caller's `write` must do the same: one of them is used for all. Whoever is cancelled before the
        write begins is left out of it.
        """
        future: asyncio.Future[R | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, size, future))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(write))
        return await future

    async def _write_all(self, write: Write[T, R]) -> None:
        try:
            while taken := self._take():
                try:
                    found = await write([item for item, _ in taken])
                except Exception as error:  # noqa: BLE001 - whoever waits gets it
                    for _, future in taken:
                        if not future.done():
                            future.set_exception(error)
                else:
                    for (_, future), one in zip(taken, found, strict=True):
                        if not future.done():
                            future.set_result(one)
        finally:
            self._writing = None
            # Only where this task itself was ended.
            for _, _, future in self._waiting:
                future.cancel()
            self._waiting.clear()

    def _take(self) -> list[tuple[T, asyncio.Future[R | None]]]:
        taken: list[tuple[T, asyncio.Future[R | None]]] = []
        size = 0
        while self._waiting and len(taken) < self._most:
            item, its_size, future = self._waiting[0]
            if taken and size + its_size > self._size_max:
                break
            self._waiting.popleft()
            if not future.done():
                taken.append((item, future))
                size += its_size
        return taken
