"""Lanes, drains, retries and the audit log from the command line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfygate.cli.gateway import gateway
from comfygate.simulator import Simulator
from tests.cli.conftest import Invoke
from tests.cli.rig import PATIENCE_SECONDS, command, serving
from tests.looking import before_the_next_look

BLANK = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "blank"}},
}
NEVER = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


def test_a_lane_is_paused_and_resumed_with_nobody_serving(invoke: Invoke) -> None:
    assert "Lane video is paused since" in invoke("lanes", "pause", "video").out
    lanes = {lane["name"]: lane["state"] for lane in invoke("lanes", "list", "--json").json()["lanes"]}
    assert lanes == {"image": "open", "video": "paused"}
    assert "paused" in invoke("lanes", "list").out
    assert invoke("lanes", "resume", "video").out == "Lane video is open; 0 jobs wait.\n"
    unknown = invoke("lanes", "pause", "vidoe")
    assert (unknown.code, "there are image, video" in unknown.err) == (5, True)


def test_a_server_is_drained_and_removed_with_nobody_serving(invoke: Invoke) -> None:
    invoke("servers", "add", "gpu1", "http://127.0.0.1:1", "--lanes", "image")
    assert "none of ours is on it" in invoke("servers", "drain", "gpu1", "--wait").out
    assert invoke("servers", "list", "--json").json()["servers"][0]["state"] == "draining"
    assert "takes jobs of image again" in invoke("servers", "resume", "gpu1").out
    assert invoke("servers", "remove", "gpu1").out == "Server gpu1 at http://127.0.0.1:1 is removed.\n"
    for verb in ("drain", "resume", "remove"):
        assert invoke("servers", verb, "gpu1").code == 5


def test_the_audit_log_tells_who_did_what(invoke: Invoke) -> None:
    invoke("accounts", "add", "ann")
    invoke("servers", "add", "gpu1", "http://u:sesame@127.0.0.1:1", "--lanes", "image")
    newest, oldest = invoke("audit", "list", "--json").json()["audit"]
    assert (oldest["actor"], oldest["operation"], oldest["result"]) == ("cli", "accounts.add", "ok")
    assert newest["result"].startswith("invalid_request: url of 'gpu1'")
    shown = invoke("audit", "list", "--limit", "1")
    assert "servers.add" in shown.out
    assert "sesame" not in shown.out + json.dumps(newest)
    assert f"--before {newest['id']}" in shown.err


async def _told(base: Path) -> None:
    """Wait until an estimate was told, which happens beside everything else."""

    def count() -> int:
        with contextlib.closing(sqlite3.connect(base / "data" / "comfygate.db")) as connection:
            found: int = connection.execute("SELECT count(*) FROM etas").fetchone()[0]
            return found

    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await asyncio.to_thread(count):
            await before_the_next_look()


async def _reported(base: Path) -> None:
    """The job that was told an estimate and succeeded is in the report."""
    (image,) = (await command(base, "eta", "report", "--lane", "image", "--json")).json()["lanes"]
    assert (image["lane"], image["jobs"]) == ("image", 1)
    shown = (await command(base, "eta", "report")).out
    assert "within p90" in shown
    assert "Lane video: no job that was told an estimate has succeeded yet." in shown


def test_a_report_of_nothing_says_so(invoke: Invoke) -> None:
    assert invoke("eta", "report").out.count("no job that was told an estimate") == 2
    refused = invoke("eta", "report", "--lane", "vidoe")
    assert (refused.code, "it must be one of image, video" in refused.err) == (4, True)


def test_jobs_that_nobody_has_are_5(invoke: Invoke) -> None:
    for words in (("retry", NEVER), ("show", NEVER, "--why"), ("cancel", NEVER)):
        assert invoke("jobs", *words).code == 5


async def test_a_drain_waits_for_what_runs_and_a_removal_is_refused_meanwhile(
    base: Path, sim: Simulator
) -> None:
    assert (await command(base, "servers", "add", "one", sim.url, "--lanes", "image")).code == 0
    made = await command(base, "accounts", "add", "ann", "--credits", "5", "--json")
    sim.hold()
    async with serving(base) as service, gateway(service.url, made.json()["api_key"]) as gate:
        job = (await gate.submit(BLANK, key="a", lane=None))["id"]
        await service.logged("attempt.started")
        await _told(base)
        refused = await command(base, "servers", "remove", "one")
        assert (refused.code, "drain it first" in refused.err) == (4, True)
        late = await command(base, "servers", "drain", "one", "--wait", "--wait-seconds", "0")
        assert (late.code, "1 of our jobs still run there" in late.err) == (4, True)
        waiting = (await gate.submit(BLANK, key="b", lane=None))["id"]
        why = await command(base, "jobs", "show", waiting, "--why")
        assert why.out.splitlines()[0].endswith("is queued: no server of lane image is up")
        assert "- server one: draining; drained by the operator since" in why.out
        runs = await command(base, "jobs", "show", job, "--why")
        assert runs.out.splitlines()[-1].startswith("- it probably ends in about ")
        draining = asyncio.create_task(command(base, "servers", "drain", "one", "--wait", "--json"))
        sim.release()
        assert (await draining).json()["running"] == 0
        assert (await gate.job(job))["status"] == "succeeded"
        await _reported(base)
        assert (await gate.job(waiting))["status"] == "queued"
        assert (await command(base, "jobs", "cancel", waiting)).code == 0
        again = (await command(base, "jobs", "retry", waiting, "--json")).json()
        assert again["retry_of"] == waiting
        assert (await command(base, "servers", "remove", "one")).code == 0
        rows = (await command(base, "audit", "list", "--json")).json()["audit"]
        assert {row["actor"] for row in rows} == {"cli", "control"}
