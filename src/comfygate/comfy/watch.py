"""Following one prompt to its end: the WebSocket for speed, history for truth.

History is read on `executing` with node null, which comes after it is written; never on `execution_success`,
which comes before (ComfyUI #11540; order seen on 0.3.64). It is also polled all along, because a socket may
go silent for hours without closing (ComfyUI #3128, #8395, #9393).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import structlog

from comfygate.comfy.channel import Channel
from comfygate.comfy.client import ComfyClient
from comfygate.comfy.errors import RequestRefused, ServerRefused, ServerUnreachable
from comfygate.comfy.events import (
    Event,
    Finished,
    NodeOutput,
    NodeProgress,
    OffServer,
    PreviewImage,
    Started,
    Unreachable,
    Vanished,
)
from comfygate.comfy.feed import Feed
from comfygate.comfy.frames import Executed, Executing, ExecutionEnded, Preview, PromptFrame, SocketLost
from comfygate.comfy.progress import ProgressTracker
from comfygate.comfy.wire import HistoryRecord, Located

__all__ = [
    "Event",
    "Finished",
    "NodeOutput",
    "NodeProgress",
    "OffServer",
    "PreviewImage",
    "Started",
    "Unreachable",
    "Vanished",
    "watch",
]

POLL_SECONDS = 3.0
QUICK_RETRY_SECONDS = 0.05
"""After `executing null` with history still empty; doubled each time, until the ordinary poll takes over."""
UNKNOWN_POLLS = 0.9
"""A prompt has vanished when two looks in a row do not find it and about one poll lies between them."""

log = structlog.get_logger(__name__)


async def watch(
    client: ComfyClient,
    channel: Channel,
    prompt_id: str,
    graph: Mapping[str, Any],
    *,
    poll_seconds: float = POLL_SECONDS,
    client_id_sent: str | None,
    feed: Feed | None = None,
) -> AsyncGenerator[Event, None]:
    """Events of `prompt_id` until its one end, Finished or Vanished. Close the iterator
    (`contextlib.aclosing`).

    `client_id_sent` is the id the prompt was sent under: unless it is the channel's present one, the socket
    says nothing of the prompt and polling alone decides. Pass a `feed` from `channel.listen(prompt_id)`
    opened before sending, so that nothing said meanwhile is missed; without one the first look is taken at
    once.

    Trouble while polling is told as Unreachable. Raises ProtocolError when the server's answer about the
    prompt has an unknown shape or is too large: waiting would not mend that.
    """
    with nullcontext(feed) if feed is not None else channel.listen(prompt_id) as heard:
        watcher = _Watcher(
            client, channel, prompt_id, graph, poll_seconds=poll_seconds, client_id_sent=client_id_sent
        )
        async for event in watcher.events(heard, look_at_once=feed is None):
            yield event


class _Watcher:
    def __init__(
        self,
        client: ComfyClient,
        channel: Channel,
        prompt_id: str,
        graph: Mapping[str, Any],
        *,
        poll_seconds: float,
        client_id_sent: str | None,
    ) -> None:
        self._client = client
        self._channel = channel
        self._prompt_id = prompt_id
        self._poll_seconds = poll_seconds
        self._client_id_sent = client_id_sent
        self._progress = ProgressTracker(graph)
        self._clock = asyncio.get_running_loop().time
        self._started = False
        self._ended_well = False
        self._heard_since_look = False
        self._unknown_since: float | None = None
        self._unreachable_since: float | None = None
        self._quick_seconds: float | None = None

    @property
    def _socket_in_doubt(self) -> bool:
        return self._client_id_sent is None or self._channel.client_id != self._client_id_sent

    async def events(self, feed: Feed, *, look_at_once: bool) -> AsyncGenerator[Event, None]:
        """Hear frames; look at the server when the timer runs out, the socket drops, or the end was heard."""
        next_look = self._clock()
        if not look_at_once and not self._socket_in_doubt:
            next_look += self._poll_seconds
        while True:
            item = await feed.get(next_look - self._clock())
            if item is not None and not self._asks_to_look(item):
                for event in self._told(item):
                    yield event
                if self._clock() < next_look + (self._poll_seconds if feed.waits else 0.0):
                    # What was said and not heard yet, by a loop that is late, says more than a look.
                    continue
            elif self._ended_well and isinstance(item, Executing):
                yield OffServer()
            async for event in self._look():
                yield event
                if isinstance(event, Finished | Vanished):
                    return
            next_look = self._clock() + self._until_next_look()

    def _asks_to_look(self, item: PromptFrame | SocketLost) -> bool:
        """Whether this means: read history now."""
        if isinstance(item, SocketLost):
            return True
        if isinstance(item, Executing) and item.node is None:
            self._quick_seconds = QUICK_RETRY_SECONDS
            return True
        return False

    def _told(self, item: PromptFrame | SocketLost) -> Iterator[Event]:
        self._heard_since_look = True
        if isinstance(item, SocketLost):
            return
        yield from self._start()
        match item:
            case Preview():
                yield PreviewImage(item.node, item.content_type, item.data)
            case ExecutionEnded():
                self._ended_well = item.how == "success"
            case Executed() if item.outputs:
                yield NodeOutput(item.node, item.outputs)
            case _:
                pass
        progress = self._progress.apply(item)
        if progress is not None:
            yield progress

    def _start(self) -> Iterator[Event]:
        if not self._started:
            self._started = True
            yield Started()

    async def _look(self) -> AsyncIterator[Event]:
        """One poll."""
        try:
            located, record = await self._where()
        except (ServerUnreachable, ServerRefused, RequestRefused) as error:
            now = self._clock()
            if self._unreachable_since is None:
                self._unreachable_since = now
                log.warning("server.unreachable", server=self._client.server, error=str(error))
            yield Unreachable(now - self._unreachable_since, str(error))
            return
        self._unreachable_since = None
        if record is not None:
            yield Finished(record)
        elif located is Located.UNKNOWN:
            if self._has_vanished():
                log.warning("prompt.vanished", server=self._client.server, prompt_id=self._prompt_id)
                yield Vanished()
        else:
            self._unknown_since = None
            if located is Located.RUNNING:
                for event in self._start():
                    yield event

    def _has_vanished(self) -> bool:
        now = self._clock()
        if self._unknown_since is None:
            self._unknown_since = now
            return False
        return now - self._unknown_since >= self._poll_seconds * UNKNOWN_POLLS

    async def _where(self) -> tuple[Located, HistoryRecord | None]:
        """History alone while the socket speaks of our prompt; the queue too (everybody's graphs) when it is
        silent.
        """
        heard, self._heard_since_look = self._heard_since_look, False
        if heard and not self._socket_in_doubt:
            record = await self._client.history(self._prompt_id)
            return (Located.RUNNING if record is None else Located.FINISHED), record
        return await self._client.locate(self._prompt_id)

    def _until_next_look(self) -> float:
        """The poll's time, or less while history lags behind `executing null`."""
        if self._quick_seconds is None:
            return self._poll_seconds
        wait, self._quick_seconds = self._quick_seconds, self._quick_seconds * 2
        if self._quick_seconds >= self._poll_seconds:
            self._quick_seconds = None
        return min(wait, self._poll_seconds)
