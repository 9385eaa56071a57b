"""A running gate: its loops, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import structlog

from comfygate.domain.errors import StoreTrouble
from comfygate.gate.across import Across, goodbye
from comfygate.gate.context import Context
from comfygate.gate.counting import keep_counting
from comfygate.gate.dispatcher import Connect, Dispatcher, let_go
from comfygate.gate.eta import tell_as_they_come
from comfygate.gate.janitor import keep_house
from comfygate.gate.knowing import Knowing
from comfygate.gate.positions import tell_positions
from comfygate.gate.relay import Subscriber, relay, tell_watchers
from comfygate.store.notify import call_out

LET_GO_SECONDS = 5.0
"""How long the last write of a stopping process may take."""
RESTART_SECONDS = 1.0
"""Before a loop that broke is begun again."""

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
async def running(ctx: Context, connect: Connect, *, dispatch: bool = True) -> AsyncIterator[Service]:
    """Run every loop for the length of the block; without `dispatch` this process gives no work to servers.

    Attempts still open at its end are left for adoption.
    """
    service = Service(ctx, Dispatcher(ctx, connect))
    across = Across(ctx, partial(tell_watchers, ctx))
    loops: dict[str, Callable[[], Awaitable[None]]] = {
        "relay": lambda: relay(ctx, service.subscribers, across.told),
        "janitor": lambda: keep_house(ctx),
        "counting": lambda: keep_counting(ctx),
        "catalogue": ctx.shelf.keep,
        "estimates": lambda: tell_as_they_come(ctx),
        **{f"positions {lane}": partial(tell_positions, ctx, lane) for lane in ctx.rules.lanes},
    }
    if dispatch:
        loops["dispatcher"] = service.dispatcher.run
    if ctx.listen_url is not None:
        loops["across"] = across.run
        loops["knowing"] = Knowing(ctx, connect, service.dispatcher.owns).run
    tasks = [asyncio.create_task(_forever(name, loop), name=name) for name, loop in loops.items()]
    try:
        yield service
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _let_go(ctx)


async def _let_go(ctx: Context) -> None:
    """Best effort: what is not let go runs out by itself."""
    try:
        async with asyncio.timeout(LET_GO_SECONDS):
            await ctx.store.run(let_go, ctx.owner)
            if ctx.listen_url is not None:
                await ctx.store.run(call_out, [goodbye(ctx.owner)])
    except (StoreTrouble, TimeoutError) as error:
        log.warning("leases.not_let_go", error=repr(error))


async def _forever(name: str, loop: Callable[[], Awaitable[None]]) -> None:
    """A loop that breaks is logged and begun again: accepted jobs must not wait for a restart."""
    while True:
        try:
            await loop()
        except Exception:
            log.exception("loop.broke", loop=name)
        await asyncio.sleep(RESTART_SECONDS)
