"""A job that waits says why, to its user without naming a server and to the operator with all there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfygate.domain.errors import NotFound
from comfygate.gate.context import Context
from comfygate.gate.why import reason_of
from comfygate.simulator import Simulator
from comfygate.store import fit, jobs
from tests.promises.rig import Caller, Gateway, gateway, plain_graph, settings_for


def _context(house: Gateway) -> Context:
    return house.house.service.ctx


async def _reason(house: Gateway, caller: Caller, job: str) -> str:
    return (await reason_of(_context(house), job, caller.id))[1].code


async def test_a_job_says_why_it_is_where_it_is_through_its_life(
    tmp_path: Path, database_url: str, simulator: Simulator
) -> None:
    async with gateway(settings_for(tmp_path / "gate", database_url)) as house:
        ann, vip = await house.add_account("ann"), await house.add_account("vip", tier="black_gold")
        simulator.hold()
        first = await ann.submit(plain_graph())
        assert await _reason(house, ann, first) == "no_server"
        await house.operate("lanes.pause", lane="image")
        assert await _reason(house, ann, first) == "lane_paused"
        await house.add_server("gpu-name", simulator.url, "image")
        assert (await ann.job(first))["status"] == "queued", "a paused lane gives nothing"
        await house.operate("lanes.resume", lane="image")
        await ann.until(first, "running")
        second, ahead = await ann.submit(plain_graph()), await vip.submit(plain_graph())
        assert await _reason(house, ann, second) == "in_line"
        assert await _reason(house, vip, ahead) == "next"
        told = await ann.call("GET", f"/gate/v1/jobs/{second}/why")
        line = told["line"]
        assert line["queue_position"] == 2
        assert line["ahead"] == [{"priority": 0, "tiers": ["black_gold"], "jobs": 1}]
        assert line["servers"] == {"busy": 1}
        assert (line["limits"]["jobs_running"], line["limits"]["jobs_running_max"]) == (1, None)
        assert vip.id not in str(told)
        assert "gpu-name" not in str(told)
        why = "\n".join((await house.operate("jobs.why", job=second))["why"])
        assert "server gpu-name: up; 1 of 1 slot taken" in why
        assert "1 job ahead of it in lane image, 1 of them by a better priority" in why
        assert "expires with a refund" in why
        assert "credits held for it: 1" in why
        assert (await ann.call("GET", f"/gate/v1/jobs/{first}/why"))["line"] is None
        running = await house.operate("jobs.why", job=first)
        assert running["reason"]["code"] == "running"
        assert running["why"][0].startswith("attempt 1 on server gpu-name, slot 0: running since ")
        await house.operate("servers.drain", name="gpu-name")
        assert await _reason(house, ann, second) == "no_server_up"
        drained = "\n".join((await house.operate("jobs.why", job=second))["why"])
        assert "drained by the operator since" in drained
        await ann.call("POST", f"/api/v2/jobs/{second}/cancel")
        canceled = await house.operate("jobs.why", job=second)
        assert (canceled["status"], canceled["reason"]["sentence"]) == ("canceled", "it was canceled")
        assert canceled["why"][-1] == "credits refunded: 1"
        simulator.release()
        assert (await ann.end(first))["status"] == "succeeded", "a drained server finishes what it runs"
        ended = await house.operate("jobs.why", job=first)
        assert ended["why"][0].startswith("it succeeded at ")
        assert ended["why"][1].startswith("attempt 1 on server gpu-name succeeded at ")
        assert (await vip.job(ahead))["status"] == "queued"
        with pytest.raises(NotFound):
            await reason_of(_context(house), first, vip.id)


async def test_a_job_kept_off_its_only_server_says_so(
    tmp_path: Path, database_url: str, simulator: Simulator
) -> None:
    async with gateway(settings_for(tmp_path / "gate", database_url)) as house:
        ann = await house.add_account("ann")
        await house.operate("lanes.pause", lane="image")
        await house.add_server("one", simulator.url, "image")
        job = await ann.submit(plain_graph())
        workflow = (await _context(house).store.read(jobs.get_job, job)).workflow
        await _context(house).store.run(
            fit.quarantine_pair, workflow, "one", "it hung there", _context(house).now_ms() + 60_000
        )
        await house.operate("lanes.resume", lane="image")
        assert await _reason(house, ann, job) == "no_server_able"
        why = "\n".join((await house.operate("jobs.why", job=job))["why"])
        assert "this workflow is kept off it until" in why
        assert "(it hung there)" in why
