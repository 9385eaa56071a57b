"""The operator's pages as they change: server-sent events, from the one look that all viewers share.

`now` with everything, then `lane`, `server`, `untold`, `alerts`, `busy` as each of them changes, `gone` with
what is no more, and `events` with what happened. Whoever takes nothing for SEND_SECONDS is cut off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from comfygate.api.auth import Credentials, account_of
from comfygate.api.face import Face, TheFace
from comfygate.api.ops_auth import PREFIX, TheBoard, TheOperator, operator_of
from comfygate.api.reference import refusals
from comfygate.api.streaming import KEEP_ALIVE_SECONDS, STILL_HERE, Stream, send_text
from comfygate.domain.errors import AccessRefused, GateError
from comfygate.gate.ops_board import Board, Viewer

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

    return BoardStream(face, board, operator.account.id, may_look)


class BoardStream(Stream):
    """Streams until the client leaves, may look no more, does not keep up, or the service stops."""

    _viewer: Viewer

    def __init__(
        self, face: Face, board: Board, account_id: str, may_look: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(face, account_id)
        self._board, self._may_look = board, may_look

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises TooManyStreams before anything is sent."""
        with self._board.viewer() as self._viewer:
            await super().__call__(scope, receive, send)

    def ends(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """The viewer may look no more."""
        return (self._watch_right(),)

    async def tell(self, send: Send) -> None:
        """Everything, then whatever changes, and a comment after each silence."""
        async with aclosing(self._board.told(self._viewer)) as frames:  # type: ignore[type-var]
            coming = asyncio.ensure_future(anext(frames))
            try:
                while True:
                    done, _ = await asyncio.wait({coming}, timeout=KEEP_ALIVE_SECONDS)
                    text = coming.result().decode() if done else STILL_HERE
                    await send_text(send, text, SEND_SECONDS)
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
