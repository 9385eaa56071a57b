"""A reverse proxy as people put one before the service: it strips a prefix and passes on all as it comes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

HOP_BY_HOP: Final = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}


SESSION: Final = web.AppKey("session", aiohttp.ClientSession)


class Proxy:
    """Answers below `prefix` what `upstream` answers without it."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.upstream = ""
        self.url = ""
        self.open = 0
        """Requests that are being passed on."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on, and its answer back, piece by piece."""
        if not request.raw_path.startswith(f"{self.prefix}/"):
            raise web.HTTPNotFound
        session: aiohttp.ClientSession = request.app[SESSION]
        address = URL(self.upstream + request.raw_path.removeprefix(self.prefix), encoded=True)
        headers = [(name, value) for name, value in request.headers.items() if _passed(name)]
        body = request.content if request.can_read_body else None
        self.open += 1
        try:
            async with session.request(
                request.method, address, headers=headers, data=body, allow_redirects=False
            ) as came:
                kept = [(name, value) for name, value in came.headers.items() if _passed(name)]
                answer = web.StreamResponse(status=came.status)
                answer.headers.extend(kept)
                await answer.prepare(request)
                async for piece in came.content.iter_any():
                    await answer.write(piece)
        finally:
            self.open -= 1
        return answer


def _passed(header: str) -> bool:
    return header.lower() not in HOP_BY_HOP


@contextlib.asynccontextmanager
async def proxied(prefix: str) -> AsyncIterator[Proxy]:
    """The proxy, which is given its `upstream` once that is known."""
    proxy = Proxy(prefix)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", proxy.handle)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        app[SESSION] = session
        # Without this, who leaves is noticed when something is written to them: until then their streams are
        # open behind the proxy, count against their account, and hold up its end.
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            proxy.url = f"http://127.0.0.1:{port}{prefix}"
            yield proxy
        finally:
            await runner.cleanup()
