"""One read answers all who ask at once, and no answer is older than its question."""

import asyncio
from collections.abc import Collection, Sequence

import pytest

from comfygate.gate.gathered import QUESTIONS_MAX, Gathered, Joined


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


@pytest.mark.parametrize(("rest", "reads"), [(0.0, [[1], [2], [3]]), (3.0, [[1], [2, 3]])])
async def test_while_it_rests_questions_gather(rest: float, reads: list[list[int]]) -> None:
    gathered, read = Gathered[int, int](rest), Reading()
    first = asyncio.create_task(gathered.ask(1, read))
    await turns()
    second = asyncio.create_task(gathered.ask(2, read))
    await turns()
    for _ in range(3):
        read.let.release()
    assert await first == 2
    assert await gathered.ask(3, read) == 6
    assert await second == 4
    assert read.asked == reads


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


class Writing:
    """A write that waits for the test, and leaves out what is negative."""

    def __init__(self) -> None:
        self.taken: list[list[int]] = []
        self.let = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> list[int | None]:
        self.taken.append(list(items))
        await self.let.acquire()
        if self.error is not None:
            raise self.error
        return [item * 2 if item >= 0 else None for item in items]


async def test_who_writes_during_a_write_is_in_the_next() -> None:
    joined, write = Joined[int, int](10, 100), Writing()
    tasks = [asyncio.create_task(joined.put(item, 1, write)) for item in (1, 1, -1, 2)]
    await turns()
    later = asyncio.create_task(joined.put(3, 1, write))
    for _ in range(2):
        write.let.release()
    assert await asyncio.gather(*tasks, later) == [2, 2, None, 4, 6]
    assert write.taken == [[1, 1, -1, 2], [3]]


async def test_a_write_takes_so_many_and_no_more_than_their_size() -> None:
    joined, write = Joined[int, int](3, 10), Writing()
    sizes = (4, 4, 4, 99, 1, 1, 1, 1)
    tasks = [asyncio.create_task(joined.put(place, size, write)) for place, size in enumerate(sizes)]
    for _ in range(len(sizes)):
        write.let.release()
    await asyncio.gather(*tasks)
    assert write.taken == [[0, 1], [2], [3], [4, 5, 6], [7]]


async def test_who_gives_up_before_the_write_is_left_out_of_it() -> None:
    joined, write = Joined[int, int](10, 100), Writing()
    first = asyncio.create_task(joined.put(1, 1, write))
    await turns()
    waiting = [asyncio.create_task(joined.put(item, 1, write)) for item in (2, 3)]
    await turns()
    for task in (first, waiting[0]):
        task.cancel()
    await turns()
    for _ in range(2):
        write.let.release()
    assert await waiting[1] == 6
    assert write.taken == [[1], [3]]


async def test_a_failed_write_fails_those_in_it_and_no_others() -> None:
    joined, write = Joined[int, int](10, 100), Writing()
    write.error = ValueError("away")
    failing = [asyncio.create_task(joined.put(item, 1, write)) for item in (1, 2)]
    await turns()
    later = asyncio.create_task(joined.put(3, 1, write))
    await turns()
    write.let.release()
    for task in failing:
        with pytest.raises(ValueError, match="away"):
            await task
    write.error = None
    write.let.release()
    assert await later == 6
