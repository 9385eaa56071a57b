"""Replicas as processes, killed with -9 while a client follows a job."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from comfygate.simulator import Simulator
from tests.cli.rig import PATIENCE_SECONDS, command, serving
from tests.looking import before_the_next_look
from tests.promises.rig import plain_graph
from tests.promises.street import Street, last_status

pytestmark = pytest.mark.postgresql


@pytest.fixture
async def street(tmp_path: Path, postgresql_url: str) -> AsyncIterator[Street]:
    async with aiohttp.ClientSession() as session:
        yield Street(tmp_path, postgresql_url, session)


async def test_the_driver_is_killed_and_the_follower_sees_the_end(street: Street, tmp_path: Path) -> None:
    async with Simulator(base_dir=tmp_path / "comfy") as simulator, street.replica("driver") as driver:
        await street.open("driver", simulator.url)
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
        await street.open("driver", simulator.url)
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
        await street.open("http", simulator.url)
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
                await before_the_next_look()
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
