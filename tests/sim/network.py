"""Between a gateway process and a simulated server: the real client and channel over a wire that fails.

Only the transport's one exchange and the socket's dialling are replaced; parsing, looking up, cancelling and
listening are the gateway's own code.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import aiohttp

from comfygate.comfy.address import ServerAddress
from comfygate.comfy.channel import Channel
from comfygate.comfy.client import ComfyClient
from comfygate.comfy.restart import RestartFailed
from comfygate.comfy.transport import Answer, Transport
from comfygate.comfy.wire import Timeouts
from comfygate.gate.run import Link
from tests.sim.clock import pause
from tests.sim.comfy_routes import handle
from tests.sim.comfy_server import SimServer

if TYPE_CHECKING:
    from tests.sim.process import Process

ANSWER_SECONDS = 10.0
CONNECT_SECONDS = 5.0
LATE_SECONDS_MAX = 0.9
"""How long a request may be on its way after its sender gave up: the gate counts on less than a second."""
HEARTBEAT_SECONDS = 20.0
NO_SESSION = cast("aiohttp.ClientSession", None)


class Broken(Exception):
    """No answer. `maybe`: what was asked may have happened."""

    def __init__(self, maybe: bool) -> None:
        super().__init__("broken")
        self.maybe = maybe


class SimTransport(Transport):
    """The real transport's judgement over a simulated exchange."""

    def __init__(self, address: ServerAddress, process: Process, server: SimServer) -> None:
        super().__init__(address, NO_SESSION, Timeouts(answer_seconds=ANSWER_SECONDS))
        self._process = process
        self._sim = server

    async def call(self, method: str, *segments: str, **given: Any) -> Answer:
        try:
            status, data = await self._answer(method, segments, given.get("query"), given.get("body"))
        except Broken as broken:
            raise self._unreachable(segments, "simulated", maybe_accepted=broken.maybe) from broken
        self._raise_for_trouble(status, segments)
        return Answer(status, data)

    async def get_bytes(self, *segments: str, bytes_max: int, seconds: float) -> bytes:
        answer = await self.call("GET", *segments)
        self.expect_success(answer.status, segments)
        body = json.dumps(answer.data).encode() if answer.data is not None else b"<html>"
        assert len(body) <= bytes_max, seconds
        return body

    @asynccontextmanager
    async def stream(
        self, *segments: str, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        try:
            status, data = await self._answer("GET", segments, query, None)
        except Broken as broken:
            raise self._unreachable(segments, "simulated", maybe_accepted=broken.maybe) from broken
        self._raise_for_trouble(status, segments)
        yield status, self._pieces(segments, data or b"")

    async def _pieces(self, segments: tuple[str, ...], data: bytes) -> AsyncIterator[bytes]:
        world = self._process.world
        for start in range(0, len(data), 20):
            if world.rng.random() < world.weather.broken / 4:
                raise self._unreachable(segments, "simulated", maybe_accepted=True)
            yield data[start : start + 20]

    async def _answer(self, method: str, path: tuple[str, ...], query: Any, body: Any) -> tuple[int, Any]:
        kind = f"{method} {path[0]}"
        await self._process.reach(kind, "before")
        fate = self._fate(kind)
        await self._departs(fate)
        answered: asyncio.Future[tuple[int, Any]] = asyncio.get_running_loop().create_future()
        world, server = self._process.world, self._sim
        latency = world.rng.uniform(0.001, 0.03)

        def arrive() -> None:
            server.when_awake(lambda: self._arrives(method, path, query, body, answered))

        travel = latency + (world.rng.uniform(0.0, LATE_SECONDS_MAX) if fate == "late" else 0.0)
        world.loop.later(min(travel, LATE_SECONDS_MAX), arrive)
        await self._process.reach(kind, "during")
        if fate in ("late", "broken"):
            raise Broken(maybe=True)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reply = await answered
                if fate == "answer_lost":
                    await asyncio.get_running_loop().create_future()
        except TimeoutError:
            raise Broken(maybe=True) from None
        if server.cut:
            await pause(ANSWER_SECONDS)
            raise Broken(maybe=True)
        await self._process.reach(kind, "after")
        if fate == "bad_gateway":
            return 502, None
        if fate == "garbage":
            return 200, None
        return reply

    def _fate(self, kind: str) -> str:
        weather, rng = self._process.world.weather, self._process.world.rng
        rolled = rng.random()
        fates = ("refused", "request_lost", "answer_lost", "broken", "late", "bad_gateway", "too_many")
        for fate in (*fates, "garbage"):
            chance: float = getattr(weather, fate)
            if rolled < chance and not (fate == "garbage" and kind in ("GET view", "POST upload")):
                return fate
            rolled -= chance
        return "well"

    async def _departs(self, fate: str) -> None:
        if self._sim.cut:
            await pause(CONNECT_SECONDS)
            raise Broken(maybe=False)
        if not self._sim.up or fate in ("refused", "too_many"):
            await pause(0.002)
            raise Broken(maybe=False)
        if fate == "request_lost":
            await pause(ANSWER_SECONDS)
            raise Broken(maybe=True)

    def _arrives(
        self, method: str, path: tuple[str, ...], query: Any, body: Any, answered: asyncio.Future[Any]
    ) -> None:
        server = self._sim
        if not server.up:
            if not answered.done():
                answered.set_exception(Broken(maybe=True))
                # Its asker may be dead or gone: then nobody fetches it.
                answered.exception()
            return
        reply = handle(server, method, path, query, body, ours=True)
        self._process.world.loop.later(self._process.world.rng.uniform(0.001, 0.03), _reply, answered, reply)


def _reply(answered: asyncio.Future[Any], reply: tuple[int, Any]) -> None:
    if not answered.done():
        answered.set_result(reply)


class SimClient(ComfyClient):
    """The real client; an upload says what it brings instead of encoding a form."""

    def __init__(self, address: ServerAddress, process: Process, server: SimServer) -> None:
        super().__init__(address, session=NO_SESSION)
        self._transport = SimTransport(address, process, server)

    async def upload(
        self, *, subfolder: str, name: str, content: AsyncIterator[bytes], size: int, content_type: str
    ) -> str:
        data = b"".join([piece async for piece in content])
        assert len(data) == size, content_type
        body = {"subfolder": subfolder, "name": name}
        answer = await self._transport.call("POST", "upload", "image", body=body)
        self._transport.expect_success(answer.status, ("upload", "image"))
        return f"{answer.data['subfolder']}/{answer.data['name']}"


class SimSocket:
    """One WebSocket, as the channel reads it. Frames keep their order; some come twice, or no more at all."""

    def __init__(self, process: Process) -> None:
        self._world = process.world
        self._items: deque[SimpleNamespace] = deque()
        self._more = asyncio.Event()
        self._not_before = 0.0
        self.deaf = False

    async def send_json(self, _data: Any) -> None:
        return

    async def receive(self) -> SimpleNamespace:
        while not self._items:
            self._more.clear()
            await self._more.wait()
        return self._items.popleft()

    def deliver(self, message: Mapping[str, Any]) -> None:
        text = SimpleNamespace(type=aiohttp.WSMsgType.TEXT, data=json.dumps(message))
        times = 2 if self._world.rng.random() < self._world.weather.frame_twice else 1
        for _ in range(times):
            self._later(text)

    def drop(self) -> None:
        self._later(SimpleNamespace(type=aiohttp.WSMsgType.CLOSED, data=None), always=True)

    def _later(self, item: SimpleNamespace, *, always: bool = False) -> None:
        now = self._world.loop.time()
        self._not_before = max(self._not_before, now + self._world.rng.uniform(0.001, 0.03))
        self._world.loop.later(self._not_before - now, self._put, item, always)

    def _put(self, item: SimpleNamespace, always: bool) -> None:
        if always or not self.deaf:
            self._items.append(item)
            self._more.set()


class SimChannel(Channel):
    """The real channel, dialling a simulated socket."""

    def __init__(self, address: ServerAddress, process: Process, server: SimServer) -> None:
        super().__init__(address, session=NO_SESSION, rng=process.world.rng)
        self._process = process
        self._sim = server

    def _socket_session(self) -> Any:
        return _nothing()

    def _dial(self, _session: Any, client_id: str) -> AbstractAsyncContextManager[Any]:
        return self._socket(client_id)

    @asynccontextmanager
    async def _socket(self, client_id: str) -> AsyncIterator[SimSocket]:
        await self._process.reach("socket", "before")
        server, world = self._sim, self._process.world
        await pause(CONNECT_SECONDS if server.cut else 0.01)
        if not server.up or server.cut or server.stalled or world.rng.random() < world.weather.refused:
            raise aiohttp.ClientConnectionError("simulated")
        socket = SimSocket(self._process)
        server.sockets[client_id] = socket
        socket.deliver({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": 0}}}})
        if world.rng.random() < world.weather.deaf:
            world.loop.later(world.rng.uniform(1.0, 60.0), _go_deaf, socket)
        try:
            yield socket
        finally:
            server.sockets.pop(client_id, None)


def _go_deaf(socket: SimSocket) -> None:
    socket.deaf = True


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield None


def link_to(process: Process, server: SimServer) -> Link:
    """What a gateway process holds of one server."""
    address = ServerAddress(f"http://{server.name}:8188")
    return Link(
        name=server.name,
        client=SimClient(address, process, server),
        channel=SimChannel(address, process, server),
        restart=partial(_restart, process, server) if process.world.weather.hooks else None,
    )


async def _restart(process: Process, server: SimServer) -> None:
    """The operator's hook: works three times in four."""
    await process.reach("restart hook", "before")
    if process.world.rng.random() < 0.25:
        raise RestartFailed("simulated")
    # In the world's own time: a ComfyUI does not die with the gateway that had it started.
    process.world.loop.later(0.0, server.crash)
    process.world.loop.later(2.0, server.start)
    await pause(2.1)
    await process.reach("restart hook", "after")
