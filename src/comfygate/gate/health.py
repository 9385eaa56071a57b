"""Whether this gate can do its work right now."""

from __future__ import annotations

from dataclasses import dataclass

from comfygate.gate.context import Context
from comfygate.store import accounts as accounts_store


@dataclass(frozen=True, slots=True)
class Health:
    """Servers configured, how many of them this process finds up, and whether it can screen pictures."""

    servers: int
    servers_up: int
    screens: bool
    """Whether pictures can be screened, or nothing asked yet."""


async def look(ctx: Context) -> Health:
    """Ask the database, which must answer, and count the servers. Raises what the store raises."""
    servers = await ctx.store.read(accounts_store.list_servers)
    up = sum(status.up for status in ctx.fleet.status.values())
    screens = ctx.eyes is None or not ctx.eyes.classifier.trouble
    return Health(servers=len(servers), servers_up=up, screens=screens)
