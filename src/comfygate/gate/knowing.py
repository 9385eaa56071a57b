"""What this process must know of servers that another replica owns: their state, and the nodes they have.

A graph is checked, and its files are found, by what the lane's servers can run; a process that gives no
work to a server asks it for that all the same, now and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from comfygate.comfy.client import ComfyClient
from comfygate.comfy.errors import ComfyError
from comfygate.domain.errors import GateError
from comfygate.gate.context import HEALTH, SERVERS, Context, ServerStatus, heard
from comfygate.gate.run import Link
from comfygate.store import accounts as accounts_store
from comfygate.store import server_health as health_store
from comfygate.store.rows import ServerRow
from comfygate.store.server_health import HealthRow

LOOK_SECONDS = 5.0
"""Between two looks at what the owners found out."""
LOOKS_APART_SECONDS = 0.1
"""Least time between two looks."""

log = structlog.get_logger(__name__)


class Knowing:
    """Keeps `ctx.fleet` filled in for the servers that are not `owned` by this process."""

    def __init__(
        self, ctx: Context, connect: Callable[[ServerRow], Link], owned: Callable[[str], bool]
    ) -> None:
        self._ctx = ctx
        self._connect = connect
        self._owned = owned
        self._clients: dict[ServerRow, ComfyClient] = {}
        self._asked_at: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        bell = self._ctx.bells.hang(frozenset({HEALTH, SERVERS}))
        try:
            while True:
                bell.clear()
                await self._look()
                # While many servers come up at once, so many words are taken together.
                await asyncio.sleep(LOOKS_APART_SECONDS)
                await heard(bell, LOOK_SECONDS)
        finally:
            self._ctx.bells.remove(bell)

    async def _look(self) -> None:
        fleet = self._ctx.fleet
        servers = await self._ctx.store.read(accounts_store.list_servers)
        known = await self._ctx.store.read(health_store.health_of_all)
        for name in fleet.status.keys() - {server.name for server in servers}:
            if not self._owned(name):
                fleet.status.pop(name, None)
                fleet.classes.pop(name, None)
        for server in servers:
            if not self._owned(server.name):
                fleet.status[server.name] = _status(server, known.get(server.name))
                await self._learn(server)

    async def _learn(self, server: ServerRow) -> None:
        """Ask for the node classes, if that was not done lately. A server that is away is asked again."""
        now = asyncio.get_running_loop().time()
        if now - self._asked_at.get(server.name, float("-inf")) < self._ctx.rules.object_info_seconds:
            return
        try:
            client = self._clients.get(server) or self._connect(server).client
            self._clients[server] = client
            fleet = self._ctx.fleet
            classes = await fleet.abilities.ask(client, fleet.classes.values())
        except (ComfyError, GateError) as error:
            log.info("server.not_asked", server=server.name, error=str(error))
            return
        if not self._owned(server.name):
            self._ctx.fleet.classes[server.name] = classes
            self._asked_at[server.name] = now


def _status(server: ServerRow, known: HealthRow | None) -> ServerStatus:
    if known is None:
        return ServerStatus(lanes=server.lanes, last_error="no replica has looked at it yet")
    return ServerStatus(known.state, known.version, known.reason, lanes=server.lanes)
