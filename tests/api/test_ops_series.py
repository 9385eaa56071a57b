"""Plots of what really ran, the first run, and a try of an address: over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from comfygate.api.ops_auth import PREFIX
from comfygate.gate import counting, operate
from comfygate.simulator import Simulator
from tests.api.house import PATIENCE_SECONDS, Gateway, image_graph
from tests.api.test_ops import staff
from tests.looking import before_the_next_look


async def plots(http: httpx.AsyncClient, **wanted: str) -> dict[tuple[str, str], dict[str, Any]]:
    answer = await http.get(f"{PREFIX}/series", params=wanted)
    assert answer.status_code == 200, answer.text
    return {(line["series"], line["part"]): line["whole"] for line in answer.json()["series"]}


async def counted(gateway: Gateway, http: httpx.AsyncClient, jobs: int) -> None:
    """Wait until so many ends are in the aggregates; the loop and this count beside each other."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            await counting.count_once(gateway.ctx)
            found = await plots(http, measure="ended")
            if sum(line["jobs"] for line in found.values()) >= jobs:
                return
            await before_the_next_look()


async def test_plots_show_what_ran(gateway: Gateway, sim: Simulator) -> None:
    async with staff(gateway, "operator", "ada") as http, gateway.client(await gateway.add_account()) as ann:
        assert await plots(http, measure="wait") == {}
        for _ in range(3):
            assert (await ann.run(image_graph()))["status"] == "succeeded"
        await operate.perform(gateway.ctx, "lanes.pause", {"lane": "image"})
        waiting = (await ann.submit(image_graph()))["id"]
        await operate.perform(gateway.ctx, "jobs.cancel", {"job": waiting})
        await counted(gateway, http, 4)
        for wanted in ("1h", "24h", "7d", "30d"):
            ended = await plots(http, measure="ended", range=wanted)
            assert {key: line["jobs"] for key, line in ended.items()} == {
                ("image", "succeeded"): 3,
                ("image", "canceled"): 1,
            }
        wait = (await plots(http, measure="wait"))["image", "regular"]
        assert wait["jobs"] == 3
        assert 0 <= wait["p50_seconds"] <= wait["p95_seconds"]
        assert (await plots(http, measure="blame"))["image", "succeeded"] == {"attempts": 3}
        busy = (await plots(http, measure="busy"))["one", ""]
        assert busy["busy_seconds"] > 0
        # Of an hour and the minute that has begun.
        assert busy["share"] == pytest.approx(busy["busy_seconds"] / 3600, rel=0.05)
        credits = await plots(http, measure="credits")
        assert credits["out", "capture"] == {"entries": 3, "credits": 3}
        assert credits["back", "release"] == {"entries": 1, "credits": 1}
        assert credits["in", "grant"]["credits"] == 200
        now = (await http.get(f"{PREFIX}/now")).json()
        lane = next(one for one in now["lanes"] if one["name"] == "image")
        assert lane["ended_per_minute"]["succeeded"] > 0
        text = (await http.get(f"{PREFIX}/series", params={"measure": "ended", "format": "csv"})).text
        head, *lines = text.split("\r\n")
        assert head == "at_ms,series,part,jobs,mean_seconds"
        assert sum(int(line.split(",")[3]) for line in lines if ",succeeded," in line) == 3
        for wrong in ({}, {"measure": "odd"}, {"measure": "wait", "range": "1y"}):
            assert (await http.get(f"{PREFIX}/series", params=wrong)).status_code == 422


async def test_the_first_run_goes_step_by_step(house: Gateway, sim: Simulator) -> None:
    async with staff(house, "admin", "ada") as http:
        first = (await http.get(f"{PREFIX}/first-run")).json()
        assert (first["next_step"], first["servers"], first["staff"]) == ("server", 0, 1)
        tried = (await http.post(f"{PREFIX}/server-trials", json={"url": sim.url})).json()
        assert (tried["answers"], tried["usable"], tried["version"]) == (True, True, "0.3.64")
        assert tried["node_classes"] > 10
        assert (await http.get(f"{PREFIX}/first-run")).json()["servers"] == 0, "nothing was added"
        added = {"name": "one", "url": sim.url, "lanes": ["image", "video"]}
        assert (await http.post(f"{PREFIX}/servers", json=added)).status_code == 200
        first = (await http.get(f"{PREFIX}/first-run")).json()
        assert (first["next_step"], first["lanes"]) == (
            "account",
            [{"name": "image", "has_server": True}, {"name": "video", "has_server": True}],
        )
        made = (await http.post(f"{PREFIX}/accounts", json={"name": "ann", "credits": 5})).json()
        assert (await http.get(f"{PREFIX}/first-run")).json()["next_step"] == "job"
        async with house.client(made["api_key"]) as ann:
            await ann.run(image_graph())
        assert (await http.get(f"{PREFIX}/first-run")).json()["next_step"] is None


async def test_a_try_says_what_is_wrong_with_an_address(house: Gateway) -> None:
    async with staff(house, "admin", "ada") as http:
        for url, field in (("ftp://gpu1", "url"), ("http://u:sesame@gpu1", "url"), ("", "url"), (7, "url")):
            answer = await http.post(f"{PREFIX}/server-trials", json={"url": url})
            assert (answer.status_code, answer.json()["error"]["details"]) == (422, {"field": field}), url
            assert "sesame" not in answer.text
        nobody = (await http.post(f"{PREFIX}/server-trials", json={"url": "http://127.0.0.1:9"})).json()
        assert (nobody["answers"], nobody["usable"]) == (False, False)
        assert nobody["advice"]
        # This service itself answers there, and is no ComfyUI.
        stranger = (await http.post(f"{PREFIX}/server-trials", json={"url": house.url})).json()
        assert stranger["usable"] is False
    async with staff(house, "operator", "otto") as http:
        answer = await http.post(f"{PREFIX}/server-trials", json={"url": "http://127.0.0.1:9"})
        assert answer.status_code == 403
