"""The service's HTTP side over a database of `crowd`, in this process, and a person who opens its pages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from fastapi import FastAPI

from benchmarks import crowd
from benchmarks.page_reads import STREAMS
from comfygate.api.server import create_api, end_streams
from comfygate.app import opened
from comfygate.app.http import bound, listening
from comfygate.gate import accounts, operate
from comfygate.gate.context import Context
from comfygate.gate.files import UrlSigner
from comfygate.gate.ops_board import Board
from comfygate.settings import Settings

CATALOGUE = Path(__file__).parent.parent / "workflows"
OWN = {"Sec-Fetch-Site": "same-origin"}


@dataclass(slots=True)
class PageHouse:
    """Nothing runs behind it: no loop of the service reads or writes beside the pages."""

    ctx: Context
    api: FastAPI
    url: str
    person: aiohttp.ClientSession

    async def sign_in(self) -> None:
        """From here on the person is the heavy account, which operates as well."""
        await operate.perform(self.ctx, "accounts.role", {"account": crowd.HEAVY, "role": "admin"})
        key = (await accounts.add_key(self.ctx, crowd.HEAVY)).api_key
        async with self.person.post(
            f"{self.url}/gate/v1/session", json={"api_key": key}, headers=OWN
        ) as answer:
            answer.raise_for_status()

    async def look_anew(self) -> None:
        """Have the next page that shows how everything stands look at it: what is known from a second ago is
        forgotten, and the books are not read in between."""
        before: Board = self.api.state.board
        await before.alerts.books_read()
        now = self.api.state.board = Board(self.ctx)
        now.alerts = before.alerts

    async def open(self, addresses: Sequence[str]) -> None:
        """Ask for all of a page at once, as its scripts do. Raises ClientResponseError for a refusal."""
        await asyncio.gather(*(self.read(address) for address in addresses))

    async def read(self, address: str) -> Any:
        """The JSON answer; of a stream all up to the event after which everything is known."""
        last = STREAMS.get(address)
        async with self.person.get(f"{self.url}/{address}") as answer:
            answer.raise_for_status()
            if last is None:
                return await answer.json()
            async for line in answer.content:
                if line == f"event: {last}\n".encode():
                    return None
        raise RuntimeError(f"{address} ended before it told {last}")


@contextlib.asynccontextmanager
async def page_house(settings: Settings) -> AsyncIterator[PageHouse]:
    """Answer for the length of the block."""
    jar = aiohttp.CookieJar(unsafe=True)
    with contextlib.closing(bound("127.0.0.1", 0)) as sock:
        async with opened(settings) as ctx:
            api = create_api(ctx, signer=UrlSigner(b"of the bench", 3600))
            async with (
                listening(api, sock, lambda: end_streams(api)) as http,
                aiohttp.ClientSession(cookie_jar=jar, read_bufsize=2**22) as person,
            ):
                yield PageHouse(ctx, api, f"http://127.0.0.1:{http.port}", person)
