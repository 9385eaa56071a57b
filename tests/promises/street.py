"""Gateways as processes on one database, an account, and the books: for tests that kill."""

from __future__ import annotations

import contextlib
from pathlib import Path

import aiohttp

from tests.cli.rig import Running, command, serving
from tests.promises.rig import Caller
from tests.store.world import World

SECRET = "one signing secret that the replicas share"


class Street:
    """A database, and replicas by name."""

    def __init__(self, tmp_path: Path, url: str, session: aiohttp.ClientSession) -> None:
        self.tmp_path = tmp_path
        self.world = World(url)
        self.session = session
        self.key = ""
        self.variables = {
            "COMFYGATE_DATABASE_URL": url,
            "COMFYGATE_SIGNING_SECRET": SECRET,
            "COMFYGATE_UPLOADS_DIR": str(tmp_path / "uploads"),
            "COMFYGATE_RESULTS_DIR": str(tmp_path / "results"),
            "COMFYGATE_DISPATCH__LEASE_SECONDS": "2",
            "COMFYGATE_COMFY__POLL_SECONDS": "0.3",
        }

    def base(self, name: str) -> Path:
        folder = self.tmp_path / name
        folder.mkdir(exist_ok=True)
        return folder

    def replica(self, name: str, **more: str) -> contextlib.AbstractAsyncContextManager[Running]:
        return serving(self.base(name), **self.variables, **more)

    async def open(self, at: str, server: str) -> None:
        """Through the replica `at`: a server that it owns, and an account."""
        base = self.base(at)
        added = await command(
            base, "servers", "add", "one", server, "--lanes", "image", "--json", **self.variables
        )
        assert added.code == 0, added.err
        made = await command(base, "accounts", "add", "ann", "--credits", "10", "--json", **self.variables)
        self.key = str(made.json()["api_key"])

    def caller(self, at: Running) -> Caller:
        return Caller(self.session, at.url, "ann", self.key)

    def the_books(self) -> tuple[list[str], int]:
        kinds = [row[0] for row in self.world.sql("SELECT kind FROM entries ORDER BY id")]
        attempts: int = self.world.sql("SELECT count(*) FROM attempts")[0][0]
        self.world.assert_books_balance()
        return kinds, attempts


async def last_status(caller: Caller, job_id: str) -> str:
    """Follow to the end of the stream; the last status it told."""
    said = ""
    with contextlib.suppress(aiohttp.ClientError):
        async for name, data in caller.events(job_id):
            if name == "status":
                said = str(data["status"])
    return said
