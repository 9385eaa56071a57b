"""Two replicas on one PostgreSQL: what happens in one is heard in the other, at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from comfygate.simulator import Simulator
from comfygate.store.rows import OutboxRow
from tests.looking import before_the_next_look
from tests.promises.rig import PATIENCE_SECONDS, Caller, Gateway, gateway, plain_graph, settings_for
from tests.store.world import World

pytestmark = pytest.mark.postgresql
SECRET = "one signing secret that the replicas share"


@dataclass
class Pair:
    """`driver` was first and owns the server; `other` is reached by the callers."""

    driver: Gateway
    other: Gateway
    simulator: Simulator
    world: World

    async def caller(self, name: str = "ann", **given: Any) -> tuple[Caller, Caller]:
        """One account, seen through the other replica and through the driver."""
        here = await self.driver.add_account(name, **given)
        return Caller(here.session, self.other.house.url, here.id, here.key), here


@pytest.fixture(autouse=True)
def no_safety_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not heard of is not found by polling within a test's patience."""
    monkeypatch.setattr("comfygate.gate.following.LOOK_SECONDS", 3600.0)
    monkeypatch.setattr("comfygate.gate.positions.POLL_SECONDS", 3600.0)
    monkeypatch.setattr("comfygate.gate.relay.POLL_SECONDS", 3600.0)


def settings(tmp_path: Path, name: str, url: str, **tables: Any) -> Any:
    shared = {"uploads_dir": str(tmp_path / "uploads"), "results_dir": str(tmp_path / "results")}
    dispatch = {"poll_seconds": 3600, "lease_seconds": 3, **tables.pop("dispatch", {})}
    return settings_for(
        tmp_path / name, url, dispatch=dispatch, top={**shared, "signing_secret": SECRET}, **tables
    )


@pytest.fixture
async def pair(tmp_path: Path, postgresql_url: str) -> AsyncIterator[Pair]:
    async with (
        Simulator(base_dir=tmp_path / "comfy", steps=True) as simulator,
        gateway(settings(tmp_path, "a", postgresql_url)) as driver,
    ):
        await driver.add_server("one", simulator.url, "image")
        async with gateway(settings(tmp_path, "b", postgresql_url)) as other:
            yield Pair(driver, other, simulator, World(postgresql_url))


async def test_a_follower_hears_the_job_that_the_other_replica_drives(pair: Pair) -> None:
    ann, _ = await pair.caller()
    job_id = await ann.submit(plain_graph())
    told = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for name, data in ann.events(job_id):
            told.append(data["status"] if name == "status" else name)
    assert told[-1] == "succeeded"
    assert "output" in told
    assert len(pair.simulator.executed) == 1
    job = await ann.job(job_id)
    assert await ann.content(job["outputs"][0]), "made by one replica, handed out by the other"


async def test_progress_crosses_over(pair: Pair) -> None:
    ann, _ = await pair.caller()
    pair.simulator.hold()
    job_id = await ann.submit(plain_graph())
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for name, data in ann.events(job_id):
            if name == "progress":
                assert data["nodes_total"] == 2
                break
    pair.simulator.release()
    assert (await ann.end(job_id))["status"] == "succeeded"


async def test_a_cancel_reaches_the_driver_at_once(pair: Pair) -> None:
    ann, _ = await pair.caller()
    pair.simulator.hold()
    job_id = await ann.submit(plain_graph())
    await ann.until(job_id, "running")
    await ann.call("POST", f"/api/v2/jobs/{job_id}/cancel")
    assert (await ann.end(job_id))["status"] == "canceled"
    assert await ann.credits() == (100, 0)
    pair.simulator.release()


async def test_places_in_line_move_in_both(pair: Pair) -> None:
    ann, at_the_driver = await pair.caller()
    pair.simulator.hold()
    first = await at_the_driver.submit(plain_graph(0))
    await ann.until(first, "running")
    second, third = await ann.submit(plain_graph(1)), await ann.submit(plain_graph(2))
    assert (await ann.job(third))["queue_position"] == 2
    places: list[int] = []
    followed = asyncio.Event()

    async def follow() -> None:
        async for name, data in ann.events(third):
            if name == "status" and data["queue_position"] is not None:
                places.append(data["queue_position"])
                followed.set()

    following = asyncio.create_task(follow())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await followed.wait()
    pair.simulator.release()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await following
    assert places[0] == 2
    assert places == sorted(places, reverse=True)
    assert 0 in places or 1 in places
    # What it made may be fetched still while the next one is done.
    assert (await ann.end(second))["status"] == "succeeded"


async def test_subscribers_are_told_by_one_replica_and_then_by_its_heir(
    tmp_path: Path, postgresql_url: str
) -> None:
    told: list[tuple[str, str]] = []

    def listens(at: Gateway, name: str) -> None:
        async def tell(row: OutboxRow) -> None:
            told.append((name, row.kind))

        at.house.service.subscribers.append(tell)

    async with Simulator(base_dir=tmp_path / "comfy") as simulator, AsyncExitStack() as first_stack:
        first = await first_stack.enter_async_context(gateway(settings(tmp_path, "a", postgresql_url)))
        listens(first, "first")
        await first.add_server("one", simulator.url, "image")
        async with gateway(settings(tmp_path, "b", postgresql_url)) as second:
            listens(second, "second")
            ann = await second.add_account("ann")
            await ann.end(await ann.submit(plain_graph()))
            assert {name for name, _ in told} == {"first"}, "one of the two tells, and only that one"
            await first_stack.aclose()
            told.clear()
            job_id = await ann.submit(plain_graph(1))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while ("second", "job.succeeded") not in told:
                    await before_the_next_look()
            assert {name for name, _ in told} == {"second"}
            assert (await ann.job(job_id))["status"] == "succeeded"


async def test_a_replica_that_stops_hands_its_servers_over(tmp_path: Path, postgresql_url: str) -> None:
    async with Simulator(base_dir=tmp_path / "comfy") as simulator, AsyncExitStack() as going_stack:
        at_once = settings(tmp_path, "a", postgresql_url, dispatch={"stop_seconds": 0, "lease_seconds": 60})
        going = await going_stack.enter_async_context(gateway(at_once))
        await going.add_server("one", simulator.url, "image")
        patient = settings(tmp_path, "b", postgresql_url, dispatch={"lease_seconds": 60})
        async with gateway(patient) as staying:
            ann = await staying.add_account("ann")
            simulator.hold()
            job_id = await ann.submit(plain_graph())
            await ann.until(job_id, "running")
            await going_stack.aclose()
            simulator.release()
            assert (await ann.end(job_id))["status"] == "succeeded", "long before its lease would run out"
            assert len(simulator.executed) == 1, "adopted, not run again"
            await staying.audit()


async def test_connections_that_postgresql_ends_are_lived_through(pair: Pair) -> None:
    ann, _ = await pair.caller()
    pair.simulator.hold()
    job_id = await ann.submit(plain_graph())
    await ann.until(job_id, "running")
    pair.world.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    pair.simulator.release()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await _status(ann, job_id) != "succeeded":
            await before_the_next_look()
    assert (await ann.end(await ann.submit(plain_graph(1))))["status"] == "succeeded", "heard at once again"
    await pair.driver.audit()


async def _status(caller: Caller, job_id: str) -> str:
    """The job's status; an answer of 503 means: not known right now."""
    async with caller.session.get(f"{caller.url}/api/v2/jobs/{job_id}", headers=caller.headers) as answer:
        assert answer.status in {200, 503}
        return str((await answer.json()).get("status"))
