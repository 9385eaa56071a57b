"""`serve` from the outside: ready, a job end to end, the two signals, and what the next start finds."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from comfygate.cli.gateway import Event, Gateway, gateway
from comfygate.simulator import Simulator
from tests import forked
from tests.cli.rig import (
    PATIENCE_SECONDS,
    SERVE,
    Running,
    command,
    environment,
    fresh_command,
    fresh_running,
    graph_file,
    photo,
    serving,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
BLANK = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "blank"}},
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


async def set_up(base: Path, sim: Simulator, *, credits: int = 20) -> str:
    """A server and an account, without a service; the account's key."""
    added = await command(base, "servers", "add", "one", sim.url, "--lanes", "image,video", "--json")
    assert added.json()["state"] == "unknown"
    made = await command(base, "accounts", "add", "ann", "--credits", str(credits), "--json")
    return str(made.json()["api_key"])


@contextlib.asynccontextmanager
async def held_job(service: Running, sim: Simulator, key: str) -> AsyncIterator[tuple[Gateway, str]]:
    """A job that runs on the server and does not get on."""
    sim.hold()
    async with gateway(service.url, key) as gate:
        job = await gate.submit(BLANK, key="once", lane=None)
        await service.logged("attempt.started")
        yield gate, job["id"]


async def _sent(sim: Simulator) -> list[str]:
    return [r.json["prompt_id"] for r in sim.requests if (r.method, r.path) == ("POST", "/prompt")]


async def ended(gate: Gateway, job_id: str) -> tuple[dict[str, Any], list[Event]]:
    heard: list[Event] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await gate.follow(job_id, heard.append), heard


async def entries(base: Path) -> list[tuple[str, int]]:
    shown = await command(base, "ledger", "show", "ann", "--json")
    return [(entry["kind"], entry["amount"]) for entry in shown.json()["entries"]]


async def test_from_init_to_a_picture_and_a_balance(base: Path, tmp_path: Path, sim: Simulator) -> None:
    assert (await fresh_command(base, "init")).code == 0
    key = await set_up(base, sim)
    graph, picture = graph_file(tmp_path / "graph.json"), photo(tmp_path / "photo.png")
    async with fresh_running(base, *SERVE) as service:
        assert (await service.logged("service.ready"))["url"] == service.url
        words = ("run", str(graph), "--input", str(picture), "--out", str(tmp_path / "out"))
        first = await fresh_command(base, *words, COMFYGATE_API_KEY=key)
        assert first.code == 0, first.err
        again = (await command(base, *words, "--url", service.url, "--api-key", key, "--json")).json()
        service.tell(signal.SIGINT)
        assert await service.ended() == 0
    (path,) = first.out.splitlines()
    with Image.open(path) as made, Image.open(picture) as sent:
        assert ImageChops.difference(made.convert("RGB"), ImageChops.invert(sent)).getbbox() is None
    assert "succeeded" in first.err
    assert "ann has 19 credits, 0 held" in first.err
    assert again["outputs"] != [path]
    assert (again["status"], again["available"], again["held"]) == ("succeeded", 18, 0)
    assert (await entries(base))[:2] == [("capture", 1), ("hold", 1)]
    assert not (base / "data" / "control.json").exists()
    text = "".join(service.log)
    assert key not in text
    assert "signature=" not in text.replace("signature=(hidden)", "")
    assert "Traceback" not in text
    assert all(line.startswith('{"timestamp": ') for line in service.log)


async def test_a_job_that_fails_is_7_and_refunded(base: Path, tmp_path: Path, sim: Simulator) -> None:
    key = await set_up(base, sim)
    sim.error_on("ImageInvert", message="out of patience")
    graph, picture = graph_file(tmp_path / "graph.json"), photo(tmp_path / "photo.png")
    words = ("run", str(graph), "--input", str(picture), "--out", str(tmp_path), "--api-key", key)
    async with serving(base):
        failed = await command(base, *words)
        poor = await command(base, *words[:-1], "cgk_not-a-key", "--json")
        lane = await command(base, *words, "--lane", "sound")
    assert (failed.code, failed.out) == (7, "")
    assert failed.err.splitlines()[-1].endswith("Credits refunded.")
    assert (poor.code, poor.error()["code"]) == (4, "unauthorized")
    assert lane.code == 4
    assert "lane is 'sound'" in lane.err
    assert [kind for kind, _ in await entries(base)] == ["release", "hold", "grant"]


