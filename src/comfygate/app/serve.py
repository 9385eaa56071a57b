"""The service: API and control channel on real sockets, the loops behind them, and an orderly stop.

First signal: nothing more is claimed, HTTP goes on answering (and queueing durably) while running jobs are
watched to their end, up to `dispatch.stop_seconds`; what then still runs is left for adoption. Second signal:
the same, at once. Nothing is lost either way.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import os
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from comfygate.api.control import create_control
from comfygate.api.server import create_api, end_streams
from comfygate.app.bot import add_webhook, bot_of
from comfygate.app.http import Listener, bound, listening
from comfygate.app.watching import Watch, Watched
from comfygate.app.wiring import signing_secret, started
from comfygate.cli import control_file
from comfygate.cli.control_file import ControlFile
from comfygate.cli.open_files import raise_limit
from comfygate.cli.signals import stop_signals
from comfygate.domain.errors import ServerTrouble, SettingsError
from comfygate.gate.files import UrlSigner
from comfygate.gate.service import Service
from comfygate.settings import Settings
from comfygate.version import VERSION
from comfygate.web import pages

CONTROL_HOST: Final = "127.0.0.1"
TOKEN_BYTES: Final = 32
SWITCH_SECONDS: Final = 0.0005
"""How long a thread keeps the interpreter while others want it; Python's own is 0.005."""

COLLECT_AFTER: Final = (20_000, 20, 20)
"""When cycles are looked for (`gc.set_threshold`). Python's own 700 objects are less than a busy second's
attempts hold, and were looked through again and again."""
NO_FULL_COLLECTION: Final = (*COLLECT_AFTER[:2], 1_000_000)
RISE_SECONDS: Final = 60.0
"""So long after the start the servers' own loops are still being set up; a thousand of them are most of what
there is."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Hosted:
    """A whole gateway in this process. `url` is how this machine reaches its API; empty without one."""

    service: Service
    listeners: tuple[Listener, ...]
    url: str
    watched: Watched
    operations_url: str = ""
    """How this machine reaches its probes and metrics at `metrics.port`; empty without one."""

    async def ended(self) -> None:
        """Return when one of its sockets stopped answering, which only happens when something broke."""
        ends = {listener.ended for listener in self.listeners}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)

    def hurry(self) -> None:
        """At the end of the block cut open requests instead of finishing them."""
        for listener in self.listeners:
            listener.hurry = True


@contextlib.asynccontextmanager
async def hosted(settings: Settings) -> AsyncIterator[Hosted]:
    """Run everything for the length of the block; attempts open at its end are left for adoption.

    With the roles `dispatch` and `bot` only the control channel listens, and `metrics.port`. Raises
    SettingsError (a port or directory that cannot be had, an extra that is not installed) and Conflict
    (another process is at it).
    """
    watch = Watch(settings)
    async with contextlib.AsyncExitStack() as stack:
        api_socket, own = None, settings.metrics
        if settings.role not in {"dispatch", "bot"}:
            api_socket = stack.enter_context(contextlib.closing(bound(settings.host, settings.port)))
        own_socket = None
        if own.port is not None:
            own_socket = stack.enter_context(contextlib.closing(bound(own.host, own.port, "metrics.")))
        control_socket = stack.enter_context(contextlib.closing(bound(CONTROL_HOST, 0)))
        service = await stack.enter_async_context(started(settings, watch.seen))
        watched = await stack.enter_async_context(watch.over(service))
        await stack.enter_async_context(bot_of(settings, service.ctx))
        token = secrets.token_urlsafe(TOKEN_BYTES)
        app = create_control(service.ctx, token)
        control = await stack.enter_async_context(listening(app, control_socket))
        listeners: tuple[Listener, ...] = (control,)
        url = operations_url = ""
        if own_socket is not None:
            face = await stack.enter_async_context(listening(watched.operations_app(), own_socket))
            listeners, operations_url = (*listeners, face), local_url(own.host, face.port)
        if api_socket is not None:
            http = await stack.enter_async_context(_api(settings, service, api_socket, watched))
            listeners, url = (http, *listeners), local_url(settings.host, http.port)
        stack.enter_context(_findable(settings, ControlFile(control.port, os.getpid(), url, token)))
        yield Hosted(service, listeners, url, watched, operations_url)


def _api(
    settings: Settings, service: Service, sock: socket.socket, watched: Watched
) -> contextlib.AbstractAsyncContextManager[Listener]:
    api = create_api(
        service.ctx,
        public_url=settings.public_url,
        root_path=settings.root_path,
        signer=UrlSigner(signing_secret(settings), settings.url_seconds),
        admin_key=settings.admin_key.get_secret_value() if settings.admin_key else None,
    )
    add_webhook(api, settings, service.ctx)
    api.router.routes.extend(pages.router.routes)
    watched.put_on(api)
    return listening(api, sock, lambda: end_streams(api))


@contextlib.contextmanager
def _findable(settings: Settings, found: ControlFile) -> Iterator[None]:
    try:
        control_file.write(settings.data_path, found)
    except OSError as error:
        raise SettingsError(
            f"data_dir {settings.data_path} cannot be written ({error.strerror}); correct its permissions"
        ) from error
    try:
        yield
    finally:
        control_file.remove(settings.data_path, found.token)


def local_url(host: str, port: int) -> str:
    """The address under which this machine reaches a server that listens on `host`."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://127.0.0.1:{port}" if address.version == 4 else f"http://[::1]:{port}"
    return f"http://{host}:{port}" if address.version == 4 else f"http://[{host}]:{port}"


async def serve(settings: Settings, announce: Callable[[str], None]) -> None:
    """Run until told to stop; `announce` gets the URL once jobs are taken. Raises as `hosted` does."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    # The event loop gets the interpreter back sooner from threads that read, write and hash: a claim crosses
    # threads several times while a server waits for it.
    sys.setswitchinterval(SWITCH_SECONDS)
    open_files_max = raise_limit()

    def heard() -> None:
        (hurry if stop.is_set() else stop).set()
        log.info("service.told_to_stop", at_once=hurry.is_set())

    with stop_signals(heard):
        async with hosted(settings) as house:
            log.info(
                "service.ready",
                url=house.url,
                operations_url=house.operations_url,
                version=VERSION,
                database=settings.database_address,
                open_files_max=open_files_max,
            )
            _leave_alone_what_is_there()
            announce(house.url)
            await _first(stop, house)
            house.watched.readiness.stopping = True
            drained = await house.service.drain(hurry)
            log.info("service.stopping", left_open=not drained)
            if hurry.is_set():
                house.hurry()
        log.info("service.stopped")


def _leave_alone_what_is_there() -> None:
    """What was imported and set up is there to stay: the search for cycles need not go through it. What the
    servers need is set up after that, and left alone in the end too."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*NO_FULL_COLLECTION)

    def risen() -> None:
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)

    asyncio.get_running_loop().call_later(RISE_SECONDS, risen)


async def _first(stop: asyncio.Event, house: Hosted) -> None:
    stopping, ended = asyncio.create_task(stop.wait()), asyncio.create_task(house.ended())
    await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
    for task in (stopping, ended):
        task.cancel()
    if not stop.is_set():
        raise ServerTrouble("the HTTP server stopped by itself: see the log")
