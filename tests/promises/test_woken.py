"""A ring wakes one server of a lane: it is one that has a place for the job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfygate.simulator import Simulator
from tests.promises.rig import Gateway, gateway, plain_graph, settings_for
from tests.promises.test_ahead import until
from tests.promises.test_ready import sent

SELDOM = {"dispatch": {"poll_seconds": 3600}}


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with Simulator(base_dir=tmp_path / "other") as started:
        yield started


@pytest.fixture
async def seldom(tmp_path: Path, database_url: str) -> AsyncIterator[Gateway]:
    """A gateway that goes by its bells alone."""
    async with gateway(settings_for(tmp_path / "gate", database_url, **SELDOM)) as started:
        yield started


async def test_where_all_are_busy_one_with_a_place_ahead_is_woken(
    seldom: Gateway, simulator: Simulator, other: Simulator
) -> None:
    await seldom.add_server("one", simulator.url, "image", ahead=1)
    await seldom.add_server("two", other.url, "image", ahead=1)
    ann = await seldom.add_account("ann")
    for each in (simulator, other):
        each.hold("node")
    jobs = [await ann.submit(plain_graph(number)) for number in range(2)]
    for job in jobs:
        await ann.until(job, "running")
    jobs.append(await ann.submit(plain_graph(2)))
    await until(lambda: len(sent(simulator)) + len(sent(other)) == 3)
    for each in (simulator, other):
        each.release()
    for job in jobs:
        assert (await ann.end(job))["status"] == "succeeded"
