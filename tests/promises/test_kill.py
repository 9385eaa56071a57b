"""kill -9 while a job runs, of each part in turn: the gateway, ComfyUI, PostgreSQL. All real processes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from comfygate.simulator import Simulator
from tests.cli.rig import PATIENCE_SECONDS, command, running
from tests.looking import before_the_next_look
from tests.postgres import mortal_postgres
from tests.promises.rig import Caller, plain_graph
from tests.promises.street import Street

ONCE = ["grant", "hold", "capture"]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def ended(caller: Caller, job_id: str) -> str:
    """Ask until the job has ended; while the database is away the answer is 503."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            url = f"{caller.url}/api/v2/jobs/{job_id}"
            async with caller.session.get(url, headers=caller.headers) as answer:
                assert answer.status in {200, 503}, await answer.text()
                job = await answer.json()
            if answer.status == 200 and job["completed_at"] is not None:
                return str(job["status"])
            await before_the_next_look()


async def test_the_gateway_is_killed_while_a_job_runs(
    tmp_path: Path, database_url: str, session: aiohttp.ClientSession
) -> None:
    street = Street(tmp_path, database_url, session)
    async with Simulator(base_dir=tmp_path / "comfy") as simulator:
        simulator.hold()
        async with street.replica("gate") as first:
            await street.open("gate", simulator.url)
            ann = street.caller(first)
            job_id = await ann.submit(plain_graph())
            await ann.until(job_id, "running")
            first.tell(signal.SIGKILL)
            assert await first.ended() == -signal.SIGKILL
        async with street.replica("gate") as second:
            await second.logged("attempt.adopted")
            simulator.release()
            ann = street.caller(second)
            assert (await ann.end(job_id))["status"] == "succeeded"
            assert len((await ann.job(job_id))["outputs"]) == 1
            assert len(simulator.executed) == 1
            assert street.the_books() == (ONCE, 1)


async def test_comfyui_is_killed_while_a_job_runs(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    street = Street(tmp_path, f"sqlite:///{tmp_path / 'gate.db'}", session)
    journal = tmp_path / "journal.jsonl"
    options = ("--speed", "0", "--json", "--journal", str(journal))
    async with street.replica("gate") as gate:
        async with running(tmp_path, "simulate", "--port", "0", "--fault", "hang", *options) as comfy:
            await street.open("gate", comfy.url)
            ann = street.caller(gate)
            first, second = [await ann.submit(plain_graph(colour)) for colour in (1, 2)]
            await ann.until(first, "running")
            comfy.tell(signal.SIGKILL)
            await comfy.ended()
            port = str(urlsplit(comfy.url).port)
        async with running(tmp_path, "simulate", "--port", port, *options):
            ends = [(await ann.end(job_id))["status"] for job_id in (first, second)]
            shown = [
                (await command(street.base("gate"), "jobs", "show", job_id, "--json", **street.variables))
                .json()["attempts"]
                for job_id in (first, second)
            ]  # fmt: skip
    assert ends == ["succeeded", "succeeded"]
    assert [attempt["outcome"] for attempt in shown[0]] == ["lost", "succeeded"]
    assert [attempt["outcome"] for attempt in shown[1]] == ["succeeded"]
    assert shown[0][1]["claimed_at_ms"] <= shown[1][0]["claimed_at_ms"], "its old ticket is the better one"
    kinds, _attempts = street.the_books()
    assert sorted(kinds) == sorted(["grant", "hold", "hold", "capture", "capture"])


@pytest.mark.postgresql
async def test_postgresql_is_killed_while_a_job_runs(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    with mortal_postgres() as server, server.postgres.database() as url:
        street = Street(tmp_path, url, session)
        async with Simulator(base_dir=tmp_path / "comfy") as simulator, street.replica("gate") as gate:
            await street.open("gate", simulator.url)
            ann = street.caller(gate)
            simulator.hold()
            job_id = await ann.submit(plain_graph())
            await ann.until(job_id, "running")
            await asyncio.to_thread(server.kill)
            simulator.release()
            [prompt_id] = simulator.executed
            await simulator.finished(prompt_id)
            await asyncio.to_thread(server.start)
            assert await ended(ann, job_id) == "succeeded"
            assert simulator.executed == [prompt_id]
            assert street.the_books() == (ONCE, 1)
