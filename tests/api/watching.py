"""Watches a job's live events beside what the test does, and waits for what it wants to see in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.api.house import PATIENCE_SECONDS, Client, Event, places


@dataclass(slots=True)
class Watcher:
    """Everything one watcher was told so far."""

    events: list[Event] = field(default_factory=list)
    ended: bool = False
    _grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def places(self) -> list[int]:
        """Every place in line it was told."""
        return places(self.events)

    @property
    def statuses(self) -> list[str]:
        """Every status it was told, repetitions left out."""
        told = [body["status"] for name, body in self.events if name == "status"]
        return [status for n, status in enumerate(told) if n == 0 or told[n - 1] != status]

    async def until(self, wanted: Callable[[Watcher], bool]) -> None:
        """Wait until `wanted` holds. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE_SECONDS), self._grown:
            await self._grown.wait_for(lambda: wanted(self))

    async def follow(self, client: Client, job_id: str) -> None:
        """Read the stream to its end."""
        async for event in client.events(job_id):
            async with self._grown:
                self.events.append(event)
                self._grown.notify_all()
        async with self._grown:
            self.ended = True
            self._grown.notify_all()


@asynccontextmanager
async def watching(client: Client, *job_ids: str) -> AsyncIterator[list[Watcher]]:
    """Watch jobs for the length of the block."""
    watchers = [Watcher() for _ in job_ids]
    tasks = [
        asyncio.create_task(watcher.follow(client, job_id))
        for watcher, job_id in zip(watchers, job_ids, strict=True)
    ]
    try:
        yield watchers
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ended(*watchers: Watcher) -> None:
    """Wait until every stream has ended."""
    for watcher in watchers:
        await watcher.until(lambda seen: seen.ended)
