"""Which handler answers which path, with and without the `/api` prefix, and the faults put before them."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from comfygate.simulator.faults import Faults
from comfygate.simulator.journal import Journal, Moment, Request
from comfygate.simulator.routes_control import CONTROL, ControlRoutes
from comfygate.simulator.routes_facts import FactRoutes
from comfygate.simulator.routes_files import FileRoutes
from comfygate.simulator.routes_jobs import JobRoutes
from comfygate.simulator.routes_prompt import PromptRoutes
from comfygate.simulator.sockets import Sockets
from comfygate.simulator.switches import Switchboard

_NEVER_SECONDS_MAX = 3600.0
_GONE_CHECK_SECONDS = 0.1

SILENT_LOG = logging.getLogger("comfygate.simulator")
"""Where aiohttp logs handlers that raise (ComfyUI's recorded 500s are such); silent unless configured."""
SILENT_LOG.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class Routes:
    """All handlers of one server."""

    prompts: PromptRoutes
    files: FileRoutes
    facts: FactRoutes
    jobs: JobRoutes | None
    sockets: Sockets
    control: ControlRoutes

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        """GET /ws."""
        resume = self.prompts.executor.resume_node(request.query.get("clientId", ""))
        return await self.sockets.serve(request, self.prompts.info(), resume)

    def table(self) -> list[tuple[str, str, Handler]]:
        """(method, path, handler)."""
        prompts, files, facts = self.prompts, self.files, self.facts
        return [
            ("GET", "/ws", self.websocket),
            ("POST", "/prompt", prompts.submit),
            ("GET", "/prompt", prompts.status),
            ("GET", "/queue", prompts.show_queue),
            ("POST", "/queue", prompts.edit_queue),
            ("POST", "/interrupt", prompts.interrupt),
            ("GET", "/history", prompts.show_history),
            ("GET", "/history/{prompt_id}", prompts.show_history_of),
            ("POST", "/history", prompts.edit_history),
            ("POST", "/free", prompts.free),
            ("POST", "/upload/image", files.upload),
            ("GET", "/view", files.view),
            ("GET", "/system_stats", facts.system_stats),
            ("GET", "/features", facts.features_),
            ("GET", "/object_info", facts.object_info),
            ("GET", "/object_info/{node_class}", facts.object_info_of),
            ("GET", "/models", facts.models),
            ("GET", "/models/{folder}", facts.models_of),
            ("GET", "/embeddings", facts.embeddings),
        ]

    def job_table(self) -> list[tuple[str, str, Handler]]:
        """The jobs API, which exists below `/api` only; empty on older versions."""
        if self.jobs is None:
            return []
        return [
            ("GET", "/api/jobs", self.jobs.show_all),
            ("GET", "/api/jobs/{job_id}", self.jobs.show),
            ("POST", "/api/jobs/{job_id}/cancel", self.jobs.cancel),
        ]


def make_app(
    routes: Routes, faults: Faults, journal: Journal, switches: Switchboard, *, upload_bytes_max: int
) -> web.Application:
    """The web application; unknown paths are 404 for GET and 405 for anything else, as recorded."""
    front = _Front(faults, journal, switches).handle
    app = web.Application(client_max_size=upload_bytes_max, middlewares=[front])
    for method, path, handler in routes.control.table():
        app.router.add_route(method, path, handler)
    for method, path, handler in routes.table():
        app.router.add_route(method, path, handler)
        app.router.add_route(method, f"/api{path}", handler)
    for method, path, handler in routes.job_table():
        app.router.add_route(method, path, handler)
    app.router.add_route("GET", "/{anything:.*}", _not_found)
    return app


async def _not_found(request: web.Request) -> web.Response:
    raise web.HTTPNotFound


@dataclass(frozen=True, slots=True)
class _Front:
    """Notes every request but the simulator's own, then applies `fail_next` and the faults of answers."""

    faults: Faults
    journal: Journal
    switches: Switchboard

    @property
    def handle(self) -> Any:
        """The middleware."""

        @web.middleware
        async def front(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(CONTROL):
                return await handler(request)
            path = request.path.removeprefix("/api") or "/"
            body = await _json_of(request)
            noted = Request(request.method, path, dict(request.query), body)
            self.journal.note(Moment("request", request=noted))
            outcome = self.faults.take(request.method, path)
            if isinstance(outcome, int):
                return web.Response(status=outcome, text=f"{outcome}: simulated")
            if outcome == "close":
                return _cut(request)
            if path == "/ws":
                return await handler(request)
            if refused := self._refusal(path):
                return web.Response(status=refused, text=f"{refused}: simulated")
            answer = await handler(request)
            if outcome == "accept_then_close" or self.switches.drawn("answer_cut", path=path):
                return _cut(request)
            if late := self.switches.drawn("answer_late", path=path):
                await asyncio.sleep(float(late.value))
            if self.switches.drawn("answer_never", path=path):
                await _until_gone(request)
            return answer

        return front

    def _refusal(self, path: str) -> int | None:
        if path == "/upload/image" and self.switches.drawn("full_disk"):
            return 500
        status = self.switches.drawn("answer_status", path=path)
        return None if status is None else int(status.value)


async def _until_gone(request: web.Request) -> None:
    """Wait until the client gave up."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _NEVER_SECONDS_MAX
    # aiohttp tells no handler that its client is gone, so this must look.
    while request.transport is not None and not request.transport.is_closing():
        if loop.time() >= end:
            return
        await asyncio.sleep(_GONE_CHECK_SECONDS)


async def _json_of(request: web.Request) -> Any:
    if request.content_type != "application/json":
        return None
    try:
        return json.loads(await request.read())
    except ValueError:
        return None


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
