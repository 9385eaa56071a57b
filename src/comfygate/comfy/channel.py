"""One WebSocket to a server for all of its prompts: connected again whenever it drops, under a fresh client
id.

A second socket under the same clientId goes silent once the first one's clean-up runs (recorded on ComfyUI
0.3.64; ComfyUI #16010), so no id is used twice. What was sent under an old id is not heard of again: every
listener gets SocketLost and reads history instead.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from uuid import uuid4

import aiohttp
import structlog

from comfygate.comfy.address import ServerAddress
from comfygate.comfy.feed import Feed
from comfygate.comfy.frames import (
    Executing,
    ExecutionEnded,
    Frame,
    Preview,
    PromptFrame,
    QueueStatus,
    SocketLost,
    parse_binary_frame,
    parse_text_frame,
)

FRAME_BYTES_MAX = 64 * 1024 * 1024
CLOSE_SECONDS = 2.0
"""How long the closing handshake may take."""
FEATURE_FLAGS = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
"""Sent first, so that previews name their prompt (ComfyUI 0.3.64; older servers ignore it)."""

log = structlog.get_logger(__name__)

Socket = aiohttp.ClientWebSocketResponse


@dataclass(frozen=True, slots=True)
class Reconnect:
    """How long to wait before trying again: doubling from `first_seconds` to `longest_seconds`, times 0.5 to
    1.
    """

    first_seconds: float = 0.5
    longest_seconds: float = 30.0

    def delay_seconds(self, failures: int, rng: random.Random) -> float:
        """The wait after `failures` (1 or more) tries in a row that did not connect."""
        longest = min(self.longest_seconds, self.first_seconds * 2.0 ** min(failures - 1, 32))
        return longest * rng.uniform(0.5, 1.0)


class RedirectRefusedError(aiohttp.ClientError):
    """The server wanted the WebSocket elsewhere; credentials do not follow."""


class Channel:
    """The socket of one server; `run` keeps it open, `listen` hears one prompt."""

    def __init__(
        self,
        address: ServerAddress,
        *,
        session: aiohttp.ClientSession,
        rng: random.Random,
        reconnect: Reconnect | None = None,
        connect_seconds: float = 10.0,
        heartbeat_seconds: float = 20.0,
        on_status: Callable[[int], None] | None = None,
    ) -> None:
        self._address = address
        self._session = session
        self._rng = rng
        self._reconnect = reconnect or Reconnect()
        self._connect_seconds = connect_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._on_status = on_status
        self._client_id: str | None = None
        self._connected = asyncio.Event()
        self._listeners: dict[str, list[Feed]] = {}
        self._running_prompt_id: str | None = None
        self.queue_remaining: int | None = None
        """Prompts of anybody on the server, as the present socket said last; None: it has not."""
        self.dropped = asyncio.Event()
        """Set whenever the socket drops; whoever waits for it clears it."""

    @property
    def client_id(self) -> str | None:
        """The id to send prompts under; None while not connected. A new one for every connection."""
        return self._client_id

    @property
    def connected(self) -> bool:
        """Whether the server has greeted the present socket and it has not dropped since."""
        return self._client_id is not None

    async def wait_connected(self) -> str:
        """Wait until connected; the client id."""
        while self._client_id is None:
            await self._connected.wait()
        return self._client_id

    @contextmanager
    def listen(self, prompt_id: str) -> Iterator[Feed]:
        """Everything the socket says of `prompt_id` from now on, and SocketLost when it drops."""
        feed = Feed()
        self._listeners.setdefault(prompt_id, []).append(feed)
        try:
            yield feed
        finally:
            feeds = self._listeners[prompt_id]
            feeds.remove(feed)
            if not feeds:
                del self._listeners[prompt_id]

    def doubt(self) -> None:
        """Have every listener look at the server itself: what the socket said, or did not say, may be
        void."""
        for feeds in self._listeners.values():
            for feed in feeds:
                feed.put(SocketLost())

    async def run(self) -> None:
        """Stay connected until cancelled. Raises nothing else: trouble is logged and tried again."""
        failures = 0
        async with self._socket_session() as session:
            while True:
                if await self._one_connection(session):
                    failures = 0
                failures += 1
                await asyncio.sleep(self._reconnect.delay_seconds(failures, self._rng))

    def _socket_session(self) -> aiohttp.ClientSession:
        """The gateway's connections with a rule of our own: `ws_connect` cannot be told not to follow
        redirects.
        """
        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(_refuse_redirect)
        return aiohttp.ClientSession(
            connector=self._session.connector,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            trace_configs=[trace],
        )

    async def _one_connection(self, session: aiohttp.ClientSession) -> bool:
        """Connect, greet, listen until it drops; whether it ever was connected."""
        client_id = uuid4().hex
        was_connected = False
        reason = "closed by the server"
        try:
            async with (
                asyncio.timeout(self._connect_seconds) as patience,
                self._dial(session, client_id) as socket,
            ):
                await socket.send_json(FEATURE_FLAGS)
                first = await socket.receive()
                patience.reschedule(None)
                was_connected = self._greeted(client_id, first)
                while was_connected and self._heard(await socket.receive()):
                    pass
        except aiohttp.WSServerHandshakeError as error:
            reason = f"handshake answered {error.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = type(error).__name__
        finally:
            self._drop()
        log.warning("channel.dropped", server=self._address.url, reason=reason, was_connected=was_connected)
        return was_connected

    def _dial(self, session: aiohttp.ClientSession, client_id: str) -> AbstractAsyncContextManager[Socket]:
        return session.ws_connect(
            self._address.socket(client_id),
            headers=self._address.secret_headers(),
            heartbeat=self._heartbeat_seconds,
            max_msg_size=FRAME_BYTES_MAX,
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_SECONDS),
        )

    def _greeted(self, client_id: str, first: aiohttp.WSMessage) -> bool:
        """The first frame (a `status`) proves that the server knows this socket; only then prompts may use
        it.
        """
        if first.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            return False
        self._client_id = client_id
        self._connected.set()
        log.info("channel.connected", server=self._address.url, client_id=client_id)
        return self._heard(first)

    def _heard(self, message: aiohttp.WSMessage) -> bool:
        """Pass one message on; False when the socket is at its end."""
        frame: Frame | None = None
        if message.type is aiohttp.WSMsgType.TEXT:
            frame = parse_text_frame(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            frame = parse_binary_frame(message.data)
        elif message.type in (
            aiohttp.WSMsgType.CLOSE,
            aiohttp.WSMsgType.CLOSING,
            aiohttp.WSMsgType.CLOSED,
            aiohttp.WSMsgType.ERROR,
        ):
            return False
        if isinstance(frame, QueueStatus):
            self.queue_remaining = frame.queue_remaining
            if self._on_status is not None:
                self._on_status(frame.queue_remaining)
        elif frame is not None:
            self._dispatch(frame)
        return True

    def _dispatch(self, frame: PromptFrame) -> None:
        """To the listeners of its prompt. A preview that does not say whose it is belongs to what runs for
        us.
        """
        prompt_id = frame.prompt_id if frame.prompt_id is not None else self._running_prompt_id
        if prompt_id is None:
            return
        if isinstance(frame, ExecutionEnded) or (isinstance(frame, Executing) and frame.node is None):
            self._running_prompt_id = None
        elif not isinstance(frame, Preview):
            self._running_prompt_id = prompt_id
        for feed in self._listeners.get(prompt_id, ()):
            feed.put(frame)

    def _drop(self) -> None:
        was_connected = self._client_id is not None
        self._client_id = self._running_prompt_id = self.queue_remaining = None
        self._connected.clear()
        if was_connected:
            self.dropped.set()
            self.doubt()


async def _refuse_redirect(
    _session: aiohttp.ClientSession, _context: SimpleNamespace, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    redirect.response.close()
    raise RedirectRefusedError("redirected")
