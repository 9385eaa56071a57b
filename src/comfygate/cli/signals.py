"""Hears the signals that ask a program to stop, inside its event loop, on every system."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def stop_signals(heard: Callable[[], None]) -> Iterator[None]:
    """Call `heard` inside the running loop at every SIGINT and SIGTERM (Windows: also Ctrl-Break)."""
    loop = asyncio.get_running_loop()

    def from_outside(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(heard)

    wanted = [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGBREAK", signal.SIGTERM)]
    before = {number: signal.signal(number, from_outside) for number in dict.fromkeys(wanted)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def until_stopped(work: Awaitable[None]) -> None:
    """Run `work` until it ends by itself or a signal asks for the end. Raises what `work` raises."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(work)
    with stop_signals(stop.set):
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    if not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return
    await task
