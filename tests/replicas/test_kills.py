"""Replicas as processes, killed with -9 while a client follows a job."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from comfygate.simulator import Simulator
from tests.cli.rig import PATIENCE_SECONDS, Running, command, serving
from tests.promises.rig import Caller, plain_graph
from tests.store.world import World

pytestmark = pytest.mark.postgresql
SECRET = "one signing secret that the replicas share"


class Street:
    """A database, a simulator, and replicas by name."""

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

    async def open(self, at: str, simulator: Simulator) -> None:
        """Through the replica `at`: a server that it owns, and an account."""
        base = self.base(at)
        added = await command(
            base, "servers", "add", "one", simulator.url, "--lanes", "image", "--json", **self.variables
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


@pytest.fixture
async def street(tmp_path: Path, postgresql_url: str) -> AsyncIterator[Street]:
    async with aiohttp.ClientSession() as session:
        yield Street(tmp_path, postgresql_url, session)


async def last_status(caller: Caller, job_id: str) -> str:
    """Follow to the end of the stream; the last status it told."""
    said = ""
    with contextlib.suppress(aiohttp.ClientError):
        async for name, data in caller.events(job_id):
            if name == "status":
                said = str(data["status"])
    return said


async def test_the_driver_is_killed_and_the_follower_sees_the_end(street: Street, tmp_path: Path) -> None:
    async with Simulator(base_dir=tmp_path / "comfy") as simulator, street.replica("driver") as driver:
        await street.open("driver", simulator)
        await driver.logged("server.up")
        async with street.replica("other") as other:
            ann = street.caller(other)
            simulator.hold()
            job_id = await ann.submit(plain_graph())
            following = asyncio.create_task(last_status(ann, job_id))
            await driver.logged("attempt.started")
            driver.tell(signal.SIGKILL)
            await driver.ended()
            await other.logged("attempt.adopted")
            simulator.release()
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await following == "succeeded"
            assert len(simulator.executed) == 1
            assert street.the_books() == (["grant", "hold", "capture"], 1)


async def test_the_followed_replica_is_killed_and_the_client_finds_the_end_at_the_other(
    street: Street, tmp_path: Path
) -> None:
    async with Simulator(base_dir=tmp_path / "comfy") as simulator, street.replica("driver") as driver:
        await street.open("driver", simulator)
        await driver.logged("server.up")
        simulator.hold()
        async with street.replica("other") as other:
            ann = street.caller(other)
            job_id = await ann.submit(plain_graph())
            await driver.logged("attempt.started")
            following = asyncio.create_task(last_status(ann, job_id))
            await ann.until(job_id, "running")
            other.tell(signal.SIGKILL)
            await other.ended()
            assert await following in {"", "queued", "running"}, "the stream broke off"
        simulator.release()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await last_status(street.caller(driver), job_id) == "succeeded"
        assert len(simulator.executed) == 1
        assert street.the_books() == (["grant", "hold", "capture"], 1)


async def test_roles_split_requests_from_dispatch(street: Street, tmp_path: Path) -> None:
    async with (
        Simulator(base_dir=tmp_path / "comfy") as simulator,
        street.replica("http", COMFYGATE_ROLE="http") as http,
        street.replica("dispatch", COMFYGATE_ROLE="dispatch") as dispatch,
    ):
        assert dispatch.url == ""
        await street.open("http", simulator)
        await dispatch.logged("server.up")
        ann = street.caller(http)
        async with asyncio.timeout(PATIENCE_SECONDS):
            refused = {"1": {"class_type": "NoSuchNode", "inputs": {}}}
            # Once it knows what the server can run, a graph with an unknown node is refused at once.
            while True:
                async with street.session.post(
                    f"{http.url}/api/v2/jobs", headers=ann.headers, json={"workflow": refused}
                ) as answer:
                    assert answer.status == 422
                    if "NoSuchNode" in json.dumps(await answer.json()):
                        break
        job_id = await ann.submit(plain_graph())
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await last_status(ann, job_id) == "succeeded"
        assert not any("attempt.claimed" in line for line in http.log)
        shown = await command(street.base("http"), "servers", "list", "--json", **street.variables)
        (server,) = shown.json()["servers"]
        assert server["state"] == "up"
        kinds, attempts = street.the_books()
        assert (kinds, attempts) == (["grant", "hold", "capture"], 1)


async def test_sqlite_is_for_one_process(tmp_path: Path) -> None:
    async with serving(tmp_path):
        second = await command(tmp_path, "serve", "--port", "0", "--json")
        assert second.code != 0
        assert "another process uses" in second.error()["message"]
    split = await command(tmp_path, "serve", "--role", "http", "--json")
    assert split.code != 0
    assert "SQLite is for one process" in split.err
