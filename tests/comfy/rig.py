"""A simulator with a client and a channel on it, graphs to run, and ways to wait for what watching tells."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web

from comfygate.comfy.channel import Channel, Reconnect
from comfygate.comfy.client import ComfyClient
from comfygate.comfy.events import Event, Finished, Vanished
from comfygate.comfy.wire import ServerAddress
from comfygate.simulator import Simulator

Graph = dict[str, dict[str, Any]]
WAIT_SECONDS = 10.0
SOON_SECONDS = 0.02
NEVER_SECONDS = 3600.0


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def picture_graph(prefix: str = "out", *, color: int = 0x102030) -> Graph:
    """Three nodes: a plain picture, inverted, saved."""
    return {
        "1": node("EmptyImage", width=8, height=8, batch_size=1, color=color),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix=prefix),
    }


def new_id() -> str:
    return str(uuid4())


@dataclass
class Rig:
    """What a test of this package needs, all on one simulator."""

    sim: Simulator
    session: aiohttp.ClientSession
    client: ComfyClient
    channel: Channel
    statuses: list[int] = field(default_factory=list)

    async def connected(self) -> str:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.channel.wait_connected()


@asynccontextmanager
async def running(task: Awaitable[Any]) -> AsyncIterator[asyncio.Future[Any]]:
    """`task` in the background, cancelled at the end; what it raised otherwise is raised here."""
    future = asyncio.ensure_future(task)
    try:
        yield future
    finally:
        future.cancel()
        with suppress(asyncio.CancelledError):
            await future


@asynccontextmanager
async def rig(*, connect: bool = True, **simulator: Any) -> AsyncIterator[Rig]:
    """A running simulator and, with `connect`, a channel that stays on it."""
    async with Simulator(**simulator) as sim, aiohttp.ClientSession() as session:
        address = ServerAddress(sim.url)
        statuses: list[int] = []
        channel = make_channel(address, session, on_status=statuses.append)
        client = ComfyClient(address, session=session)
        made = Rig(sim, session, client, channel, statuses)
        if not connect:
            yield made
            return
        async with running(channel.run()):
            await made.connected()
            yield made


def make_channel(
    address: ServerAddress, session: aiohttp.ClientSession, on_status: Callable[[int], None] | None = None
) -> Channel:
    return Channel(
        address,
        session=session,
        rng=random.Random(7),  # noqa: S311 - jitter, not a secret
        reconnect=Reconnect(first_seconds=0.001, longest_seconds=0.01),
        on_status=on_status,
    )


@dataclass
class Told:
    """Events of one watch as they came; a test may wait for one."""

    events: list[Event] = field(default_factory=list)
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, events: AsyncGenerator[Event, None]) -> None:
        async with aclosing(events) as stream:
            async for event in stream:
                self.events.append(event)
                self._grown.set()

    async def until(self, kind: type[Event]) -> Event:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                self._grown.clear()
                await self._grown.wait()

    async def end(self) -> Finished | Vanished:
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                match self.events:
                    case [*_, Finished() | Vanished() as last]:
                        return last
                    case _:
                        self._grown.clear()
                        await self._grown.wait()

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


async def drained(events: AsyncGenerator[Event, None]) -> list[Event]:
    """All events of a watch that ends by itself."""
    told = Told()
    async with asyncio.timeout(WAIT_SECONDS):
        await told.follow(events)
    return told.events


async def content(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def odd_server(routes: Iterable[tuple[str, str, Handler]], prefix: str = "") -> AsyncIterator[str]:
    """A server that answers as told, for what no ComfyUI says; its URL."""
    app = web.Application(client_max_size=0)
    for method, path, handler in routes:
        app.router.add_route(method, prefix + path, handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
    finally:
        await runner.cleanup()


def says(data: Any, status: int = 200) -> Handler:
    """A handler with one JSON answer."""

    async def handle(_request: web.Request) -> web.Response:
        return web.json_response(data, status=status)

    return handle


@asynccontextmanager
async def client_of(url: str, **how: Any) -> AsyncIterator[ComfyClient]:
    async with aiohttp.ClientSession() as session:
        yield ComfyClient(ServerAddress(url), session=session, **how)
