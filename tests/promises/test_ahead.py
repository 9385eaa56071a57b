"""`servers add --ahead 1`: one job of ours waits in ComfyUI behind the running one; nothing else changes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from comfygate.gate.eta import eta_of
from comfygate.simulator import Simulator
from tests.cli.rig import command
from tests.looking import before_the_next_look
from tests.promises.rig import PATIENCE_SECONDS, Caller, Gateway, gateway, plain_graph, settings_for
from tests.promises.street import Street
from tests.promises.test_ready import sent
from tests.promises.test_shared_server import send_as_a_stranger, touched

POST = ("POST", "/prompt")


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def house(tmp_path: Path, database_url: str, simulator: Simulator) -> AsyncIterator[Gateway]:
    """One gateway; its server lets one prompt wait behind the running one."""
    async with gateway(settings_for(tmp_path / "gate", database_url)) as started:
        await started.add_server("one", simulator.url, "image", "video", ahead=1)
        yield started


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():
            await before_the_next_look()


async def looks(simulator: Simulator, count: int) -> None:
    """Wait until the server was asked so many times more what is on it."""
    before = depths(simulator)
    await until(lambda: depths(simulator) >= before + count)


def depths(simulator: Simulator) -> int:
    """While a prompt is asked after, the server need not be asked how much waits there."""
    asks = ("/prompt", "/history/", "/queue")
    return sum(one.method == "GET" and one.path.startswith(asks) for one in simulator.requests)


async def with_one_ahead(house: Gateway, simulator: Simulator) -> tuple[Caller, str, str]:
    """One job runs, held by the server, and the one after it waits there."""
    ann = await house.add_account("ann")
    simulator.hold("node")
    first = await ann.submit(plain_graph(1))
    await ann.until(first, "running")
    second = await ann.submit(plain_graph(2))
    await until(lambda: len(sent(simulator)) == 2)
    return ann, first, second


async def test_the_second_waits_in_comfyui_and_the_third_in_the_lane(
    house: Gateway, simulator: Simulator
) -> None:
    ann, first, second = await with_one_ahead(house, simulator)
    third = await ann.submit(plain_graph(3))
    await looks(simulator, 2)
    assert sent(simulator) == [first, second]
    assert len(simulator.executed) == 1
    shown = [await ann.job(job) for job in (first, second, third)]
    assert [(one["status"], one["queue_position"]) for one in shown[1:]] == [("queued", 0), ("queued", 1)]
    (server,) = await house.servers()
    assert (server["slots"], server["ahead"], server["running"]) == (1, 1, 2)
    simulator.release()
    for job in (first, second, third):
        assert (await ann.end(job))["status"] == "succeeded"
    assert sent(simulator) == [first, second, third]
    await house.audit()


async def test_without_it_nothing_waits_there(house: Gateway, simulator: Simulator) -> None:
    await house.add_server("one", simulator.url, "image", "video")
    ann = await house.add_account("ann")
    simulator.hold("node")
    first = await ann.submit(plain_graph(1))
    await ann.until(first, "running")
    second = await ann.submit(plain_graph(2))
    await looks(simulator, 2)
    assert sent(simulator) == [first]
    simulator.release()
    for job in (first, second):
        assert (await ann.end(job))["status"] == "succeeded"


async def test_a_strangers_prompt_keeps_the_place_empty(house: Gateway, simulator: Simulator) -> None:
    ann = await house.add_account("ann")
    simulator.hold("node")
    first = await ann.submit(plain_graph(1))
    await ann.until(first, "running")
    strangers = await send_as_a_stranger(simulator, 1)
    second = await ann.submit(plain_graph(2))
    await looks(simulator, 3)
    assert posts(simulator) == 2, "the first one and the stranger's"
    simulator.release()
    for job in (first, second):
        assert (await ann.end(job))["status"] == "succeeded"
    assert touched(simulator).isdisjoint(strangers)
    await house.audit()


def posts(simulator: Simulator) -> int:
    return sum(one.method == "POST" and one.path == "/prompt" for one in simulator.requests)


async def test_a_vip_that_waits_takes_the_place_and_one_that_comes_later_waits_for_one_more(
    house: Gateway, simulator: Simulator
) -> None:
    ann = await house.add_account("ann")
    gold = await house.add_account("gold", tier="black_gold")
    await house.operate("lanes.pause", lane="image")
    simulator.hold("node")
    plain = [await ann.submit(plain_graph(number)) for number in (1, 2)]
    early = [await gold.submit(plain_graph(number)) for number in (3, 4)]
    await house.operate("lanes.resume", lane="image")
    await until(lambda: len(sent(simulator)) == 2)
    assert sent(simulator) == early
    # The place is taken: it is not given up for who comes now.
    late = await gold.submit(plain_graph(5))
    simulator.release()
    for who, job in ((gold, early[0]), (gold, early[1]), (gold, late), (ann, plain[0]), (ann, plain[1])):
        assert (await who.end(job))["status"] == "succeeded"
    assert sent(simulator) == [*early, late, *plain]
    await house.audit()


async def test_a_vip_does_not_displace_what_waits_in_comfyui(house: Gateway, simulator: Simulator) -> None:
    ann, first, second = await with_one_ahead(house, simulator)
    third = await ann.submit(plain_graph(3))
    gold = await house.add_account("gold", tier="black_gold")
    late = await gold.submit(plain_graph(4))
    simulator.release()
    for who, job in ((ann, first), (ann, second), (gold, late), (ann, third)):
        assert (await who.end(job))["status"] == "succeeded"
    assert sent(simulator) == [first, second, late, third]
    await house.audit()


async def test_a_cancel_takes_exactly_it_off_the_server_and_refunds(
    house: Gateway, simulator: Simulator
) -> None:
    ann, first, second = await with_one_ahead(house, simulator)
    prompts = [one.json["prompt_id"] for one in simulator.requests if (one.method, one.path) == POST]
    await ann.call("POST", f"/api/v2/jobs/{second}/cancel")
    assert (await ann.end(second))["status"] == "canceled"
    assert await ann.entries(second) == ["hold", "release"]
    assert touched(simulator) <= {prompts[1]}
    # Its place is free for the next one.
    third = await ann.submit(plain_graph(3))
    await until(lambda: len(sent(simulator)) == 3)
    simulator.release()
    for job in (first, third):
        assert (await ann.end(job))["status"] == "succeeded"
    assert len(simulator.executed) == 2
    await house.audit()


async def test_a_drained_server_ends_both_and_gets_no_other(house: Gateway, simulator: Simulator) -> None:
    ann, first, second = await with_one_ahead(house, simulator)
    await house.operate("servers.drain", name="one")
    third = await ann.submit(plain_graph(3))
    simulator.release()
    for job in (first, second):
        assert (await ann.end(job))["status"] == "succeeded"
    assert (await ann.job(third))["status"] == "queued"
    await house.operate("servers.resume", name="one")
    assert (await ann.end(third))["status"] == "succeeded"
    assert sent(simulator) == [first, second, third]


async def test_a_server_beside_it_that_is_free_gets_the_job(
    house: Gateway, simulator: Simulator, tmp_path: Path
) -> None:
    async with Simulator(base_dir=tmp_path / "other") as other:
        await house.add_server("two", other.url, "image", ahead=1)
        ann = await house.add_account("ann")
        for each in (simulator, other):
            each.hold("node")
        jobs = [await ann.submit(plain_graph(number)) for number in range(2)]
        for job in jobs:
            await ann.until(job, "running")
        assert [len(sent(each)) for each in (simulator, other)] == [1, 1]
        jobs += [await ann.submit(plain_graph(number)) for number in range(2, 4)]
        await until(lambda: [len(sent(each)) for each in (simulator, other)] == [2, 2])
        for each in (simulator, other):
            each.release()
        for job in jobs:
            assert (await ann.end(job))["status"] == "succeeded"
        await house.audit()


async def test_its_estimate_has_the_running_one_before_it(house: Gateway, simulator: Simulator) -> None:
    ctx = house.house.service.ctx
    ann, first, second = await with_one_ahead(house, simulator)
    found = [await eta_of(ctx, job, None) for job in (first, second)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].starts is None
    assert found[1].starts is not None, "it has not begun"
    assert found[1].ends.p50_ms > found[0].ends.p50_ms
    simulator.release()
    for job in (first, second):
        await ann.end(job)


async def test_back_to_zero_the_two_end_and_then_it_is_one_at_a_time(
    house: Gateway, simulator: Simulator
) -> None:
    ann, first, second = await with_one_ahead(house, simulator)
    third = await ann.submit(plain_graph(3))
    await house.add_server("one", simulator.url, "image", "video")
    simulator.release()
    for job in (first, second, third):
        assert (await ann.end(job))["status"] == "succeeded"
    assert sent(simulator) == [first, second, third]
    assert len(simulator.executed) == len(set(simulator.executed)) == 3
    await house.audit()


async def test_a_successor_adopts_both(
    tmp_path: Path, database_url: str, session: aiohttp.ClientSession, simulator: Simulator
) -> None:
    street = Street(tmp_path, database_url, session)
    async with street.replica("killed") as first:
        await street.open("killed", simulator.url)
        again = await command(
            street.base("killed"), "servers", "add", "one", simulator.url, "--lanes", "image",
            "--ahead", "1", "--json", **street.variables,
        )  # fmt: skip
        assert again.json()["ahead"] == 1
        simulator.hold("node")
        ann = street.caller(first)
        jobs = [await ann.submit(plain_graph(1))]
        await ann.until(jobs[0], "running")
        jobs.append(await ann.submit(plain_graph(2)))
        await until(lambda: len(sent(simulator)) == 2)
        first.tell(signal.SIGKILL)
        assert await first.ended() == -signal.SIGKILL
    async with street.replica("killed") as second:
        ann = street.caller(second)
        jobs.append(await ann.submit(plain_graph(3)))
        simulator.release()
        for job in jobs:
            assert (await ann.end(job))["status"] == "succeeded"
    assert sent(simulator) == jobs
    assert len(simulator.executed) == len(set(simulator.executed)) == 3
    kinds, attempts = await asyncio.to_thread(street.the_books)
    assert attempts == 3
    assert kinds.count("capture") == 3
