"""A server shared with others: their prompts are never touched, and never more of ours run than our slots."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path

import aiohttp

from comfygate.simulator import Simulator
from tests.promises.rig import Gateway, gateway, plain_graph, settings_for


async def send_as_a_stranger(simulator: Simulator, count: int) -> list[str]:
    """Prompts of somebody who knows nothing of us."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    async with aiohttp.ClientSession() as session:
        for prompt_id in ids:
            body = {"prompt": plain_graph(), "client_id": "stranger", "prompt_id": prompt_id}
            async with session.post(f"{simulator.url}/prompt", json=body) as answer:
                assert answer.status == 200
    return ids


def touched(simulator: Simulator) -> set[str]:
    """Ids that anybody asked the server to delete, interrupt or forget."""
    found: set[str] = set()
    for request in simulator.requests:
        if request.method != "POST" or request.path not in {"/queue", "/history", "/interrupt"}:
            continue
        body = request.json if isinstance(request.json, dict) else {}
        assert not body.get("clear"), "nothing is ever cleared"
        found.update(body.get("delete", ()))
        if request.path == "/interrupt":
            assert "prompt_id" in body, "an interrupt without an id hits whoever runs"
            found.add(body["prompt_id"])
    return found


async def test_two_gateways_and_a_stranger_share_one_server(tmp_path: Path, simulator: Simulator) -> None:
    async with (
        gateway(settings_for(tmp_path / "a")) as first,
        gateway(settings_for(tmp_path / "b")) as second,
    ):
        simulator.hold()
        strangers = await send_as_a_stranger(simulator, 3)
        await simulator.started(strangers[0])
        callers = []
        for house in (first, second):
            await house.add_server("shared", simulator.url, "image")
            ann = await house.add_account("ann")
            callers.append((ann, [await ann.submit(plain_graph()) for _ in range(3)]))
        for house, (ann, jobs) in zip((first, second), callers, strict=True):
            await simulator.requested("POST", "/prompt", count=4)
            assert await in_flight(house) == 1, "one slot, one prompt of ours, even behind strangers"
            canceled = await ann.call("POST", f"/api/v2/jobs/{jobs[1]}/cancel")
            assert canceled["status"] == "canceled"
        simulator.release()
        for ann, jobs in callers:
            ends = await asyncio.gather(*(ann.end(job_id) for job_id in jobs))
            assert [job["status"] for job in ends] == ["succeeded", "canceled", "succeeded"]
        for prompt_id in strangers:
            await simulator.finished(prompt_id)
        assert touched(simulator).isdisjoint(strangers)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{simulator.url}/history") as answer,
        ):
            history = await answer.json()
        assert set(strangers) <= history.keys()
        assert len(simulator.executed) == len(set(simulator.executed)) == 7
        for house in (first, second):
            await house.audit()


async def in_flight(house: Gateway) -> int:
    """Attempts of this gateway that are open."""
    found = await house.operate("jobs.list", limit=50)
    return sum(job["state"] in {"claimed", "running", "canceling"} for job in found["jobs"])


async def test_canceling_a_running_job_hits_that_prompt_alone(house: Gateway, simulator: Simulator) -> None:
    simulator.hold()
    ann = await house.add_account("ann")
    job_id = await ann.submit(plain_graph())
    await ann.until(job_id, "running")
    [ours] = simulator.executed
    strangers = await send_as_a_stranger(simulator, 2)
    answer = await ann.call("POST", f"/api/v2/jobs/{job_id}/cancel")
    assert answer["status"] == "canceling"
    job = await ann.end(job_id)
    assert job["status"] == "canceled"
    assert await ann.entries(job_id) == ["hold", "release"]
    simulator.release()
    for prompt_id in strangers:
        await simulator.finished(prompt_id)
    assert touched(simulator) <= {ours}


async def test_an_old_server_is_waited_for_rather_than_guessed_at(tmp_path: Path) -> None:
    async with (
        Simulator(base_dir=tmp_path / "old", version="0.3.50") as simulator,
        gateway(settings_for(tmp_path / "gate")) as house,
    ):
        await house.add_server("old", simulator.url, "image")
        simulator.hold()
        ann = await house.add_account("ann")
        job_id = await ann.submit(plain_graph())
        await ann.until(job_id, "running")
        assert (await ann.call("POST", f"/api/v2/jobs/{job_id}/cancel"))["status"] == "canceling"
        simulator.release()
        job = await ann.end(job_id)
        assert job["status"] == "succeeded", "it finished before anybody could stop it, and was paid"
        assert not [r for r in simulator.requests if r.path == "/interrupt"]
