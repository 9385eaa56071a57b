"""A loop for every server that this process owns, each independent of the others: a stuck video server delays
no image.

A server belongs to one replica at a time, by a lease. This process keeps the leases it has, takes those that
are free or have run out, and hears of cancels that another process accepted.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

import structlog

from comfygate.domain.errors import GateError
from comfygate.gate.context import SERVERS, Context, heard, lease_name
from comfygate.gate.run import Link
from comfygate.gate.server_loop import ServerLoop
from comfygate.store import accounts as accounts_store
from comfygate.store import attempts as attempts_store
from comfygate.store import leases as leases_store
from comfygate.store import servers as servers_store
from comfygate.store.engine import Connection
from comfygate.store.rows import ClaimedAttempt, ServerRow

Connect = Callable[[ServerRow], Link]
SERVERS_POLL_SECONDS = 10.0
RENEWALS_A_LEASE = 3
"""How often leases are renewed, and free ones looked for, within the life of one."""

log = structlog.get_logger(__name__)


class Dispatcher:
    """Starts, replaces and stops the loops of the servers as leases come and go and the list changes."""

    def __init__(self, ctx: Context, connect: Connect) -> None:
        self._ctx = ctx
        self._connect = connect
        self._loops: dict[str, tuple[ServerLoop, asyncio.Task[None]]] = {}
        self._bell = ctx.bells.hang(frozenset({SERVERS}))
        self._left_open: dict[str, list[ClaimedAttempt]] = {}
        self._open: Mapping[str, Collection[str]] = {}
        self._stopping = False
        self._first = True

    async def run(self) -> None:
        """Until cancelled; running attempts are then left for adoption."""
        try:
            while True:
                self._bell.clear()
                try:
                    await self._one_round()
                except Exception as error:  # noqa: BLE001 - the servers' loops outlive a failed round
                    log.error("leases.not_renewed", error=repr(error))
                await heard(self._bell, self._ctx.rules.lease_seconds / RENEWALS_A_LEASE)
        finally:
            tasks = [task for _, task in self._loops.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ctx.bells.remove(self._bell)

    def owns(self, server: str) -> bool:
        """Whether this process gives work to the server."""
        return server in self._loops

    async def drained(self) -> None:
        """Claim nothing more, and return when nothing runs any more."""
        self._stopping = True
        await asyncio.gather(*(loop.drained() for loop, _ in self._loops.values()))

    async def _one_round(self) -> None:
        """Renew what is ours, take what is free, run just these servers, and hear of cancels."""
        ctx = self._ctx
        wanted = {server.name: server for server in await ctx.store.read(accounts_store.list_servers)}
        # Before a new server's loop begins: what is ready elsewhere is then not sent without a look.
        times = Counter(lane for server in wanted.values() for lane in server.lanes)
        ctx.fleet.sole = frozenset(lane for lane, servers in times.items() if servers == 1)
        # While draining nothing new is taken on, but what still runs must stay ours.
        names = self._loops.keys() if self._stopping else wanted.keys()
        began = asyncio.get_running_loop().time()
        ours = await ctx.store.run(
            own,
            ctx.owner,
            sorted(names),
            ctx.lease_ms,
            ctx.now_ms(),
            # SQLite is opened by one process at a time, so whoever else has a lease is dead.
            alone=self._first and ctx.store.dialect == "sqlite",
        )
        if not self._stopping:
            # Before what waits for the leases goes on: these must not send anything any more.
            for name in self._loops.keys() - ours:
                self._loops[name][1].cancel()
        ctx.lease.renewed(began + ctx.rules.lease_seconds)
        self._first = False
        if not self._stopping:
            # With the leases come the attempts that are open there, which nothing else can add to any more.
            self._open = await ctx.store.read(servers_store.open_prompts)
            await self._follow_list({name: server for name, server in wanted.items() if name in ours})
        for job_id in await ctx.store.read(attempts_store.canceling_of, ctx.owner):
            signal = ctx.cancels.get(job_id)
            if signal is not None:
                signal.set()

    async def _follow_list(self, wanted: dict[str, ServerRow]) -> None:
        for name, (loop, task) in list(self._loops.items()):
            if wanted.get(name) != loop.server:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                # Of a server that another replica took over nothing is left to us.
                self._left_open[name] = loop.left_open() if name in wanted else []
                del self._loops[name]
        for name, server in wanted.items():
            if name in self._loops:
                self._loops[name][0].adopt_if_needed(self._open.get(name, ()))
            else:
                self._start(server)

    def _start(self, server: ServerRow) -> None:
        """Begin a server's loop; one that cannot be set up is logged and leaves the others alone."""
        try:
            link = self._connect(server)
        except GateError as error:
            log.error("server.not_usable", server=server.name, error=error.message)
            return
        inherited = self._left_open.pop(server.name, ())
        loop = ServerLoop(self._ctx, server, link, inherited, adopt=server.name in self._open)
        task = asyncio.create_task(loop.run(), name=f"server {server.name}")
        self._loops[server.name] = (loop, task)
        log.info(
            "server.configured",
            server=server.name,
            url=server.url,
            lanes=server.lanes,
            slots=server.slots,
            ahead=server.ahead,
        )


def own(
    conn: Connection, owner: str, servers: Iterable[str], lease_ms: int, now_ms: int, *, alone: bool
) -> frozenset[str]:
    """Renew or take the leases of these servers, and of our attempts with them. The servers that are ours
    now."""
    if alone:
        leases_store.release_others(conn, owner)
    of_lease = {lease_name(name): name for name in servers}
    taken = leases_store.take_all(conn, of_lease, owner, lease_ms, now_ms)
    ours = frozenset(of_lease[lease] for lease in taken)
    attempts_store.renew(conn, owner, ours, lease_ms, now_ms)
    return ours


def let_go(conn: Connection, owner: str) -> None:
    """This process stops: others need not wait for its leases to run out."""
    leases_store.release_all(conn, owner)
    attempts_store.let_go(conn, owner)
