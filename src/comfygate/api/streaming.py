"""What all streams of server-sent events are alike in: when they end, and how."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, ClassVar, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from comfygate.api.face import Face
from comfygate.domain.errors import GateError

KEEP_ALIVE_SECONDS: Final = 15.0
"""Silence after which a comment is sent, so that proxies and clients see the stream is alive."""
STILL_HERE: Final = ": still here\n\n"
CUT: Final = "comfygate.cut"
"""Extension of the scope: a function that drops the connection."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Type": "text/event-stream; charset=utf-8",
    # Told to nginx: pass every event on at once.
    "X-Accel-Buffering": "no",
}


class Stream(Response, ABC):
    """Streams until `tell` has told all, the client leaves, or the service stops; it counts against its
    account's limit for exactly so long."""

    quiet: ClassVar[tuple[type[Exception], ...]] = (GateError,)
    """What ends the stream as if all were told."""

    def __init__(self, face: Face, account_id: str) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._face, self._account_id = face, account_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises TooManyStreams before anything is sent, and what broke `tell`."""
        ctx = self._face.ctx
        with ctx.live.stream(self._account_id, ctx.rules.limits.streams_per_account_max):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            parts = (self.tell(send), *self.ends(), left(receive), self._face.stopping.wait())
            tasks = [asyncio.ensure_future(part) for part in parts]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                came = (await asyncio.gather(*tasks, return_exceptions=True))[0]
        if isinstance(came, TimeoutError):
            await _cut(scope, receive)
        elif isinstance(came, Exception) and not isinstance(came, self.quiet):
            raise came
        else:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    @abstractmethod
    async def tell(self, send: Send) -> None:
        """Send all that there is to tell. Raises TimeoutError when nobody reads."""

    def ends(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What else ends the stream when it is over."""
        return ()


async def send_text(send: Send, text: str, seconds: float | None = None) -> None:
    """Send a piece, if there is any. Raises TimeoutError when it was not taken within `seconds`."""
    if text:
        async with asyncio.timeout(seconds):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def left(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        continue


async def _cut(scope: Scope, receive: Receive) -> None:
    """Drop the connection with all that waits to be sent over it."""
    abort = (scope.get("extensions") or {}).get(CUT)
    if abort is not None:
        abort()
        await left(receive)
