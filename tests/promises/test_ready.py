"""The next job is sent the moment the present one ends; whatever comes in between still goes by the order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import Connection, update

from comfygate.domain.job import Fence
from comfygate.gate import drive, server_loop
from comfygate.gate.ahead import Ahead
from comfygate.gate.claiming import Claiming
from comfygate.simulator import Simulator
from comfygate.simulator.journal import Moment
from comfygate.store import fit, jobs
from comfygate.store.ready import Late
from comfygate.store.rows import ClaimedAttempt
from comfygate.store.tables import jobs as jobs_table
from tests.looking import before_the_next_look
from tests.promises.rig import PATIENCE_SECONDS, Caller, Gateway, gateway, plain_graph, settings_for
from tests.promises.street import Street
from tests.store.world import World


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def until_ready(world: World, job_id: str | None) -> None:
    """Wait until this job (None: none) is the one made ready."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while [row[0] for row in await asyncio.to_thread(world.sql, "SELECT job_id FROM ready")] != (
            [job_id] if job_id else []
        ):
            await before_the_next_look()


def sent(simulator: Simulator) -> list[str]:
    """The job ids of the prompts that were posted, in order, by their folders."""
    found = []
    for one in simulator.requests:
        if one.method == "POST" and one.path == "/prompt":
            save = next(n for n in one.json["prompt"].values() if n["class_type"] == "SaveImage")
            found.append(save["inputs"]["filename_prefix"].split("/")[2].rpartition("-")[0])
    return found


@pytest.fixture
def world(database_url: str) -> World:
    return World(database_url)


async def with_one_ready(house: Gateway, simulator: Simulator, world: World) -> tuple[Caller, str, str]:
    """One job runs, held by the server, and the one after it is ready."""
    ann = await house.add_account("ann")
    simulator.hold("node")
    first = await ann.submit(plain_graph(1))
    await ann.until(first, "running")
    second = await ann.submit(plain_graph(2))
    await until_ready(world, second)
    return ann, first, second


async def test_what_is_ready_is_sent_and_then_claimed(
    house: Gateway, simulator: Simulator, world: World
) -> None:
    ann, first, second = await with_one_ready(house, simulator, world)
    shown = await ann.job(second)
    assert (shown["status"], shown["queue_position"]) == ("queued", 1)
    assert world.sql("SELECT count(*) FROM attempts")[0][0] == 1
    (prompt,) = (row[0] for row in world.sql("SELECT prompt_id FROM ready"))
    simulator.release()
    assert (await ann.end(first))["status"] == "succeeded"
    assert (await ann.end(second))["status"] == "succeeded"
    assert sent(simulator) == [first, second]
    found = world.sql("SELECT prompt_id FROM attempts WHERE job_id = :job", job=second)
    assert [row[0] for row in found] == [prompt]
    assert await ann.entries(second) == ["hold", "capture"]
    await until_ready(world, None)
    await house.audit()


async def test_the_next_prompt_is_sent_before_it_is_asked_how_the_last_one_ended(
    house: Gateway, simulator: Simulator, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drive, "AFTER_YOU_SECONDS", PATIENCE_SECONDS)
    servers, real = dict[Ahead, bool](), Ahead._look

    async def noted(self: Ahead) -> None:
        servers[self] = False
        await real(self)
        servers[self] = True

    # The row is there before its graph is rewritten.
    monkeypatch.setattr(Ahead, "_look", noted)
    ann, first, second = await with_one_ready(house, simulator, world)
    (prompt,) = (row[0] for row in world.sql("SELECT prompt_id FROM attempts"))
    # What is told of the second one rings, and a ring during the look before sending makes it no longer sure.
    untold = "SELECT count(*) FROM outbox WHERE delivered_at_ms IS NULL"
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await asyncio.to_thread(world.sql, untold))[0][0] or not (
            servers and all(looked and one.has_ready and not one._doubted for one, looked in servers.items())
        ):
            await before_the_next_look()
    before = len(simulator.requests)
    simulator.release()
    for job in (first, second):
        assert (await ann.end(job))["status"] == "succeeded"
    asked = [(one.method, one.path) for one in simulator.requests[before:]]
    # One that is silent for a while is asked too; how it ended was told just before the result was fetched.
    told = [one for one in asked[: asked.index(("GET", "/view"))] if one[1] != "/queue"]
    assert ("POST", "/prompt") in told
    assert told[-1] == ("GET", f"/history/{prompt}")


