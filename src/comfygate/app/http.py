"""An HTTP server inside our own event loop: uvicorn, without its signal handling and its logs of addresses.

Addresses of downloads carry signatures, so requests are not logged by their URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

import uvicorn
from fastapi import FastAPI

from comfygate.app.http_protocol import PROTOCOL
from comfygate.domain.errors import SettingsError

STREAM_GRACE_SECONDS: Final = 0.5
"""How long open event streams get to say the last they know before they are ended."""
GRACE_SECONDS: Final = 2
"""How long an open request may take at the stop; then it is cut."""
HURRY_SECONDS: Final = 0.3
"""The same when told to stop at once."""
BACKLOG: Final = 1024
TICK_SECONDS: Final = 0.1
"""How often uvicorn looks after its `Date` header, every tenth time, and whether it was told to stop."""
TICKS_COUNTED: Final = 864_000
TURNS_TO_CLOSE: Final = 5
"""Turns of the event loop in which connections without a request are closed."""

_PORT_NAMES: Final = {"": "--port or COMFYGATE_PORT", "metrics.": "COMFYGATE_METRICS__PORT"}
_CUT_SHORT: Final = "ASGI callable returned without completing response"


class Server(uvicorn.Server):
    """uvicorn that says when it listens, leaves signals to its owner, and stops the moment it may.

    Its own looks ten times a second whether it was told to stop, and then waits a tenth whoever is there.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._told = asyncio.Event()

    def tell_to_stop(self) -> None:
        """Take no more connections, and end when the open requests did."""
        self.should_exit = True
        self._told.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % TICKS_COUNTED
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._told.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for closing in [*self.servers, *(sockets or ())]:
            closing.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(TURNS_TO_CLOSE):
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                await self._wait_tasks_to_complete()
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()
        if not self.force_exit:
            await self.lifespan.shutdown()


class Listener:
    """A server that answers. `ended` is done when it no longer does."""

    def __init__(self, app: FastAPI, sock: socket.socket, end_streams: Callable[[], None] | None) -> None:
        self._end_streams = end_streams
        self.hurry = False
        """Set to cut open requests instead of finishing them."""
        self._server = Server(
            uvicorn.Config(
                app,
                http=PROTOCOL,
                # Nothing here has one, whatever is installed beside.
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self.port: int = sock.getsockname()[1]
        self.ended = asyncio.create_task(self._server.serve(sockets=[sock]), name="http")

    async def ready(self) -> None:
        """Wait until it listens. Raises what kept it from that."""
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({listening, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if self.ended.done():
            await self.ended

    async def close(self) -> None:
        """Finish what is being answered, within limits, end event streams, and stop listening."""
        self._server.tell_to_stop()
        if not self.hurry:
            await asyncio.wait({self.ended}, timeout=STREAM_GRACE_SECONDS)
        if self._end_streams is not None:
            self._end_streams()
        with _cut_quietly():
            if self.hurry:
                await asyncio.wait({self.ended}, timeout=HURRY_SECONDS)
                self._server.force_exit = True
            await asyncio.wait({self.ended})
            await self._cut()

    async def _cut(self) -> None:
        """What uvicorn left behind: it cancels requests that take too long, and does not wait for them."""
        if left := set(self._server.server_state.tasks):
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=HURRY_SECONDS)


@contextlib.contextmanager
def _cut_quietly() -> Iterator[None]:
    """uvicorn logs an error with a traceback for every stream that is ended; here that is the plan."""

    def unexpected(record: logging.LogRecord) -> bool:
        cut = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
        return not cut and not str(record.msg).startswith(_CUT_SHORT)

    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(unexpected)
    try:
        yield
    finally:
        logger.removeFilter(unexpected)


@contextlib.asynccontextmanager
async def listening(
    app: FastAPI, sock: socket.socket, end_streams: Callable[[], None] | None = None
) -> AsyncIterator[Listener]:
    """Answer on a bound socket for the length of the block; `end_streams` ends what never would."""
    listener = Listener(app, sock, end_streams)
    try:
        await listener.ready()
        yield listener
    finally:
        await listener.close()


def bound(host: str, port: int, table: str = "") -> socket.socket:
    """A socket on `host`:`port` (0: the system chooses). Raises SettingsError when it cannot be had; `table`
    is where in the settings the two stand."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise SettingsError(
            f"{table}host is {host!r}: it is no address of this machine ({error.strerror}); "
            "use 127.0.0.1 or 0.0.0.0"
        ) from error
    sock = socket.socket(family, kind, protocol)
    try:
        if sys.platform == "win32":
            # There SO_REUSEADDR would let another program take the port beside us.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise SettingsError(
            f"{table}port is {port}: it cannot be had on {host} ({error.strerror}); is a gateway running "
            f"already? Stop it, or choose another with {_PORT_NAMES[table]}"
        ) from error
    sock.setblocking(False)
    return sock
