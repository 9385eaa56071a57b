"""A running gate: its loops, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from comfygate.gate.context import Context
from comfygate.gate.dispatcher import Connect, Dispatcher
from comfygate.gate.janitor import keep_house
from comfygate.gate.positions import tell_positions
from comfygate.gate.relay import Subscriber, relay

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Service:
    """The loops of one process. `subscribers` hear everything the outbox has to tell, durably."""

    ctx: Context
    dispatcher: Dispatcher
    subscribers: list[Subscriber] = field(default_factory=list)

    async def drain(self, hurry: asyncio.Event) -> bool:
        """Claim nothing more and wait for what runs, up to `stop_seconds` or until `hurry`.

        False if something still runs; it is left for adoption.
        """
        waiting = asyncio.create_task(self.dispatcher.drained())
        hurrying = asyncio.create_task(hurry.wait())
        done, _ = await asyncio.wait(
            {waiting, hurrying},
            timeout=self.ctx.rules.stop_seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        for task in (waiting, hurrying):
            task.cancel()
        await asyncio.gather(waiting, hurrying, return_exceptions=True)
        return waiting in done


@asynccontextmanager
async def running(ctx: Context, connect: Connect) -> AsyncIterator[Service]:
    """Run every loop for the length of the block. Attempts still open at its end are left for adoption."""
    service = Service(ctx, Dispatcher(ctx, connect))
    tasks = [
        asyncio.create_task(service.dispatcher.run(), name="dispatcher"),
        asyncio.create_task(relay(ctx, service.subscribers), name="relay"),
        asyncio.create_task(keep_house(ctx), name="janitor"),
        *(
            asyncio.create_task(tell_positions(ctx, lane), name=f"positions {lane}")
            for lane in ctx.rules.lanes
        ),
    ]
    for task in tasks:
        task.add_done_callback(_say_if_broken)
    try:
        yield service
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _say_if_broken(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("loop.ended", loop=task.get_name(), error=repr(error))
