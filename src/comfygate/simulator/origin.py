"""Who sent a request, as far as a server without authentication can know."""

from __future__ import annotations

from aiohttp import web

from comfygate.simulator.journal import Origin


def origin_of(request: web.Request, client_id: str = "") -> Origin:
    """The other end of the connection and what it calls itself."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    name = f"{peer[0]}:{peer[1]}" if peer else request.remote or ""
    return Origin(name, request.headers.get("User-Agent", ""), client_id)
