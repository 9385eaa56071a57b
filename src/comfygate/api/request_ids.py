"""Gives every request an id, in its answer's headers and in every log line; catches what nobody caught.

A caller's own X-Request-Id is kept when it is short and plain, so that its logs and ours can be joined.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS: Final = ("X-Request-Id", "X-Comfy-Request-Id")
_NAMES: Final = tuple(name.lower().encode() for name in HEADERS)
_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SCOPE_KEY: Final = "comfygate.request_id"

log = structlog.get_logger(__name__)


def request_id_of(request: Request) -> str:
    """The id of this request, as its answer's headers have it."""
    return str(request.scope.get(_SCOPE_KEY, ""))


class RequestIds:
    """ASGI middleware. `failure` makes the answer for an exception that nobody handled."""

    def __init__(self, app: ASGIApp, *, failure: Callable[[Request], Response]) -> None:
        self._app = app
        self._failure = failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _wanted_id(scope) or uuid.uuid4().hex
        scope[_SCOPE_KEY] = request_id
        value, answered = request_id.encode("latin-1"), False

        async def send_with_id(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                message["headers"] = [*message["headers"], *((name, value) for name in _NAMES)]
            await send(message)

        with structlog.contextvars.bound_contextvars(request=request_id):
            await self._guarded(scope, receive, send_with_id, lambda: answered)

    async def _guarded(
        self,
        scope: Scope,
        receive: Receive,
        send: Callable[[Message], Awaitable[None]],
        answered: Callable[[], bool],
    ) -> None:
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            log.info("request.abandoned", method=scope["method"], path=scope["path"])
        except Exception:
            # The outermost place that can answer: a bug is told here with its traceback, or nowhere.
            log.exception("request.broke", method=scope["method"], path=scope["path"])
            if answered():
                # The answer is half sent: only cutting the connection tells the client so.
                raise
            await self._failure(Request(scope))(scope, receive, send)


def _wanted_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            wanted: str = value.decode("latin-1")
            return wanted if _PLAIN.fullmatch(wanted) else None
    return None
