"""A job is told when it will end; the estimate is kept, judged when the job succeeds, and reported."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from comfygate.domain.errors import InvalidRequest, NotFound
from comfygate.gate.context import Context
from comfygate.gate.eta import ROUND_MAX, eta_of, etas_due, tell_once
from comfygate.simulator import Simulator
from comfygate.store import attempts, etas, jobs, run_times
from tests.looking import before_the_next_look
from tests.promises.rig import PATIENCE_SECONDS, Gateway, Json, gateway, plain_graph, settings_for


def _context(house: Gateway) -> Context:
    return house.house.service.ctx


async def _told(house: Gateway) -> None:
    """Until every open job was told its estimate, by the service's own loop."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await _context(house).store.read(etas.untold, 1):
            await before_the_next_look()


async def _teach(house: Gateway, job: str, run_ms: int) -> None:
    """Jobs like this one took so long, on this server."""
    store = _context(house).store
    kind = etas.kind_of(await store.read(jobs.get_job, job))
    for _ in range(8):
        await store.run(run_times.learn_sample, kind, "one", run_ms, _context(house).now_ms())


async def test_a_job_knows_its_end_from_what_others_took_and_the_line_before_it(
    tmp_path: Path, database_url: str, simulator: Simulator
) -> None:
    async with gateway(settings_for(tmp_path / "gate", database_url)) as house:
        ann, ben = await house.add_account("ann"), await house.add_account("ben")
        simulator.hold()
        first = await ann.submit(plain_graph())
        why = await ann.call("GET", f"/gate/v1/jobs/{first}/why")
        assert (why["code"], why["eta"]) == ("no_server", None)
        await house.add_server("one", simulator.url, "image")
        await ann.until(first, "running")
        await _teach(house, first, 100_000)
        second, third = await ann.submit(plain_graph(1)), await ann.submit(plain_graph(2))
        await _told(house)
        (began,) = await _context(house).store.read(attempts.list_attempts, first)
        found: list[Json] = []
        since: list[float] = []
        for job in (first, second, third):
            found.append((await ann.call("GET", f"/gate/v1/jobs/{job}/why"))["eta"])
            since.append((_context(house).now_ms() - began.claimed_at_ms) / 1000)
        ends = [eta["p50_seconds"] + gone for eta, gone in zip(found, since, strict=True)]
        assert [round(end, -1) for end in ends] == [100, 200, 300]
        assert found[0]["starts_p50_seconds"] is None
        begins = [eta["starts_p50_seconds"] + gone for eta, gone in zip(found[1:], since[1:], strict=True)]
        assert [round(start, -1) for start in begins] == [100, 200]
        assert all(eta["p50_seconds"] <= eta["p90_seconds"] for eta in found)
        shown = await house.operate("jobs.why", job=third)
        assert shown["eta"]["p50_seconds"] == pytest.approx(found[2]["p50_seconds"], abs=30)
        assert shown["why"][-1].startswith(
            "it probably begins in about 3 min and ends in about 5 min; nine of"
        )
        with pytest.raises(NotFound):
            await eta_of(_context(house), third, ben.id)
        await house.operate("lanes.pause", lane="image")
        assert await eta_of(_context(house), third, ann.id) is None
        assert await eta_of(_context(house), first, ann.id) is not None, "it runs: a pause does not hold it"
        await house.operate("lanes.resume", lane="image")
        await ann.call("POST", f"/api/v2/jobs/{third}/cancel")
        assert (await house.operate("jobs.why", job=third))["eta"] is None
        assert (await house.operate("eta.report", lane="image"))["lanes"][0]["jobs"] == 0
        simulator.release()
        for job in (first, second):
            assert (await ann.end(job))["status"] == "succeeded"
        (report,) = (await house.operate("eta.report", lane="image"))["lanes"]
        assert (report["lane"], report["jobs"]) == ("image", 2)
        assert report["within_p90"] == 1.0, "they ended long before they were said to"
        assert report["error_p50_ms"] > 0
        assert [one["jobs"] for one in report["by_priority"]] == [2]


async def test_a_crowd_is_told_in_rounds_newest_first(
    tmp_path: Path, database_url: str, simulator: Simulator
) -> None:
    """The service has its own loop; here a second one beside it does the same, and neither undoes it."""
    async with gateway(settings_for(tmp_path / "gate", database_url)) as house:
        await house.add_server("one", simulator.url, "image")
        simulator.hold()
        ann = await house.add_account("ann")
        made = [await ann.submit(plain_graph(number)) for number in range(ROUND_MAX + 3)]
        ctx = _context(house)
        while await tell_once(ctx):
            continue
        rows = await ctx.store.read(etas.untold, 99)
        assert rows == []
        assert await ctx.store.read(etas_due, ctx) == []
        shown = [await ann.call("GET", f"/gate/v1/jobs/{job}/why") for job in made]
        waits = [one["eta"]["p50_seconds"] for one in shown[1:]]
        assert waits == sorted(waits)
        simulator.release()
        for job in made:
            await ann.end(job)
        report = await house.operate("eta.report")
        assert {lane["lane"]: lane["jobs"] for lane in report["lanes"]} == {"image": len(made), "video": 0}


async def test_a_lane_that_nobody_has_is_refused_by_name(house: Gateway) -> None:
    with pytest.raises(InvalidRequest, match="lane is 'vidoe': it must be one of image, video"):
        await house.operate("eta.report", lane="vidoe")