async def test_a_stop_waits_for_the_running_job_and_answers_meanwhile(base: Path, sim: Simulator) -> None:
    key = await set_up(base, sim)
    async with serving(base) as service, held_job(service, sim, key) as (gate, job_id):
        service.tell(signal.SIGTERM)
        await service.logged("service.told_to_stop")
        assert (await gate.job(job_id))["status"] == "running"
        late = await gate.submit(BLANK, key="late", lane=None)
        sim.release()
        assert await service.ended() == 0
        assert (await service.logged("service.stopping"))["left_open"] is False
    assert len(sim.executed) == 1
    for job, status in ((job_id, "succeeded"), (late["id"], "queued")):
        shown = await command(base, "jobs", "show", job, "--json")
        assert shown.json()["status"] == status


async def test_a_job_left_at_the_stop_is_adopted_and_runs_once(base: Path, sim: Simulator) -> None:
    key = await set_up(base, sim)
    short = {"COMFYGATE_DISPATCH__STOP_SECONDS": "0.2"}
    async with serving(base, **short) as service, held_job(service, sim, key) as (_gate, job_id):
        service.tell(signal.SIGTERM)
        assert await service.ended() == 0
        assert (await service.logged("service.stopping"))["left_open"] is True
    async with serving(base) as second, gateway(second.url, key) as gate:
        following = asyncio.create_task(ended(gate, job_id))
        sim.release()
        job, _heard = await following
        assert job["status"] == "succeeded"
    assert len(sim.executed) == 1
    assert await entries(base) == [("capture", 1), ("hold", 1), ("grant", 20)]
    assert (await command(base, "ledger", "audit")).code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_stops_at_once(number: signal.Signals, base: Path, sim: Simulator) -> None:
    key = await set_up(base, sim)
    patient = {"COMFYGATE_DISPATCH__STOP_SECONDS": "3600"}
    async with serving(base, **patient) as service, held_job(service, sim, key) as (gate, job_id):
        following = asyncio.create_task(gate.follow(job_id, lambda _event: None))
        service.tell(number)
        await service.logged("service.told_to_stop")
        service.tell(number)
        assert await service.ended() == 0
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert "Traceback" not in "".join(service.log)
    shown = await command(base, "jobs", "show", job_id, "--json")
    assert shown.json()["status"] == "running"


async def test_a_port_that_is_taken_is_3_and_named(base: Path) -> None:
    taken = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    async with taken:
        port = taken.sockets[0].getsockname()[1]
        ended_ = await command(base, "serve", "--port", str(port))
    assert (ended_.code, ended_.err.count("\n")) == (3, 1)
    assert f"port is {port}" in ended_.err
    assert "--port" in ended_.err


async def test_ctrl_c_during_run_asks_for_the_job_to_be_canceled(
    base: Path, tmp_path: Path, sim: Simulator
) -> None:
    key = await set_up(base, sim)
    sim.hold()
    graph, picture = graph_file(tmp_path / "graph.json"), photo(tmp_path / "photo.png")
    async with serving(base) as service:
        words = ("run", str(graph), "--input", str(picture), "--url", service.url, "--api-key", key)
        process = await forked.start(*words, env=environment(base), cwd=tmp_path)
        await sim.requested("POST", "/prompt", timeout_seconds=PATIENCE_SECONDS)
        (prompt_id,) = await _sent(sim)
        await sim.started(prompt_id)
        process.send_signal(signal.SIGINT)
        out, err = await process.said(PATIENCE_SECONDS)
        assert (process.returncode, out) == (130, b"")
        assert b"is canceling" in err or b"is canceled" in err
        assert b"Traceback" not in err
        async with gateway(service.url, key) as gate:
            (listed,) = (await command(base, "jobs", "list", "--json")).json()["jobs"]
            job, _heard = await ended(gate, listed["id"])
    assert job["status"] == "canceled"
    assert [kind for kind, _ in await entries(base)] == ["release", "hold", "grant"]


async def test_simulate_runs_until_it_is_told_to_stop(base: Path) -> None:
    from tests.cli.rig import running

    async with running(base, "simulate", "--port", "0", "--speed", "0", "--json") as simulator:
        added = await command(base, "servers", "add", "sim", simulator.url, "--lanes", "image")
        assert added.code == 0
        simulator.tell(signal.SIGTERM)
        assert await simulator.ended() == 0
    assert simulator.log == []
