"""The operator's pages as they change: server-sent events, from the one look that all viewers share.

`now` with everything, then `lane`, `server`, `untold`, `alerts`, `busy` as each of them changes, `gone` with
what is no more, and `events` with what happened. Whoever takes nothing for SEND_SECONDS is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from comfygate.api.account_events import cut
from comfygate.api.auth import Credentials, account_of
from comfygate.api.events import KEEP_ALIVE_SECONDS, STREAM_HEADERS, left
from comfygate.api.face import Face, TheFace
from comfygate.api.ops_auth import PREFIX, TheBoard, TheOperator, operator_of
from comfygate.api.reference import refusals
from comfygate.domain.errors import AccessRefused, GateError
from comfygate.gate.ops_board import Board

SEND_SECONDS: Final = 20.0
"""How long what is sent may wait for a client to take it."""
CHECK_SECONDS: Final = 30.0
"""Between two looks whether the viewer may still look."""

router = APIRouter(prefix=PREFIX, tags=["operations"])


@router.get(
    "/stream",
    operation_id="opsStream",
    response_class=Response,
    responses={
        200: {
            "description": "`now`; then `lane`, `server`, `untold`, `alerts`, `busy`, `gone`, `events`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **refusals(401, 403, 429),
    },
)
async def stream(
    request: Request, face: TheFace, credentials: Credentials, operator: TheOperator, board: TheBoard
) -> Response:
    """Look on: everything as it is, then whatever changes. No replay: after a break connect again."""

    async def may_look() -> None:
        await operator_of(face, await account_of(request, face, credentials))

    return Stream(face, board, operator.account.id, may_look)


class Stream(Response):
    """Streams until the client leaves, may look no more, does not keep up, or the service stops."""

    def __init__(
        self, face: Face, board: Board, account_id: str, may_look: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(headers=STREAM_HEADERS)
        del self.headers["content-length"]
        self._face, self._board, self._account_id, self._may_look = face, board, account_id, may_look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises TooManyStreams before anything is sent."""
        ctx = self._face.ctx
        with ctx.live.stream(self._account_id, ctx.rules.limits.streams_per_account_max):
            with self._board.viewer() as viewer:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                tasks = [
                    asyncio.create_task(self._tell(send, self._board.told(viewer))),
                    asyncio.create_task(self._watch_right()),
                    asyncio.create_task(left(receive)),
                    asyncio.create_task(self._face.stopping.wait()),
                ]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    results = await asyncio.gather(*tasks, return_exceptions=True)
            if isinstance(results[0], TimeoutError):
                await cut(scope, receive)
                return
            if isinstance(results[0], Exception) and not isinstance(results[0], GateError):
                raise results[0]
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _tell(self, send: Send, source: AsyncIterator[bytes]) -> None:
        async with aclosing(source) as frames:  # type: ignore[type-var]
            coming = asyncio.ensure_future(anext(frames))
            try:
                while True:
                    done, _ = await asyncio.wait({coming}, timeout=KEEP_ALIVE_SECONDS)
                    body = coming.result() if done else b": still here\n\n"
                    async with asyncio.timeout(SEND_SECONDS):
                        await send({"type": "http.response.body", "body": body, "more_body": True})
                    if done:
                        coming = asyncio.ensure_future(anext(frames))
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    async def _watch_right(self) -> None:
        """Returns when the viewer may look no more: signed out, suspended, of another role."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._may_look()
            except AccessRefused:
                return
            except GateError:
                # The database is away; that ends nobody's right.
                continue
