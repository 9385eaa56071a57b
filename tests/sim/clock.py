"""Virtual time: an event loop that never waits. When nothing is ready, the clock jumps to the next timer.

Everything a gateway process does runs in a context that names the process (`OWNER`). A process can be frozen:
from then on none of its code runs, until it is thawed, or for ever, which is a kill -9.
"""

from __future__ import annotations

import asyncio
import heapq
import selectors
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Freezable(Protocol):
    """A process, as the clock knows it. `held` are the steps that it would take next."""

    frozen: bool
    held: list[asyncio.Handle]


OWNER: ContextVar[Freezable | None] = ContextVar("owner", default=None)


class Deadlock(Exception):
    """Nothing is ready and no timer is set: what is waited for can never come."""


class _Clock(selectors.SelectSelector):
    """A selector that sees no file, ever; waiting only moves its time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Single-threaded and without real I/O, so that a run depends on its seed alone."""

    def __init__(self) -> None:
        self._clock = _Clock()
        super().__init__(self._clock)
        self.world = copy_context()
        # Tasks that are frozen for ever are referred to by nothing else.
        self.kept: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._keep)

    def time(self) -> float:
        return self._clock.now

    def _keep(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        **given: Any,
    ) -> asyncio.Task[T]:
        task: asyncio.Task[T] = asyncio.Task(coro, loop=loop, **given)
        self.kept.append(task)
        if len(self.kept) > 4096:
            self.kept = [kept for kept in self.kept if not kept.done()]
        return task

    def call_soon(  # type: ignore[override]  # typeshed ties the arguments to the callback
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        owner = (context if context is not None else copy_context()).get(OWNER)
        if owner is not None and owner.frozen:
            handle = asyncio.Handle(callback, args, self, context)
            owner.held.append(handle)
            return handle
        return super().call_soon(callback, *args, context=context)

    def call_soon_threadsafe(  # type: ignore[override]  # as above
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, _executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - the caller gets it, as from a thread
            future.set_exception(error)
        return future

    def later(self, seconds: float, callback: Callable[..., object], *args: Any) -> None:
        """Call after `seconds`, on behalf of the world outside, whatever process asks."""
        self.call_later(max(seconds, 0.0), callback, *args, context=self.world.copy())

    def freeze(self, owner: Freezable) -> None:
        """From now on nothing of `owner` runs: its ready steps and its timers are put aside."""
        owner.frozen = True
        ready: Any = self._ready  # type: ignore[attr-defined]
        for index, handle in enumerate(ready):
            if handle._context.get(OWNER) is owner and not handle._cancelled:
                owner.held.append(handle)
                # The loop counts what is ready before it runs it, so the place must stay taken.
                ready[index] = _nothing(self)
        timers: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        mine = [timer for timer in timers if timer._context.get(OWNER) is owner]  # type: ignore[attr-defined]
        if mine:
            taken = {id(timer) for timer in mine}
            timers[:] = [timer for timer in timers if id(timer) not in taken]
            heapq.heapify(timers)
            for timer in sorted(mine):
                timer._scheduled = False  # type: ignore[attr-defined]
                owner.held.append(timer)

    def thaw(self, owner: Freezable) -> None:
        """Let `owner` go on where it stood; timers that ran out meanwhile ring at once."""
        owner.frozen = False
        held, owner.held = owner.held, []
        for handle in held:
            if handle.cancelled():
                continue
            if isinstance(handle, asyncio.TimerHandle):
                handle._scheduled = True  # type: ignore[attr-defined]
                heapq.heappush(self._scheduled, handle)  # type: ignore[attr-defined]
            else:
                self._ready.append(handle)  # type: ignore[attr-defined]


def _nothing(loop: asyncio.AbstractEventLoop) -> asyncio.Handle:
    handle = asyncio.Handle(lambda: None, (), loop)
    handle.cancel()
    return handle


async def pause(seconds: float) -> None:
    """Let virtual time pass; real time does not."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    timer = loop.call_later(max(seconds, 0.0), _set, done)
    try:
        await done
    finally:
        timer.cancel()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
