"""Which free servers look for work when a lane's bell rings: one, and by what comes of that two more, and so
on.

With a thousand servers behind one lane, a bell that wakes them all costs a thousand looks for one job. Here a
ring wakes one free server of the lane. When it has looked and work still waits, whether it found something or
was the wrong one for what is there, it wakes two that have not looked since the ring; so all have looked soon
if need be, and a single job costs a few looks. Nothing depends on it: every server also polls.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

FEW = 8
"""Where more servers share a lane, which of them gets the next job is anybody's guess, and nothing is brought
there ahead."""
WOKEN_NEXT = 2
"""So many are woken by each that looked while work waits."""


@dataclass(slots=True)
class _Line:
    """The servers of one lane: all, and of those that are free and asleep, who has looked since the last
    ring."""

    rings: int = 0
    empty_until: float = float("-inf")
    """So long, and until the next ring, nothing is known to wait."""
    seats: dict[Seat, None] = field(default_factory=dict)
    fresh: dict[Seat, None] = field(default_factory=dict)
    stale: dict[Seat, None] = field(default_factory=dict)


class Rota:
    """The servers of this process, by the bells of their lanes."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}

    def join(
        self, topics: Collection[str], wake: Callable[[], None], waits: Callable[[], Awaitable[bool]]
    ) -> Seat:
        """A server's seat. `wake` has it look; `waits` asks whether there is any work in its lanes."""
        return Seat([self._lines.setdefault(topic, _Line()) for topic in topics], wake, waits)

    def ring(self, topic: str) -> None:
        """There may be work. A server that has a lane alone is woken even while it is busy."""
        line = self._lines.get(topic)
        if line is None:
            return
        line.rings += 1
        line.empty_until = float("-inf")
        if len(line.seats) == 1:
            for seat in line.seats:
                seat.wake()
            return
        line.fresh.update(line.stale)
        line.stale.clear()
        _wake(line, 1)

    def knock(self, topic: str) -> None:
        """Work is being written down. Where one server has the lane and is free, it may look at once."""
        line = self._lines.get(topic)
        if line is not None and len(line.seats) == 1:
            for seat in line.seats:
                if seat in line.stale or seat in line.fresh:
                    seat.wake()


def _wake(line: _Line, most: int) -> None:
    for seat in list(_first(line, most)):
        seat.stand()
        seat.wake()


def _first(line: _Line, most: int) -> Iterator[Seat]:
    for _, seat in zip(range(most), line.fresh, strict=False):
        yield seat


class Seat:
    """One server: asleep and free, asleep and busy, or looking."""

    def __init__(
        self, lines: list[_Line], wake: Callable[[], None], waits: Callable[[], Awaitable[bool]]
    ) -> None:
        self._lines, self.wake, self._waits = lines, wake, waits
        self._rings = [line.rings for line in lines]
        for line in lines:
            line.seats[self] = None

    def leave(self) -> None:
        """The server is no longer ours; who it was woken for is looked after by another."""
        for line in self._lines:
            line.seats.pop(self, None)
        self.stand()
        self._pass_on()

    def stand(self) -> None:
        """It is awake."""
        for line in self._lines:
            line.fresh.pop(self, None)
            line.stale.pop(self, None)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """The server looks for work. What breaks the look off passes the turn on."""
        self.stand()
        self._rings = [line.rings for line in self._lines]
        try:
            yield
        except BaseException:
            self._pass_on()
            raise

    async def looked(self) -> None:
        """Have others look too, if there are any that did not, and work waits."""
        if any(line.fresh for line in self._lines) and await self._waits():
            self._pass_on()

    async def worth_a_look(self, now: float, seconds: float) -> bool:
        """For a server that only polls: whether work waits. One asks for all that poll within `seconds`."""
        if all(now < line.empty_until for line in self._lines):
            return False
        rings = [line.rings for line in self._lines]
        if await self._waits():
            return True
        for line, heard in zip(self._lines, rings, strict=True):
            if line.rings == heard:
                line.empty_until = now + seconds
        return False

    @property
    def few(self) -> bool:
        """Whether it shares no lane with more than FEW servers of this process, itself included."""
        return all(len(line.seats) <= FEW for line in self._lines)

    def sleep(self, *, free: bool) -> bool:
        """It waits now, `free` to take work or not. False if a bell rang while it looked: then it must look
        again."""
        if free and any(
            line.rings != heard and len(line.seats) > 1
            for line, heard in zip(self._lines, self._rings, strict=True)
        ):
            return False
        if free:
            for line in self._lines:
                line.stale[self] = None
        return True

    def _pass_on(self) -> None:
        for line in self._lines:
            _wake(line, WOKEN_NEXT)
