"""Lanes and servers as the operator sees and steers them: pause, drain, remove.

A server's state is what its owner knows: this process itself, or what another replica last wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from comfygate.domain.errors import NotFound
from comfygate.domain.health import ServerState
from comfygate.gate.context import SERVERS, Context, lane_bell, lease_name
from comfygate.store import accounts as accounts_store
from comfygate.store import jobs as jobs_store
from comfygate.store import lanes as lanes_store
from comfygate.store import leases as leases_store
from comfygate.store import server_health as health_store
from comfygate.store import servers as servers_store
from comfygate.store.engine import Connection
from comfygate.store.lanes import LaneRow
from comfygate.store.rows import ServerRow

UNKNOWN = "unknown"
"""State of a server that no running service owns."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ServerView:
    """A server as it stands: its state as shown, and the evidence behind it. `running` counts our attempts
    that are open there, whoever drives them."""

    row: ServerRow
    state: str
    reason: str
    version: str
    running: int
    quarantined_until_at_ms: int | None

    def to_json(self) -> Json:
        """As the operator reads it."""
        return {
            "name": self.row.name,
            "url": self.row.url,
            "lanes": list(self.row.lanes),
            "slots": self.row.slots,
            "ahead": self.row.ahead,
            "state": self.state,
            "running": self.running,
            "version": self.version,
            "last_error": self.reason,
            "drained_at_ms": self.row.drained_at_ms,
            "quarantined_until_at_ms": self.quarantined_until_at_ms,
        }


def look_at_servers(conn: Connection, ctx: Context) -> list[ServerView]:
    """Every server, by name. Of one that this process owns it knows best; of others, what was written."""
    now_ms = ctx.now_ms()
    kept = health_store.health_of_all(conn)
    running = servers_store.open_attempts(conn)
    owners = leases_store.owners(conn, now_ms)
    views = []
    for row in accounts_store.list_servers(conn):
        found, mine = kept.get(row.name), ctx.fleet.status.get(row.name)
        owner = owners.get(lease_name(row.name))
        if mine is not None and owner == ctx.owner:
            state, reason, version = mine.state.value, mine.last_error, mine.version
        elif found is None:
            state, reason, version = UNKNOWN, "", ""
        elif owner is None:
            state, reason, version = UNKNOWN, f"no service runs; last: {found.state.value}", found.version
        else:
            state, reason, version = found.state.value, found.reason, found.version
        until = found.quarantined_until_at_ms if found and state == ServerState.QUARANTINED.value else None
        if row.drained_at_ms is not None:
            state = ServerState.DRAINING.value
        views.append(ServerView(row, state, reason, version, running.get(row.name, 0), until))
    return views


async def servers_list(ctx: Context) -> Json:
    """All servers, with what the services that own them know of them."""
    views = await ctx.store.read(look_at_servers, ctx)
    return {"servers": [view.to_json() for view in views]}


async def server_shown(ctx: Context, name: str) -> Json:
    """One server, as in the list. Raises NotFound."""
    for shown in (await servers_list(ctx))["servers"]:
        if shown["name"] == name:
            found: Json = shown
            return found
    raise NotFound(f"no server is called {name!r}; 'comfygate servers list' shows them")


async def servers_drain(ctx: Context, name: str) -> Json:
    """Give the server no new job; those on it go on. Raises NotFound."""
    row = await ctx.store.run(servers_store.drain, name, lease_name(name), ctx.now_ms())
    _ring(ctx, row)
    return await server_shown(ctx, name)


async def servers_resume(ctx: Context, name: str) -> Json:
    """Give a drained server jobs again. Raises NotFound."""
    row = await ctx.store.run(servers_store.undrain, name, ctx.now_ms())
    _ring(ctx, row)
    return await server_shown(ctx, name)


async def servers_remove(ctx: Context, name: str) -> Json:
    """Forget a server. Raises NotFound, and Conflict while a job of ours is on it."""
    row = await ctx.store.run(servers_store.remove, name, lease_name(name), ctx.now_ms())
    _ring(ctx, row)
    return {"name": row.name, "url": row.url, "removed": True}


def _ring(ctx: Context, row: ServerRow) -> None:
    ctx.bells.ring(SERVERS)
    for lane in row.lanes:
        ctx.bells.ring(lane_bell(lane))


async def lanes_list(ctx: Context) -> Json:
    """Every lane: the settings' own, and any that still has jobs."""
    return {"lanes": await ctx.store.read(_lanes, ctx)}


def _lanes(conn: Connection, ctx: Context) -> list[Json]:
    depths = jobs_store.lane_depths(conn)
    noted = lanes_store.list_lanes(conn)
    servers = accounts_store.list_servers(conn)
    # A lane that was taken out of the settings may have jobs still.
    names = [*ctx.rules.lanes, *sorted(depths.keys() - ctx.rules.lanes.keys())]
    return [_lane(ctx, noted.get(name, LaneRow(name)), depths.get(name, 0), servers) for name in names]


def _lane(ctx: Context, noted: LaneRow, depth: int, servers: list[ServerRow]) -> Json:
    rules = ctx.rules.lanes.get(noted.name)
    return {
        "name": noted.name,
        "state": "open" if noted.paused_at_ms is None else "paused",
        "paused_at_ms": noted.paused_at_ms,
        "unable_since_at_ms": noted.unable_since_at_ms,
        "depth": depth,
        "price": rules.price if rules else None,
        "servers": [server.name for server in servers if noted.name in server.lanes],
    }


async def lanes_pause(ctx: Context, lane: str) -> Json:
    """Give no job of the lane to any server; jobs are still taken in, and running ones go on.

    Raises NotFound.
    """
    await _known(ctx, lane)
    await ctx.store.run(lanes_store.pause, lane, ctx.now_ms())
    ctx.bells.ring(lane_bell(lane))
    return await _known(ctx, lane)


async def lanes_resume(ctx: Context, lane: str) -> Json:
    """Let a paused lane's jobs go to servers again. Raises NotFound."""
    await _known(ctx, lane)
    await ctx.store.run(lanes_store.resume, lane)
    ctx.bells.ring(lane_bell(lane))
    return await _known(ctx, lane)


async def _known(ctx: Context, lane: str) -> Json:
    lanes: list[Json] = (await lanes_list(ctx))["lanes"]
    for shown in lanes:
        if shown["name"] == lane:
            return shown
    names = ", ".join(shown["name"] for shown in lanes)
    raise NotFound(f"no lane is called {lane!r}; there are {names}")
