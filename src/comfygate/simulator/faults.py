"""What can be made to go wrong, as a small typed set that tests switch on and off."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Literal

Outcome = int | Literal["close", "accept_then_close"]
"""A status to answer with; `close` the connection unheard; or do the work, then close without answering."""

HoldPoint = Literal["node", "history"]
"""Where a hold stops a run: before each node computes, or between execution_success and history."""


class SimulatedFailureError(Exception):
    """A node told to fail; `exception_type` is what the wire will name, `tips` what ComfyUI adds below."""

    def __init__(self, message: str, exception_type: str, tips: str = "") -> None:
        super().__init__(message)
        self.exception_type = exception_type
        self.tips = tips


@dataclass(slots=True)
class _RequestFault:
    path: str
    method: str | None
    outcome: Outcome
    times_left: int


@dataclass(slots=True)
class _NodeFault:
    message: str
    exception_type: str
    times_left: int | None


@dataclass(slots=True)
class Faults:
    """All switches; everything off at first."""

    _requests: list[_RequestFault] = field(default_factory=list)
    _nodes: dict[str, _NodeFault] = field(default_factory=dict)
    _held: set[HoldPoint] = field(default_factory=set)
    _hung: set[str | None] = field(default_factory=set)
    _releases: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def fail_next(self, path: str, outcome: Outcome, *, times: int, method: str | None) -> None:
        """The next `times` requests for `path` end in `outcome`."""
        self._requests.append(_RequestFault(path, method, outcome, times))

    def take(self, method: str, path: str) -> Outcome | None:
        """The outcome this request is to have, used up once."""
        for fault in self._requests:
            if fault.times_left > 0 and fault.path == path and fault.method in (None, method):
                fault.times_left -= 1
                return fault.outcome
        return None

    def error_on(self, class_type: str, message: str, exception_type: str, times: int | None) -> None:
        """Nodes of this class raise, `times` times (None: until told otherwise)."""
        self._nodes[class_type] = _NodeFault(message, exception_type, times)

    def check_node(self, class_type: str) -> None:
        """Raise SimulatedFailureError if this class is to fail now."""
        fault = self._nodes.get(class_type)
        if fault is None or fault.times_left == 0:
            return
        if fault.times_left is not None:
            fault.times_left -= 1
        raise SimulatedFailureError(fault.message, fault.exception_type)

    def hold(self, point: HoldPoint) -> None:
        """Runs wait at this point."""
        self._held.add(point)
        self._wake()

    def hang(self, class_type: str | None) -> None:
        """Nodes of this class (None: all) never end their work; an interrupt lands after it, if ever."""
        self._hung.add(class_type)
        self._wake()

    def release(self) -> None:
        """End of every hold and hang."""
        self._held.clear()
        self._hung.clear()
        self._releases += 1
        self._wake()

    def clear(self) -> None:
        """Everything off."""
        self._requests.clear()
        self._nodes.clear()
        self.release()

    def is_held(self, point: HoldPoint) -> bool:
        """Whether runs wait at this point now."""
        return point in self._held

    async def until_not_hung(self, class_type: str) -> None:
        """Wait while nodes of this class hang."""
        while None in self._hung or class_type in self._hung:
            await self._next_change()

    async def until_next_release(self) -> None:
        """Wait for the next `release` or `clear`."""
        before = self._releases
        while self._releases == before:
            await self._next_change()

    async def until_released(self, point: HoldPoint) -> None:
        """Wait while `point` is held."""
        while point in self._held:
            await self._next_change()

    async def _next_change(self) -> None:
        await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
