"""One read answers all who ask at once, and no answer is older than its question."""

import asyncio
from collections.abc import Collection

import pytest

from comfygate.gate.gathered import QUESTIONS_MAX, Gathered


class Reading:
    """A read that waits for the test."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.let = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def __call__(self, keys: Collection[int]) -> dict[int, int]:
        self.asked.append(list(keys))
        await self.let.acquire()
        if self.error is not None:
            raise self.error
        return {key: key * 2 for key in keys if key >= 0}


async def turns(count: int = 3) -> None:
    """Let every task that can go on do so."""
    for _ in range(count):
        turn = asyncio.Event()
        asyncio.get_running_loop().call_soon(turn.set)
        await turn.wait()


async def test_who_asks_during_a_read_is_answered_by_the_next() -> None:
    gathered, read = Gathered[int, int](), Reading()
    first = asyncio.create_task(gathered.ask(1, read))
    await turns()
    others = [asyncio.create_task(gathered.ask(key, read)) for key in (1, 2, 2, -1)]
    await turns()
    read.let.release()
    assert await first == 2
    assert not any(other.done() for other in others), "that read began before they asked"
    read.let.release()
    assert await asyncio.gather(*others) == [2, 4, 4, None]
    assert read.asked == [[1], [1, 2, -1]]


async def test_a_failed_read_fails_those_it_was_for_and_no_others() -> None:
    gathered, read = Gathered[int, int](), Reading()
    read.error = ValueError("away")
    failing = [asyncio.create_task(gathered.ask(key, read)) for key in (1, 2)]
    await turns()
    later = asyncio.create_task(gathered.ask(3, read))
    await turns()
    read.let.release()
    for task in failing:
        with pytest.raises(ValueError, match="away"):
            await task
    read.error = None
    read.let.release()
    assert await later == 6


async def test_who_gives_up_holds_up_nobody_and_no_read_answers_too_many() -> None:
    gathered, read = Gathered[int, int](), Reading()
    asking = [asyncio.create_task(gathered.ask(key, read)) for key in range(QUESTIONS_MAX + 5)]
    await turns()
    asking[0].cancel()
    for _ in range(2):
        read.let.release()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [key * 2 for key in range(1, QUESTIONS_MAX + 5)]
    assert [len(keys) for keys in read.asked] == [QUESTIONS_MAX, 5]
