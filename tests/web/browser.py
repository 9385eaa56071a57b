"""A browser as far as signing in goes: keeps cookies, and says which site a request comes from."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

SAME_SITE = {"Sec-Fetch-Site": "same-origin"}


class Browser:
    """One person's browser at one service."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def ask(
        self,
        method: str,
        path: str,
        *,
        status: int = 200,
        headers: dict[str, str] | None = None,
        **given: Any,
    ) -> Any:
        """The JSON answer, if there is one, to a request that must have `status`."""
        sent = SAME_SITE if headers is None else headers
        async with self.session.request(method, f"{self.url}{path}", headers=sent, **given) as answer:
            body = await answer.json() if answer.content_type == "application/json" else None
            assert answer.status == status, body
            return body

    async def sign_in(self, link: str) -> Any:
        """What the page does with the link that it was opened by."""
        code = link.partition("#")[2]
        return await self.ask("POST", "/gate/v1/session", status=201, json={"code": code})


@contextlib.asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Browser]:
    """A browser without cookies."""
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Browser(url, session)
