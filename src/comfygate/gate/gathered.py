"""One read for all who ask at the same time.

A question that comes while a read is on its way waits for the next one, which answers every question that
came meanwhile. No answer is older than its question, so nothing is kept and nothing can be stale.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

QUESTIONS_MAX = 256
"""Most questions that one read answers."""

K = TypeVar("K")
V = TypeVar("V")

Read = Callable[[Collection[K]], Awaitable[Mapping[K, V]]]


class Gathered(Generic[K, V]):
    """Questions of one kind. Equal keys ask the same."""

    def __init__(self) -> None:
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
        try:
            while self._waiting:
                keys = list(self._waiting)[:QUESTIONS_MAX]
                asked = {key: self._waiting.pop(key) for key in keys}
                try:
                    found = await read(keys)
                except Exception as error:  # noqa: BLE001 - whoever asked gets it
                    _answer(asked, {}, error)
                else:
                    _answer(asked, found, None)
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
