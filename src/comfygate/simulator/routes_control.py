"""The simulator's own routes, which no ComfyUI has: faults, what ran, a restart. For this machine alone."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from comfygate.simulator.switches import KINDS, Switch, UnknownFaultError, switch_of

CONTROL = "/simulator/"


@dataclass(frozen=True, slots=True)
class ControlRoutes:
    """Handlers; whoever asks from another machine gets 404."""

    switch_on: Callable[[Switch], None]
    clear: Callable[[], None]
    faults: Callable[[], Mapping[str, Any]]
    state: Callable[[], Mapping[str, Any]]
    restart: Callable[[], Awaitable[None]]

    def table(self) -> list[tuple[str, str, Handler]]:
        """(method, path, handler)."""
        return [
            ("GET", "/simulator/faults", _local(self.show)),
            ("POST", "/simulator/faults", _local(self.add)),
            ("DELETE", "/simulator/faults", _local(self.remove)),
            ("GET", "/simulator/state", _local(self.show_state)),
            ("POST", "/simulator/restart", _local(self.begin_again)),
        ]

    async def show(self, request: web.Request) -> web.Response:
        """GET /simulator/faults: what is on, and every fault there is."""
        return web.json_response({**self.faults(), "known": dict(KINDS)})

    async def add(self, request: web.Request) -> web.Response:
        """POST /simulator/faults: {"fault", "value", "chance", "times", "path"}; 400 says what is wrong."""
        try:
            self.switch_on(switch_of(await request.json()))
        except (UnknownFaultError, json.JSONDecodeError) as trouble:
            return web.json_response({"error": str(trouble)}, status=400)
        return web.json_response(self.faults())

    async def remove(self, request: web.Request) -> web.Response:
        """DELETE /simulator/faults: every fault off."""
        self.clear()
        return web.json_response(self.faults())

    async def show_state(self, request: web.Request) -> web.Response:
        """GET /simulator/state: what was accepted, ran, ended, and was touched by whom."""
        return web.json_response(self.state())

    async def begin_again(self, request: web.Request) -> web.Response:
        """POST /simulator/restart: queue, history and sockets are gone when this answers."""
        await self.restart()
        return web.json_response(self.faults())


def _local(handler: Handler) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.remote is None or not ipaddress.ip_address(request.remote).is_loopback:
            raise web.HTTPNotFound
        return await handler(request)

    return answer
