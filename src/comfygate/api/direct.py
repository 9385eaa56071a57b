"""The direct way of a submission: past the framework's routing and its resolving of dependencies, which cost
more than the submission itself.

Only plain ones take it: an API key in one header, at most one Idempotency-Key, no query or a lane alone. All
others go on to the route, which describes the operation and answers whatever is odd. Both ways lead to the
same code and answer alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from comfygate.api import jobs
from comfygate.api.auth import account_of
from comfygate.api.errors import on_gate_error
from comfygate.api.face import API, Face, idempotency_key
from comfygate.domain.errors import GateError

_PATH: Final = f"{API}/jobs"
_LANE: Final = re.compile(rb"lane=([A-Za-z0-9_-]{1,64})")


@dataclass(frozen=True, slots=True)
class _Plain:
    """What a plain submission says outside of its body."""

    credentials: HTTPAuthorizationCredentials
    key: str | None
    lane: str | None


class DirectSubmissions:
    """ASGI middleware, the innermost."""

    def __init__(self, app: ASGIApp, *, face: Face) -> None:
        self._app, self._face = app, face
        self._paths = _paths(face.root_path)
        (self._route,) = (
            route
            for route in jobs.router.routes
            if isinstance(route, APIRoute) and route.endpoint is jobs.post_job
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        plain = _plain(scope)
        if plain is None:
            await self._app(scope, receive, send)
            return
        # As routing would: requests are counted by their route.
        scope["route"] = self._route
        request = Request(scope, receive)
        try:
            account = await account_of(request, self._face, plain.credentials)
            key = await idempotency_key(plain.key)
            answer = await jobs.submitted(request, self._face, account, key, plain.lane)
        except GateError as error:
            answer = await on_gate_error(request, error)
        await answer(scope, receive, send)


def _paths(root_path: str) -> frozenset[str]:
    """Where submissions come, with the proxy's prefix or without it."""
    if f"{_PATH}/".startswith(f"{root_path}/"):
        return frozenset({f"{root_path}{_PATH}"})
    return frozenset({_PATH, f"{root_path}{_PATH}"})


def _plain(scope: Scope) -> _Plain | None:
    """None for a submission that is anything else."""
    lane: str | None = None
    if query := scope["query_string"]:
        if (found := _LANE.fullmatch(query)) is None:
            return None
        lane = found[1].decode()
    authorization: str | None = None
    key: str | None = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if authorization is not None:
                return None
            authorization = value.decode("latin-1")
        elif name == b"idempotency-key":
            if key is not None:
                return None
            key = value.decode("latin-1")
    scheme, _, secret = (authorization or "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        return None
    return _Plain(HTTPAuthorizationCredentials(scheme=scheme, credentials=secret), key, lane)
