"""Looks are shared by who asks at once, and no answer is older than its question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from comfygate.gate.looks import Key, Looks

KEY: Key = ("job", "ann")


async def asked(looks: Looks[int], look: Callable[[], Awaitable[int]], times: int) -> list[asyncio.Task[int]]:
    """So many ask; returns when the last of them has."""
    all_asked, left = asyncio.Event(), iter(range(times - 1, -1, -1))

    async def ask() -> int:
        if next(left) == 0:
            all_asked.set()
        return await looks.now(KEY, look)

    tasks = [asyncio.create_task(ask()) for _ in range(times)]
    await all_asked.wait()
    return tasks


async def test_those_who_ask_at_once_share_one_look_that_began_after_them() -> None:
    looks: Looks[int] = Looks()
    begun: list[asyncio.Future[int]] = []
    more = asyncio.Event()

    async def look() -> int:
        begun.append(asyncio.get_running_loop().create_future())
        more.set()
        return await begun[-1]

    first = await asked(looks, look, 100)
    await more.wait()
    more.clear()
    later = await asked(looks, look, 100)
    assert len(begun) == 1, "the second look waits for the first"
    begun[0].set_result(1)
    await more.wait()
    begun[1].set_result(2)
    assert await asyncio.gather(*first) == [1] * 100
    assert await asyncio.gather(*later) == [2] * 100, "what they are told began after they asked"
    assert len(begun) == 2
    assert looks.lately(KEY, 60) == 2
    assert looks.lately(("other", None), 60) is None


async def test_who_stops_asking_and_what_breaks_hold_up_nobody() -> None:
    looks: Looks[int] = Looks()
    go = asyncio.Event()

    async def breaks() -> int:
        await go.wait()
        raise LookupError

    async def answers() -> int:
        return 3

    one, two = await asked(looks, breaks, 2)
    one.cancel()
    go.set()
    with pytest.raises(LookupError):
        await two
    assert await looks.now(KEY, answers) == 3
