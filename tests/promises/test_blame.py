"""Every class of failure, from what the server says to what the user reads, gets back, and what the server
is.

The classes themselves are tested in domain/test_blame.py; here each one comes over the wire.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from comfygate.simulator import Simulator
from comfygate.simulator.switches import Switch, read_switch
from tests.looking import before_the_next_look
from tests.promises.rig import Caller, Gateway, gateway, image_graph, picture, plain_graph, settings_for

FAST = {
    "dispatch": {"quarantine_seconds": 0.5, "failures_max": 2},
    "comfy": {"submit_retries": 0, "lost_after_seconds": 0.5},
    "watchdog": {"floor_seconds": 0.6, "verify_seconds": 0.5, "restart_seconds": 10},
}


@dataclass
class Street:
    """A gateway with two servers for one lane."""

    house: Gateway
    ann: Caller
    one: Simulator
    two: Simulator

    async def refunded(self, job_id: str, code: str) -> dict[str, Any]:
        job: dict[str, Any] = await self.ann.end(job_id)
        assert job["status"] == "failed", job
        assert job["error"]["code"] == code
        words = job["error"]["message"]
        assert not any(bad in words for bad in ("/srv", "Traceback", "torch", "127.0.0.1", "Error:")), words
        assert await self.ann.entries(job_id) == ["hold", "release"]
        await self.house.audit()
        return job

    async def paid(self, job_id: str) -> dict[str, Any]:
        job = await self.ann.end(job_id)
        assert job["status"] == "succeeded", job
        assert await self.ann.entries(job_id) == ["hold", "capture"]
        await self.house.audit()
        return await self.house.operate("jobs.show", job=job_id)

    async def state(self, name: str) -> str:
        (found,) = [server for server in await self.house.servers() if server["name"] == name]
        return str(found["state"])


@pytest.fixture
async def street(tmp_path: Path, database_url: str) -> AsyncIterator[Street]:
    """One image server at first; a test that needs the second adds it."""
    async with (
        Simulator(base_dir=tmp_path / "one") as one,
        Simulator(base_dir=tmp_path / "two") as two,
        gateway(settings_for(tmp_path / "gate", database_url, **FAST)) as house,
    ):
        await house.add_server("one", one.url, "image")
        ann = await house.add_account("ann")
        await ann.upload(picture())
        yield Street(house, ann, one, two)


def blames(shown: dict[str, Any]) -> list[str | None]:
    return [attempt["blame"] for attempt in shown["attempts"]]


async def test_the_users_file(street: Street) -> None:
    street.one.error_on(
        "LoadImage",
        message="cannot identify image file '/srv/in/a.png'",
        exception_type="PIL.UnidentifiedImageError",
    )
    job = await street.refunded(await street.ann.submit(image_graph()), "invalid_input")
    assert job["error"]["message"].startswith("Node 1 (LoadImage) could not read the file it was given")
    assert len(street.one.executed) == 1
    assert await street.state("one") == "up"


async def test_the_workflow(street: Street) -> None:
    street.one.error_on("ImageInvert", message="shapes do not fit")
    job = await street.refunded(await street.ann.submit(image_graph()), "node_execution_error")
    assert job["error"]["message"] == "Node 2 (ImageInvert) failed: shapes do not fit"
    assert len(street.one.executed) == 1
    assert await street.state("one") == "up"


async def test_a_missing_model_goes_to_a_server_that_has_it(street: Street) -> None:
    street.one.error_on("ImageInvert", message="Model 'x' not found", exception_type="FileNotFoundError")
    await street.refunded(await street.ann.submit(image_graph()), "missing_model_or_node")
    await street.house.add_server("two", street.two.url, "image")
    jobs = [await street.ann.submit(image_graph()) for _ in range(3)]
    shown = [await street.paid(job_id) for job_id in jobs]
    assert {tuple(blames(one)) for one in shown} <= {("missing", None), (None,)}
    assert len(street.two.executed) == 3
    assert await street.state("one") == "up"


async def test_out_of_memory_runs_once_more_on_freed_memory(street: Street) -> None:
    street.one.switch_on(Switch("out_of_memory"))
    shown = await street.paid(await street.ann.submit(plain_graph()))
    assert blames(shown) == ["out_of_memory", None]
    [freed] = [r for r in street.one.requests if (r.method, r.path) == ("POST", "/free")]
    assert freed.json == {"unload_models": True, "free_memory": True}


async def test_out_of_memory_twice_is_refunded(street: Street) -> None:
    street.one.switch_on(Switch("out_of_memory", times=2))
    job = await street.refunded(await street.ann.submit(plain_graph()), "out_of_memory")
    assert "Ask for a smaller picture" in job["error"]["message"]
    assert len(street.one.executed) == 2
    await street.house.until_was("one", "quarantined")


async def test_a_poisoned_card_is_quarantined_and_the_job_runs_elsewhere(street: Street) -> None:
    await street.house.add_server("two", street.two.url, "image")
    street.one.switch_on(read_switch("poisoned_gpu"))
    jobs = [await street.ann.submit(plain_graph(colour)) for colour in range(4)]
    shown = [await street.paid(job_id) for job_id in jobs]
    assert sum(blames(one).count("poisoned_gpu") for one in shown) >= 1
    assert len(street.two.executed) >= 3
    assert await street.state("one") in {"quarantined", "suspect"}
    await street.one.restart()
    street.one.clear_faults()
    await street.house.operate("servers.add", name="two", url=street.two.url, lanes=["video"], slots=1)
    await street.paid(await street.ann.submit(plain_graph(9)))
    await street.house.until_server("one", "up")


async def test_a_poisoned_card_alone_is_refunded_within_its_budget(street: Street) -> None:
    street.one.switch_on(read_switch("poisoned_gpu"))
    job = await street.refunded(await street.ann.submit(plain_graph()), "server_fault")
    assert "graphics card" in job["error"]["message"]
    assert 1 < len(street.one.executed) <= 3


async def test_a_server_that_forgets_its_prompt(street: Street) -> None:
    street.one.hold()
    job_id = await street.ann.submit(plain_graph())
    await street.ann.until(job_id, "running")
    street.one.release()
    await street.one.restart()
    shown = await street.paid(job_id)
    assert blames(shown) == ["server_lost", None]
    assert shown["price"] == 1


async def test_a_prompt_that_a_stranger_stops(street: Street) -> None:
    street.one.hold()
    job_id = await street.ann.submit(plain_graph())
    await street.ann.until(job_id, "running")
    async with street.house.session.post(f"{street.one.url}/interrupt", json={}) as answer:
        assert answer.status == 200
    street.one.release()
    assert blames(await street.paid(job_id)) == ["interrupted", None]


async def test_an_unreachable_server_hands_its_job_to_another(street: Street) -> None:
    await street.house.add_server("two", street.two.url, "image")
    street.one.fail_next("/prompt", 502, method="POST", times=5)
    shown = [await street.paid(await street.ann.submit(plain_graph(colour))) for colour in range(2)]
    assert {tuple(blames(one)) for one in shown} <= {("unreachable", None), (None,)}
    assert len(street.two.executed) + len(street.one.executed) == 2


async def test_a_full_disk(street: Street) -> None:
    street.one.switch_on(Switch("full_disk", times=1))
    assert blames(await street.paid(await street.ann.submit(plain_graph()))) == ["storage", None]
    street.one.switch_on(Switch("full_disk"))
    job = await street.refunded(await street.ann.submit(plain_graph(1)), "storage_trouble")
    assert "disk" in job["error"]["message"]
    assert await street.state("one") in {"quarantined", "suspect"}


async def test_a_limit_of_the_house(tmp_path: Path) -> None:
    async with (
        Simulator(base_dir=tmp_path / "one") as one,
        gateway(settings_for(tmp_path / "gate", limits={"output_bytes_max": 10})) as house,
    ):
        await house.add_server("one", one.url, "image")
        ann = await house.add_account("ann")
        job_id = await ann.submit(plain_graph())
        job = await ann.end(job_id)
        assert (job["status"], job["error"]["code"]) == ("failed", "output_too_large")
        assert await ann.entries(job_id) == ["hold", "release"]
        assert blames(await house.operate("jobs.show", job=job_id)) == ["policy"]


async def test_a_bug_of_ours_is_tried_once_more_and_refunded(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_given: object) -> None:
        raise ZeroDivisionError("in our own code")

    monkeypatch.setattr("comfygate.gate.drive.begin", broken)
    job_id = await street.ann.submit(plain_graph())
    job = await street.refunded(job_id, "internal_error")
    assert "on our side" in job["error"]["message"]
    shown = await street.house.operate("jobs.show", job=job_id)
    assert blames(shown) == ["our_bug", "our_bug"]
    assert "ZeroDivisionError" in shown["cause"]
    assert await street.state("one") == "up"


async def test_a_hang_without_another_server_is_refunded_and_its_server_closed(street: Street) -> None:
    """It cannot be interrupted and nobody can start ComfyUI anew: no other prompt is put behind it."""
    street.one.hang("EmptyImage")
    job = await street.refunded(await street.ann.submit(plain_graph()), "server_hang")
    assert "stood still" in job["error"]["message"]
    await street.house.until_was("one", "quarantined")
    waiting = await street.ann.submit(image_graph())
    assert (await street.ann.job(waiting))["status"] == "queued"
    assert len(street.one.executed) == 1
    street.one.release()
    await street.paid(waiting)


async def test_a_hang_goes_elsewhere_and_its_workflow_stays_off_that_server(street: Street) -> None:
    street.one.hang("EmptyImage")
    first = await street.ann.submit(plain_graph())
    await street.ann.until(first, "running")
    await street.house.add_server("two", street.two.url, "image")
    assert blames(await street.paid(first)) == ["hang", None]
    street.one.release()
    street.one.clear_faults()
    for colour in range(1, 4):
        await street.paid(await street.ann.submit(plain_graph(colour)))
    assert len(street.one.executed) == 1, "the same workflow is kept off the server where it hung"
    # Another workflow may go there, once the server is well again.
    await street.house.until_server("one", "up", "suspect")


async def test_the_restart_hook_frees_a_server_that_hangs(tmp_path: Path, database_url: str) -> None:
    flag = tmp_path / "restarted"
    command = [sys.executable, "-c", f"open({str(flag)!r}, 'w').close()"]
    settings = settings_for(
        tmp_path / "gate", database_url, **FAST, server_hooks={"one": {"restart_command": command}}
    )
    async with Simulator(base_dir=tmp_path / "one") as one, gateway(settings) as house:
        await house.add_server("one", one.url, "image")
        ann = await house.add_account("ann")
        one.hang("EmptyImage")
        job_id = await ann.submit(plain_graph())
        ended = asyncio.create_task(ann.end(job_id))
        async with asyncio.timeout(30):
            while not flag.exists():
                await before_the_next_look()
        one.clear_faults()
        await one.restart()
        job = await ended
        # There is no other server, so it is refunded; but the next one runs.
        assert (job["status"], job["error"]["code"]) == ("failed", "server_hang")
        shown = await house.operate("jobs.show", job=job_id)
        assert "restart hook was run" in shown["cause"]
        await ann.upload(picture())
        assert (await ann.end(await ann.submit(image_graph())))["status"] == "succeeded"
        await house.audit()
