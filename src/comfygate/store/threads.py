"""Threads that do the store's work, and the way of their answers back to the event loop.

Answers that are there together come back together: a wake-up of the loop costs two system calls and a fight
for the interpreter, so a hundred that were committed at once are one.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Answers:
    """What comes back to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._ready: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._called = False

    def put(self, future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
        """Answer a future of the loop, from any thread."""
        if isinstance(failure, StopIteration):
            # No future takes one, and whoever waits would wait for ever.
            failure = RuntimeError(f"a store function ran out of an iterator: {failure!r}")
        # Noted before the look at `_called`, and taken after it was cleared: none is left behind.
        self._ready.append((future, result, failure))
        if not self._called:
            self._called = True
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                log.debug("store.nobody_waits")  # the loop is closed

    def _deliver(self) -> None:
        self._called = False
        while self._ready:
            future, result, failure = self._ready.popleft()
            if future.done():
                continue  # whoever asked has given up
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)


@dataclass(frozen=True, slots=True)
class Intent(Generic[T]):
    """Work that somebody waits for."""

    work: T
    future: asyncio.Future[Any]
    answers: Answers

    @property
    def given_up(self) -> bool:
        """Whether nobody waits any more. Once it was begun this changes nothing."""
        return self.future.cancelled()

    def answer(self, result: Any, failure: BaseException | None = None) -> None:
        """Say what came of it."""
        self.answers.put(self.future, result, failure)


class Intents(Generic[T]):
    """Work handed from event loops to threads."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Intent[T] | None] = queue.SimpleQueue()
        self._answers: Answers | None = None

    def put(self, work: T) -> asyncio.Future[Any]:
        """Hand work over; await what it comes to."""
        loop, answers = asyncio.get_running_loop(), self._answers
        if answers is None or answers.loop is not loop:
            answers = self._answers = Answers(loop)
        future = loop.create_future()
        self._waiting.put(Intent(work, future, answers))
        return future

    def end(self) -> None:
        """Nothing comes after what is waiting now."""
        self._waiting.put(None)

    def take(self, most: int) -> list[Intent[T]]:
        """Wait for work, and take up to `most` of what is there; empty at the end, for every thread."""
        found: list[Intent[T]] = []
        waiting = self._waiting.get()
        while waiting is not None:
            if not waiting.given_up:
                found.append(waiting)
            if len(found) == most:
                return found
            try:
                waiting = self._waiting.get(block=not found)
            except queue.Empty:
                return found
        self._waiting.put(None)
        return found

    def take_more(self, most: int) -> list[Intent[T]]:
        """Take up to `most` of what is there, without waiting."""
        found: list[Intent[T]] = []
        while len(found) < most:
            try:
                waiting = self._waiting.get(block=False)
            except queue.Empty:
                break
            if waiting is None:
                self._waiting.put(None)
                break
            if not waiting.given_up:
                found.append(waiting)
        return found


class Crew(Generic[T]):
    """Threads that do one piece of work each at a time."""

    def __init__(self, count: int, name: str, do: Callable[[T], Any]) -> None:
        self._intents: Intents[T] = Intents()
        self._do = do
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, work: T) -> asyncio.Future[Any]:
        """Have it done; await what it comes to."""
        return self._intents.put(work)

    async def close(self) -> None:
        """Finish what is waiting, then end the threads."""
        self._intents.end()
        for thread in self._threads:
            await asyncio.to_thread(thread.join)

    def _work(self) -> None:
        while taken := self._intents.take(1):
            for intent in taken:
                try:
                    result = self._do(intent.work)
                except BaseException as error:  # noqa: BLE001 - whoever waits gets it
                    intent.answer(None, error)
                else:
                    intent.answer(result)
