"""Whether this gate can do its work right now."""

from __future__ import annotations

from dataclasses import dataclass

from comfygate.gate.context import Context
from comfygate.store import accounts as accounts_store


@dataclass(frozen=True, slots=True)
class Health:
    """Servers configured, and how many of them this process finds up."""

    servers: int
    servers_up: int


async def look(ctx: Context) -> Health:
    """Ask the database, which must answer, and count the servers. Raises what the store raises."""
    servers = await ctx.store.read(accounts_store.list_servers)
    up = sum(status.up for status in ctx.fleet.status.values())
    return Health(servers=len(servers), servers_up=up)
