"""What happened, in order, and a way to wait for it without sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MomentKind = Literal[
    "process-started", "restarted", "received", "started", "node", "finished", "request", "interrupted",
    "dequeued", "history-deleted",
]  # fmt: skip
WAIT_SECONDS = 10.0
MOMENTS_MAX = 100_000
"""Moments kept; beyond it the older half is forgotten."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it came, `/api` prefix removed from `path`; `json` is None for other bodies."""

    method: str
    path: str
    query: Mapping[str, str]
    json: Any


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked: the other end of the connection, its User-Agent, and the client_id it gave, if any."""

    peer: str
    agent: str
    client_id: str = ""

    def to_json(self) -> dict[str, str]:
        """As the journal file and GET /simulator/state write it."""
        return {"peer": self.peer, "agent": self.agent, "client_id": self.client_id}


@dataclass(frozen=True, slots=True)
class Moment:
    """`received` (queued), `started`, `node` (a node began), `finished` (history written), `request`.

    `interrupted`, `dequeued` and `history-deleted` name a prompt that was really touched, and by whom.
    """

    kind: MomentKind
    prompt_id: str = ""
    node_id: str = ""
    request: Request | None = None
    origin: Origin | None = None


@dataclass(slots=True)
class Journal:
    """Every moment, up to MOMENTS_MAX; waiters wake on each new one, listeners hear each first."""

    moments: list[Moment] = field(default_factory=list)
    listeners: list[Callable[[Moment], None]] = field(default_factory=list)
    _forgotten: int = 0
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, moment: Moment) -> None:
        """Something happened."""
        for listener in self.listeners:
            listener(moment)
        self.moments.append(moment)
        if len(self.moments) > MOMENTS_MAX:
            self._forgotten += MOMENTS_MAX // 2
            del self.moments[: MOMENTS_MAX // 2]
        self._grown.set()
        self._grown = asyncio.Event()

    def requests(self) -> list[Request]:
        """All HTTP requests, in order of arrival."""
        return [moment.request for moment in self.moments if moment.request is not None]

    async def until(self, wanted: Callable[[Moment], bool], *, count: int, timeout_seconds: float) -> Moment:
        """The `count`-th moment wanted, past ones included; raises TimeoutError."""
        async with asyncio.timeout(timeout_seconds):
            seen, found = self._forgotten, 0
            while True:
                for moment in self.moments[max(0, seen - self._forgotten) :]:
                    found += wanted(moment)
                    if found == count:
                        return moment
                seen = self._forgotten + len(self.moments)
                await self._grown.wait()
