"""One timer wakes whoever asked for it, once, and nobody before the time."""

from __future__ import annotations

import asyncio

from comfygate.gate.live import Live, StatusEvent
from comfygate.gate.pulse import Pulse

PATIENCE_SECONDS = 20.0


class Sleeper:
    """Notes when it was woken."""

    def __init__(self) -> None:
        self.woken: list[float] = []
        self.was = asyncio.Event()

    def wake(self) -> None:
        self.woken.append(asyncio.get_running_loop().time())
        self.was.set()


async def test_many_are_woken_each_not_before_its_time() -> None:
    pulse, now = Pulse(), asyncio.get_running_loop().time()
    sleepers = [Sleeper() for _ in range(200)]
    for number, one in enumerate(sleepers):
        pulse.at(one.wake, now + number % 5 / 100)
    async with asyncio.timeout(PATIENCE_SECONDS):
        for one in sleepers:
            await one.was.wait()
    assert all(one.woken[0] >= now + number % 5 / 100 for number, one in enumerate(sleepers))
    assert all(len(one.woken) == 1 for one in sleepers)
    assert not pulse


async def test_who_asks_again_is_woken_by_the_newer_time_and_who_left_is_not() -> None:
    pulse, now = Pulse(), asyncio.get_running_loop().time()
    later, gone, last = Sleeper(), Sleeper(), Sleeper()
    pulse.at(later.wake, now)
    pulse.at(later.wake, now + 0.02)
    pulse.at(gone.wake, now)
    pulse.leave(gone.wake)
    pulse.leave(gone.wake)
    pulse.at(last.wake, now + 0.03)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await last.was.wait()
    assert not gone.woken
    assert [at >= now + 0.02 for at in later.woken] == [True]


async def test_with_nobody_left_there_is_no_timer() -> None:
    pulse, one = Pulse(), Sleeper()
    pulse.at(one.wake, asyncio.get_running_loop().time() + 3600)
    pulse.leave(one.wake)
    assert pulse._timer is None


async def test_a_place_replaces_an_unread_place_and_nothing_else() -> None:
    live = Live(lambda: 0.0)
    with live.watch("j", "image") as watch:
        for place in (5, 4, 3):
            watch.put(StatusEvent("queued", place))
        watch.put(StatusEvent("queued", 0))
        watch.put(StatusEvent("running"))
        watch.put(StatusEvent("queued", 2, again=True))
        watch.put(StatusEvent("queued", 1))
        assert await watch.take() == [
            StatusEvent("queued", 3),
            StatusEvent("queued", 0),
            StatusEvent("running"),
            StatusEvent("queued", 2, again=True),
            StatusEvent("queued", 1),
        ]
        watch.poke()
        assert await watch.take() == []
