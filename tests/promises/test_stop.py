"""A stop, orderly or not, with a job running: it is found again, run once, paid once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from comfygate.simulator import Simulator
from tests.promises.rig import PATIENCE_SECONDS, Caller, Gateway, gateway, plain_graph, settings_for


async def start_a_job(house: Gateway, simulator: Simulator) -> tuple[Caller, str]:
    """A job that runs and is held there."""
    await house.add_server("one", simulator.url, "image")
    simulator.hold()
    ann = await house.add_account("ann")
    job_id = await ann.submit(plain_graph())
    await ann.until(job_id, "running")
    return ann, job_id


async def test_a_graceful_stop_waits_for_the_running_job_and_starts_no_other(
    tmp_path: Path, database_url: str, simulator: Simulator
) -> None:
    settings = settings_for(tmp_path / "gate", database_url)
    async with gateway(settings) as house:
        await house.add_server("one", simulator.url, "image")
        simulator.hold()
        ann = await house.add_account("ann")
        running, waiting = [await ann.submit(plain_graph()) for _ in range(2)]
        await ann.until(running, "running")
        draining = asyncio.create_task(house.house.service.drain(asyncio.Event()))
        assert (await ann.job(running))["status"] == "running", "HTTP still answers"
        simulator.release()
        assert await asyncio.wait_for(draining, PATIENCE_SECONDS)
        assert (await ann.end(running))["status"] == "succeeded"
        assert (await ann.job(waiting))["status"] == "queued"
        assert len(simulator.executed) == 1
    async with gateway(settings) as house:
        ann = Caller(house.session, house.house.url, ann.id, ann.key)
        assert (await ann.end(waiting))["status"] == "succeeded"
        assert await ann.credits() == (98, 0)
        await house.audit()


async def test_what_outlasts_the_stop_is_adopted_and_run_once(
    tmp_path: Path, database_url: str, simulator: Simulator
) -> None:
    settings = settings_for(tmp_path / "gate", database_url, dispatch={"stop_seconds": 0, "lease_seconds": 1})
    async with gateway(settings) as house:
        ann, job_id = await start_a_job(house, simulator)
        assert not await house.house.service.drain(asyncio.Event())
    async with gateway(settings) as house:
        ann = Caller(house.session, house.house.url, ann.id, ann.key)
        assert (await ann.job(job_id))["status"] == "running"
        simulator.release()
        job = await ann.end(job_id)
        assert job["status"] == "succeeded", job["error"]
        assert len(simulator.executed) == 1, "it was adopted, not run again"
        assert len(job["outputs"]) == 1
        assert await ann.entries(job_id) == ["hold", "capture"]
        await house.audit()


async def test_a_job_that_finished_while_nobody_looked_is_settled(
    tmp_path: Path, database_url: str, simulator: Simulator
) -> None:
    settings = settings_for(tmp_path / "gate", database_url, dispatch={"stop_seconds": 0, "lease_seconds": 1})
    async with gateway(settings) as house:
        ann, job_id = await start_a_job(house, simulator)
    [prompt_id] = simulator.executed
    simulator.release()
    await simulator.finished(prompt_id)
    async with gateway(settings) as house:
        ann = Caller(house.session, house.house.url, ann.id, ann.key)
        assert (await ann.end(job_id))["status"] == "succeeded"
        assert simulator.executed == [prompt_id]


async def test_a_server_restart_runs_the_job_again_under_its_ticket_and_price(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with gateway(settings_for(tmp_path / "gate")) as house:
        await house.add_server("one", simulator.url, "image")
        simulator.hold()
        ann = await house.add_account("ann")
        first, second = [await ann.submit(plain_graph()) for _ in range(2)]
        await ann.until(first, "running")
        await simulator.restart()
        simulator.release()
        ends = [await ann.end(job_id) for job_id in (first, second)]
        assert [job["status"] for job in ends] == ["succeeded", "succeeded"]
        shown = [await house.operate("jobs.show", job=job_id) for job_id in (first, second)]
        assert [a["outcome"] for a in shown[0]["attempts"]] == ["lost", "succeeded"]
        assert shown[0]["attempts"][1]["claimed_at_ms"] <= shown[1]["attempts"][0]["claimed_at_ms"]
        assert await ann.credits() == (98, 0)
        await house.audit()
