"""A bell wakes as many free servers of its lane as there may be work, and forgets none that should look."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

import pytest

from comfygate.gate.rota import WOKEN_NEXT, Rota, Seat


class House:
    """Servers on a rota, and a queue that is no more than a number of jobs by lane."""

    def __init__(self) -> None:
        self.rota = Rota()
        self.queued: dict[str, int] = {}
        self.woken: list[str] = []
        self.asked = 0
        self.unfit: set[str] = set()
        self.seats: dict[str, Seat] = {}
        self.lanes: dict[str, Collection[str]] = {}
        self.started: list[str] = []

    def server(self, name: str, *lanes: str, free: bool = True) -> None:
        async def waits() -> bool:
            self.asked += 1
            return any(self.queued.get(lane) for lane in lanes)

        self.lanes[name] = lanes
        self.seats[name] = self.rota.join(lanes, lambda: self.woken.append(name), waits)
        with self.seats[name].looking():
            pass
        self.seats[name].sleep(free=free)

    def submit(self, lane: str, count: int = 1) -> None:
        self.queued[lane] = self.queued.get(lane, 0) + count
        for _ in range(count):
            self.rota.ring(lane)

    async def look(self, name: str) -> None:
        """The server takes one job if it can."""
        seat, found = self.seats[name], False
        with seat.looking():
            for lane in self.lanes[name]:
                if not found and self.queued.get(lane) and name not in self.unfit:
                    self.queued[lane] -= 1
                    self.started.append(name)
                    found = True
            await seat.looked()
        if not seat.sleep(free=not found):
            self.woken.append(name)

    async def settle(self) -> int:
        """Until nobody is awake. Returns how many looks that took."""
        looks = 0
        while self.woken:
            looks += 1
            await self.look(self.woken.pop(0))
        return looks


@pytest.fixture
def house() -> House:
    return House()


def crowd(house: House, count: int, *lanes: str) -> list[str]:
    names = [f"{lanes[0]}-{number}" for number in range(count)]
    for name in names:
        house.server(name, *lanes)
    return names


async def test_one_job_wakes_one_free_server_and_not_a_thousand(house: House) -> None:
    crowd(house, 1_000, "image")
    house.submit("image")
    assert len(house.woken) == 1
    assert await house.settle() == 1
    assert len(house.started) == 1


async def test_many_jobs_that_rang_once_reach_every_free_server(house: House) -> None:
    """A lane that is resumed rings once, whatever waits there."""
    crowd(house, 1_000, "image")
    house.queued["image"] = 5_000
    house.rota.ring("image")
    assert await house.settle() == 1_000
    assert len(set(house.started)) == 1_000


async def test_a_server_that_cannot_take_the_job_passes_its_turn_on(house: House) -> None:
    names = crowd(house, 100, "image")
    house.unfit = set(names[:-1])
    house.submit("image")
    await house.settle()
    assert house.started == names[-1:]


async def test_a_job_that_nobody_can_take_ends_the_round(house: House) -> None:
    names = crowd(house, 100, "image")
    house.unfit = set(names)
    house.submit("image")
    assert await house.settle() == 100
    house.rota.ring("image")
    assert await house.settle() == 100, "everybody looks again after the next ring"


async def test_a_look_that_breaks_passes_its_turn_on(house: House) -> None:
    crowd(house, 10, "image")
    house.submit("image")
    first = house.woken.pop()
    with pytest.raises(RuntimeError), house.seats[first].looking():
        raise RuntimeError
    assert len(house.woken) == WOKEN_NEXT
    await house.settle()
    assert len(house.started) == 1


async def test_a_server_that_leaves_passes_its_turn_on(house: House) -> None:
    crowd(house, 10, "image")
    house.submit("image")
    house.seats[house.woken.pop()].leave()
    await house.settle()
    assert len(house.started) == 1


async def test_a_ring_during_a_look_is_not_lost(house: House) -> None:
    crowd(house, 2, "image")
    seat = house.seats["image-0"]
    house.seats["image-1"].stand()  # busy
    with seat.looking():
        await seat.looked()
        house.submit("image")
    assert not seat.sleep(free=True), "it looks again"


async def test_other_lanes_sleep_on(house: House) -> None:
    crowd(house, 5, "video")
    crowd(house, 5, "image", "video")
    house.submit("video", 6)
    await house.settle()
    assert len(house.started) == 6
    crowd(house, 3, "audio")
    house.submit("image")
    assert not any(name.startswith("audio") for name in house.woken)


async def test_a_busy_server_is_woken_only_where_it_has_its_lane_alone(house: House) -> None:
    house.server("sole", "audio", free=False)
    house.submit("audio")
    assert house.woken == ["sole"], "it makes the next job ready while this one runs"
    house.woken.clear()
    house.server("one", "image", free=False)
    house.server("two", "image", free=False)
    house.submit("image")
    assert house.woken == []


async def test_a_knock_wakes_who_has_its_lane_alone_and_is_free(house: House) -> None:
    house.server("busy", "audio", free=False)
    house.server("free", "video")
    crowd(house, 2, "image")
    for lane in ("audio", "image", "unknown"):
        house.rota.knock(lane)
    assert house.woken == []
    house.rota.knock("video")
    assert house.woken == ["free"]
    # It found nothing: the job is written down only now.
    assert await house.settle() == 1
    house.submit("video")
    assert await house.settle() == 1
    assert house.started == ["free"]


async def test_who_polls_asks_for_all(house: House) -> None:
    names = crowd(house, 100, "image")
    worth = [await house.seats[name].worth_a_look(1.0, 1.0) for name in names]
    assert (worth, house.asked) == ([False] * 100, 1)
    assert not await house.seats[names[0]].worth_a_look(2.0, 1.0)
    assert house.asked == 2, "what was found out counts for a while"
    house.submit("image")
    assert await house.seats[names[1]].worth_a_look(2.1, 1.0), "a ring ends it"


async def test_a_ring_while_one_asks_counts(house: House) -> None:
    asking = asyncio.Event()
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def waits() -> bool:
        asking.set()
        return await answer

    seat = house.rota.join(["image"], lambda: None, waits)
    house.server("other", "image")
    polling = asyncio.create_task(seat.worth_a_look(1.0, 1.0))
    await asking.wait()
    house.submit("image")
    answer.set_result(False)
    assert not await polling
    assert await house.seats["other"].worth_a_look(1.1, 1.0), "the answer was older than the ring"
