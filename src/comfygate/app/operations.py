"""What operators and their machines ask of a running process: /healthz, /readyz and /metrics.

The probes answer anybody, without names or secrets. /metrics beside the API wants its key; at an address of
its own, which is not for the public, it wants none.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from comfygate.api.errors import refusal
from comfygate.api.server import bare_app
from comfygate.app.meters import OTHER
from comfygate.app.metrics import Metrics
from comfygate.app.readiness import Readiness
from comfygate.domain.errors import Unauthorized
from comfygate.version import VERSION

PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE: Final = "(none)"
_NO_STORE: Final = {"Cache-Control": "no-store"}


def add_probes(app: FastAPI, readiness: Readiness) -> None:
    """Serve /healthz (whether it lives) and /readyz (whether it can do its work)."""

    async def healthz() -> Response:
        return JSONResponse({"status": "alive", "version": VERSION}, headers=_NO_STORE)

    async def readyz() -> Response:
        found = await readiness.look()
        grades = {finding.grade for finding in found}
        status = "not_ready" if "fault" in grades else "degraded" if "warn" in grades else "ready"
        body = {
            "status": status,
            "wrong": [finding.says for finding in found if finding.grade in {"fault", "warn"}],
            "checks": [
                {"grade": finding.grade, "subject": finding.subject, "says": finding.says}
                for finding in found
            ],
        }
        return JSONResponse(body, 503 if status == "not_ready" else 200, headers=_NO_STORE)

    _serve(app, "/healthz", healthz)
    _serve(app, "/readyz", readyz)


def add_metrics(app: FastAPI, metrics: Metrics, key: str | None) -> None:
    """Serve /metrics; with a key, to whoever sends it as `Authorization: Bearer KEY` alone."""

    async def scraped(request: Request) -> Response:
        if key is not None and not _has(request, key):
            return refusal(request, Unauthorized("metrics need their key: send 'Authorization: Bearer KEY'"))
        body, content_type = await metrics.scrape(request.headers.get("accept", ""))
        return Response(body, headers={**_NO_STORE, "Content-Type": content_type})

    _serve(app, "/metrics", scraped)


def operations_app(readiness: Readiness, metrics: Metrics | None) -> FastAPI:
    """Probes and metrics alone, for an address that is not for the public."""
    app = bare_app("comfygate operations", "")
    add_probes(app, readiness)
    if metrics is not None:
        add_metrics(app, metrics, None)
    return app


def _serve(app: FastAPI, path: str, answer: Callable[..., Awaitable[Response]]) -> None:
    app.add_api_route(path, answer, methods=["GET", "HEAD"], response_model=None, include_in_schema=False)


def _has(request: Request, key: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), key.encode())


def route_of(scope: Scope) -> str:
    """The template of the route that took the request; nothing that a caller wrote."""
    return getattr(scope.get("route"), "path", NO_ROUTE)


class CountedRequests:
    """ASGI middleware that counts requests by route template and times the first byte of their answers."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, clock: Callable[[], float]) -> None:
        self._app, self._meters, self._clock = app, metrics.meters, clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PATHS:
            await self._app(scope, receive, send)
            return
        began = self._clock()

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else OTHER
                route, status = route_of(scope), f"{message['status'] // 100}xx"
                self._meters.requests.labels(method, route, status).inc()
                self._meters.answer.labels(route).observe(self._clock() - began)
            await send(message)

        await self._app(scope, receive, counted)
