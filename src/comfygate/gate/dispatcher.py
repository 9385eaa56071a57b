"""A loop for every configured server, each independent of the others: a stuck video server delays no image.

Also renews the leases of everything that runs here, and hears of cancels that another process accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from comfygate.domain.errors import GateError
from comfygate.gate.context import SERVERS, Context, heard
from comfygate.gate.run import Link
from comfygate.gate.server_loop import ServerLoop
from comfygate.store import accounts as accounts_store
from comfygate.store import attempts as attempts_store
from comfygate.store.rows import ClaimedAttempt, ServerRow

Connect = Callable[[ServerRow], Link]
SERVERS_POLL_SECONDS = 10.0

log = structlog.get_logger(__name__)


class Dispatcher:
    """Starts, replaces and stops the loops of the servers as the configured list changes."""

    def __init__(self, ctx: Context, connect: Connect) -> None:
        self._ctx = ctx
        self._connect = connect
        self._loops: dict[str, tuple[ServerLoop, asyncio.Task[None]]] = {}
        self._bell = ctx.bells.hang(frozenset({SERVERS}))
        self._left_open: dict[str, list[ClaimedAttempt]] = {}
        self._stopping = False

    async def run(self) -> None:
        """Until cancelled; running attempts are then left for adoption."""
        leases = asyncio.create_task(keep_leases(self._ctx))
        try:
            while True:
                self._bell.clear()
                try:
                    await self._follow_list()
                except Exception as error:  # noqa: BLE001 - the servers' loops outlive a failed look at the list
                    log.error("servers.not_read", error=repr(error))
                await heard(self._bell, SERVERS_POLL_SECONDS)
        finally:
            tasks = [leases, *(task for _, task in self._loops.values())]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ctx.bells.remove(self._bell)

    async def drained(self) -> None:
        """Claim nothing more, and return when nothing runs any more."""
        self._stopping = True
        await asyncio.gather(*(loop.drained() for loop, _ in self._loops.values()))

    async def _follow_list(self) -> None:
        if self._stopping:
            return
        wanted = {server.name: server for server in await self._ctx.store.read(accounts_store.list_servers)}
        for name, (loop, task) in list(self._loops.items()):
            if wanted.get(name) != loop.server:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                self._left_open[name] = loop.left_open()
                del self._loops[name]
        for name, server in wanted.items():
            if name not in self._loops:
                self._start(server)

    def _start(self, server: ServerRow) -> None:
        """Begin a server's loop; one that cannot be set up is logged and leaves the others alone."""
        try:
            link = self._connect(server)
        except GateError as error:
            log.error("server.not_usable", server=server.name, error=error.message)
            return
        loop = ServerLoop(self._ctx, server, link, self._left_open.pop(server.name, ()))
        task = asyncio.create_task(loop.run(), name=f"server {server.name}")
        self._loops[server.name] = (loop, task)
        log.info(
            "server.configured",
            server=server.name,
            url=server.url,
            lanes=server.lanes,
            slots=server.slots,
        )


async def keep_leases(ctx: Context) -> None:
    """Renew our leases three times within their life, until cancelled."""
    while True:
        try:
            await ctx.store.run(attempts_store.renew, ctx.owner, ctx.lease_ms, ctx.now_ms())
            for job_id in await ctx.store.read(attempts_store.canceling_of, ctx.owner):
                signal = ctx.cancels.get(job_id)
                if signal is not None:
                    signal.set()
        except Exception as error:  # noqa: BLE001 - the loop outlives a failed round
            log.error("leases.not_renewed", error=repr(error))
        await asyncio.sleep(ctx.rules.lease_seconds / 3)
