"""Those who watch are woken a few at a time, so that others get their turn, and the ends are told first."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from comfygate.gate.live import Live, StatusEvent
from comfygate.gate.waking import AT_ONCE, Waking

PATIENCE_SECONDS = 20.0


async def test_few_are_woken_at_once_and_the_others_in_the_next_turns() -> None:
    waking, events = Waking(), [asyncio.Event() for _ in range(3 * AT_ONCE)]
    counts, done, loop = list[int](), asyncio.Event(), asyncio.get_running_loop()

    def count_each_turn() -> None:
        counts.append(sum(event.is_set() for event in events))
        if counts[-1] == len(events):
            done.set()
        else:
            loop.call_soon(count_each_turn)

    for event in events:
        waking.wake(event)
    count_each_turn()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await done.wait()
    assert counts[0] == AT_ONCE
    assert all(later - now <= AT_ONCE for now, later in pairwise(counts))


async def test_after_a_pause_there_is_no_wait() -> None:
    waking, last, loop = Waking(), asyncio.Event(), asyncio.get_running_loop()
    for _ in range(AT_ONCE):
        waking.wake(asyncio.Event())
    waking.wake(last)
    assert not last.is_set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await last.wait()
        while waking._turning:
            turned = asyncio.Event()
            loop.call_soon(turned.set)
            await turned.wait()
    one = asyncio.Event()
    waking.wake(one)
    assert one.is_set()


async def test_an_end_is_told_before_the_places_that_wait() -> None:
    live, order = Live(lambda: 0.0), list[str]()
    watching, over = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def follow(job: str) -> None:
        with live.watch(job, "image") as watch:
            watching.release()
            while True:
                for event in await watch.take():
                    assert isinstance(event, StatusEvent)
                    order.append(event.status)
                    if event.ends:
                        over.release()
                        return

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        jobs = ["late"] * 3 * AT_ONCE + ["over"] * AT_ONCE
        for job in jobs:
            group.create_task(follow(job))
        for _ in jobs:
            await watching.acquire()
        live.publish("late", StatusEvent("queued", 2))
        live.publish("over", StatusEvent("queued", 1))
        live.publish("over", StatusEvent("succeeded"))
        for _ in range(AT_ONCE):
            await over.acquire()
        told = order.copy()
        live.publish("late", StatusEvent("succeeded"))
    assert "queued" in order[told.index("succeeded") :]
    assert order.count("succeeded") == len(jobs)