async def test_what_ends_before_it_is_claimed_is_not_sent_again(
    house: Gateway, simulator: Simulator, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With short jobs and a slow database the next claim would find it queued still."""
    ann, first, second = await with_one_ready(house, simulator, world)
    real, let_go = Claiming.of_ready, asyncio.Event()

    async def late(self: Claiming, attempt: ClaimedAttempt, left: Collection[Fence]) -> Late:
        await let_go.wait()
        return await real(self, attempt, left)

    monkeypatch.setattr(Claiming, "of_ready", late)
    simulator.release()
    (prompt,) = (row[0] for row in world.sql("SELECT prompt_id FROM ready"))
    await simulator.finished(prompt)
    third = await ann.submit(plain_graph(3))
    # The loop has woken several times by the second of these probes.
    asked = sum(one.path == "/prompt" and one.method == "GET" for one in simulator.requests)
    await simulator.requested("GET", "/prompt", count=asked + 2)
    assert sent(simulator) == [first, second]
    let_go.set()
    for job in (first, second, third):
        assert (await ann.end(job))["status"] == "succeeded"
    assert sent(simulator) == [first, second, third]
    await house.audit()


async def test_who_has_priority_goes_before_what_is_ready(
    house: Gateway, simulator: Simulator, world: World
) -> None:
    ann, first, second = await with_one_ready(house, simulator, world)
    gold = await house.add_account("gold", tier="black_gold")
    better = await gold.submit(plain_graph(3))
    # At once: the answer to the submission is enough, whatever was prepared meanwhile.
    simulator.release()
    for who, job in ((ann, first), (gold, better), (ann, second)):
        assert (await who.end(job))["status"] == "succeeded"
    assert sent(simulator) == [first, better, second]
    await house.audit()


async def test_what_is_canceled_while_ready_is_refunded_at_once_and_never_sent(
    house: Gateway, simulator: Simulator, world: World
) -> None:
    ann, first, second = await with_one_ready(house, simulator, world)
    third = await ann.submit(plain_graph(3))
    canceled = await ann.call("POST", f"/api/v2/jobs/{second}/cancel")
    assert canceled["status"] == "canceled"
    assert await ann.entries(second) == ["hold", "release"]
    simulator.release()
    for job in (first, third):
        assert (await ann.end(job))["status"] == "succeeded"
    assert sent(simulator) == [first, third]
    await house.audit()


async def test_without_a_socket_the_better_job_goes_first_all_the_same(
    house: Gateway, simulator: Simulator, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket is waited for before a job is chosen, not after."""
    monkeypatch.setattr(server_loop, "CONNECT_SECONDS", 3600.0)
    ann, first, second = await with_one_ready(house, simulator, world)
    gold = await house.add_account("gold", tier="black_gold")
    simulator.fail_next("/ws", 502, times=1000)
    simulator.drop_sockets()
    simulator.release()
    assert (await ann.end(first))["status"] == "succeeded"
    better = await gold.submit(plain_graph(3))
    assert sent(simulator) == [first]
    simulator.clear_faults()
    assert (await gold.end(better))["status"] == "succeeded"
    assert (await ann.end(second))["status"] == "succeeded"
    assert sent(simulator) == [first, better, second]
    await house.audit()


@pytest.mark.parametrize(
    ("stop", "go"),
    [
        (("lanes.pause", {"lane": "image"}), ("lanes.resume", {"lane": "image"})),
        (("servers.drain", {"name": "one"}), ("servers.resume", {"name": "one"})),
    ],
    ids=["pause", "drain"],
)
async def test_what_is_stopped_while_ready_is_not_sent(
    house: Gateway,
    simulator: Simulator,
    world: World,
    stop: tuple[str, dict[str, str]],
    go: tuple[str, dict[str, str]],
) -> None:
    ann, first, second = await with_one_ready(house, simulator, world)
    await house.operate(stop[0], **stop[1])
    simulator.release()
    assert (await ann.end(first))["status"] == "succeeded"
    assert (await ann.job(second))["status"] == "queued"
    assert sent(simulator) == [first]
    await house.operate(go[0], **go[1])
    assert (await ann.end(second))["status"] == "succeeded"
    assert sent(simulator) == [first, second]
    await house.audit()


async def test_a_second_server_takes_what_was_ready_on_the_first(
    house: Gateway, simulator: Simulator, world: World, tmp_path: Path
) -> None:
    ann, first, second = await with_one_ready(house, simulator, world)
    async with Simulator(base_dir=tmp_path / "other") as other:
        await house.add_server("two", other.url, "image")
        assert (await ann.end(second))["status"] == "succeeded"
        assert sent(other) == [second]
        third = await ann.submit(plain_graph(3))
        assert (await ann.end(third))["status"] == "succeeded"
        simulator.release()
        assert (await ann.end(first))["status"] == "succeeded"
        assert sent(simulator) == [first]
    await house.audit()


async def test_what_ended_its_time_off_the_server_goes_before_what_is_ready(
    house: Gateway, simulator: Simulator, world: World
) -> None:
    """Nothing rings when a quarantine of a workflow is over."""
    ctx = house.house.service.ctx
    ann = await house.add_account("ann")
    simulator.hold("node")
    first = await ann.submit(plain_graph(1))
    await ann.until(first, "running")
    await house.operate("lanes.pause", lane="image")
    before, after = [await ann.submit(plain_graph(number)) for number in (2, 3)]
    until_at_ms = ctx.now_ms() + 2_000

    def keep_off(conn: Connection) -> None:
        conn.execute(update(jobs_table).where(jobs_table.c.id == before).values(workflow="w"))
        fit.quarantine_pair(conn, "w", "one", "it hung", until_at_ms)

    await ctx.store.run(keep_off)
    await house.operate("lanes.resume", lane="image")
    await until_ready(world, after)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while ctx.now_ms() < until_at_ms:
            await before_the_next_look()
    simulator.release()
    for job in (first, before, after):
        assert (await ann.end(job))["status"] == "succeeded"
    assert sent(simulator) == [first, before, after]
    await house.audit()


async def test_what_is_dropped_leaves_no_row(house: Gateway, simulator: Simulator, world: World) -> None:
    """Or the next process would look for it on the server."""
    ann, first, second = await with_one_ready(house, simulator, world)
    await ann.call("POST", f"/api/v2/jobs/{second}/cancel")
    await until_ready(world, None)
    simulator.release()
    assert (await ann.end(first))["status"] == "succeeded"
    await house.audit()


@pytest.mark.parametrize("canceled", [False, True], ids=["ready", "canceled"])
async def test_a_stop_leaves_nothing_ready(
    tmp_path: Path, database_url: str, simulator: Simulator, canceled: bool
) -> None:
    world = World(database_url)
    settings = settings_for(tmp_path / "gate", database_url, dispatch={"stop_seconds": 0})
    async with gateway(settings) as house:
        await house.add_server("one", simulator.url, "image")
        ann, _, second = await with_one_ready(house, simulator, world)
        if canceled:
            await ann.call("POST", f"/api/v2/jobs/{second}/cancel")
    assert world.sql("SELECT count(*) FROM ready")[0][0] == 0
    simulator.release()


@pytest.mark.parametrize("canceled", [False, True], ids=["goes on", "canceled meanwhile"])
async def test_killed_between_the_prompt_and_its_claim(
    tmp_path: Path, database_url: str, session: aiohttp.ClientSession, canceled: bool
) -> None:
    """The server has the prompt, the database has it as ready only: the next process finds it there."""
    street = Street(tmp_path, database_url, session)
    async with Simulator(base_dir=tmp_path / "comfy") as simulator:
        simulator.hold("node")
        async with street.replica("gate") as gate:
            await street.open("gate", simulator.url)
            ann = street.caller(gate)
            first = await ann.submit(plain_graph(1))
            await ann.until(first, "running")
            second = await ann.submit(plain_graph(2))
            await until_ready(street.world, second)

            def kill(moment: Moment) -> None:
                # Before POST /prompt is answered, and so before the claim begins.
                if moment.kind == "received":
                    gate.tell(signal.SIGKILL)

            simulator.journal.listeners.append(kill)
            simulator.release()
            assert await gate.ended() == -signal.SIGKILL
            simulator.journal.listeners.remove(kill)
        assert street.world.state(second).value == "queued"
        if canceled:
            # By somebody who knows the database only.
            street.world.run(jobs.cancel, second, None, 1)
        async with street.replica("gate") as again:
            ann = street.caller(again)
            assert (await ann.end(first))["status"] == "succeeded"
            ended = await ann.end(second)
            assert ended["status"] == ("canceled" if canceled else "succeeded")
            third = await ann.submit(plain_graph(3))
            assert (await ann.end(third))["status"] == "succeeded"
            assert len(sent(simulator)) == 3, "each prompt was sent once"
            kinds, attempts = street.the_books()
            assert kinds.count("hold") == 3
            assert kinds.count("capture") == (2 if canceled else 3)
            assert attempts == (2 if canceled else 3)
            assert street.world.sql("SELECT count(*) FROM ready")[0][0] == 0
