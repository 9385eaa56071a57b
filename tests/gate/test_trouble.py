"""Trouble at the worst moments: it is logged and lived through, and nobody's job or money hangs on it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy.exc import OperationalError

import comfygate
from comfygate.gate import operate
from comfygate.gate.embedded import Gate
from comfygate.simulator import Simulator
from comfygate.store import accounts as accounts_store
from comfygate.store import settle as settle_store
from tests.looking import before_the_next_look
from tests.promises.rig import PATIENCE_SECONDS, image_graph, picture, plain_graph, settings_for


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    async with Simulator(base_dir=tmp_path / "comfy") as started:
        yield started


@pytest.fixture
async def gate(tmp_path: Path, database_url: str, simulator: Simulator) -> AsyncIterator[Gate]:
    async with comfygate.open(settings_for(tmp_path / "gate", database_url)) as opened:
        await operate.servers_add(opened.ctx, "one", simulator.url, ["image"])
        await opened.add_account("ann", credits=100)
        yield opened


def failing_once(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[int]:
    """Let a store function raise at its first call; the list grows with each call."""
    real = getattr(module, name)
    calls: list[int] = []

    def fails_first(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError(name, {}, Exception("disk I/O error"))
        return real(*args, **kwargs)

    monkeypatch.setattr(module, name, fails_first)
    return calls


async def ended(gate: Gate, graph: dict[str, Any]) -> str:
    job = await gate.submit(graph, account="ann")
    return (await asyncio.wait_for(job.wait(), PATIENCE_SECONDS)).status


async def test_a_settling_write_that_fails_is_tried_again(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> None:
    calls = failing_once(monkeypatch, settle_store, "settle")
    job = await gate.submit(plain_graph(), account="ann")
    [output] = await asyncio.wait_for(job.outputs(), PATIENCE_SECONDS)
    assert await output.read()
    assert len(calls) == 2
    assert len(simulator.executed) == 1
    assert await ended(gate, plain_graph()) == "succeeded"


async def test_a_failed_look_at_the_servers_stops_nobody(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ended(gate, plain_graph()) == "succeeded"
    calls = failing_once(monkeypatch, accounts_store, "list_servers")
    gate.ctx.bells.ring("servers")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not calls:
            await before_the_next_look()
    assert await ended(gate, plain_graph()) == "succeeded"


async def test_a_server_that_cannot_be_set_up_leaves_the_others_alone(
    tmp_path: Path, simulator: Simulator
) -> None:
    both = {"username": "u", "password": "p4ssw0rd-of-mine", "headers": {"Authorization": "Bearer abcdef"}}
    settings = settings_for(tmp_path / "g", server_secrets={"bad": both})
    async with comfygate.open(settings) as gate:
        await gate.add_account("ann", credits=5)
        await operate.servers_add(gate.ctx, "bad", simulator.url, ["video"])
        await operate.servers_add(gate.ctx, "one", simulator.url, ["image"])
        assert await ended(gate, plain_graph()) == "succeeded"


async def test_stopping_during_the_settling_write_keeps_what_was_paid_for(
    tmp_path: Path, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(tmp_path / "g", dispatch={"stop_seconds": 0})
    settling = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = settle_store.settle

    def settle(*args: Any, **kwargs: Any) -> Any:
        loop.call_soon_threadsafe(settling.set)
        return real(*args, **kwargs)

    monkeypatch.setattr(settle_store, "settle", settle)
    async with comfygate.open(settings) as gate:
        await operate.servers_add(gate.ctx, "one", simulator.url, ["image"])
        await gate.add_account("ann", credits=5)
        job = await gate.submit(plain_graph(), account="ann")
        await asyncio.wait_for(settling.wait(), PATIENCE_SECONDS)
    async with comfygate.open(settings) as gate:
        again = await gate.job(job.id, account="ann")
        [output] = await asyncio.wait_for(again.outputs(), PATIENCE_SECONDS)
        assert await output.read()
        assert (await gate.balance("ann")).available == 4


async def test_callers_that_use_the_same_file_name_get_their_own_pictures(gate: Gate) -> None:
    colours = [(shade, 0, 0) for shade in range(0, 240, 40)]
    jobs = await asyncio.gather(
        *(
            gate.submit(image_graph("photo.png"), account="ann", inputs={"photo.png": picture(colour)})
            for colour in colours
        )
    )
    for job, colour in zip(jobs, colours, strict=True):
        [output] = await asyncio.wait_for(job.outputs(), PATIENCE_SECONDS)
        pixel = Image.open(io.BytesIO(await output.read())).getpixel((0, 0))
        assert pixel == (255 - colour[0], 255, 255)


async def test_a_prompt_given_up_is_stopped_before_the_server_gets_another(
    tmp_path: Path, simulator: Simulator
) -> None:
    settings = settings_for(tmp_path / "g", comfy={"lost_after_seconds": 0.3})
    async with comfygate.open(settings) as gate:
        await operate.servers_add(gate.ctx, "one", simulator.url, ["image"])
        await gate.add_account("ann", credits=5)
        simulator.hold()
        job = await gate.submit(plain_graph(), account="ann")
        async for event in job.events():
            if getattr(event, "status", "") == "running":
                break
        [first] = simulator.executed
        simulator.silence_sockets()
        for path in (f"/history/{first}", "/queue"):
            simulator.fail_next(path, 503, times=8)
        await simulator.requested(
            "POST",
            "/interrupt",
            where=lambda r: r.json == {"prompt_id": first},
            timeout_seconds=PATIENCE_SECONDS,
        )
        simulator.restore_sockets()
        simulator.release()
        assert (await asyncio.wait_for(job.wait(), PATIENCE_SECONDS)).status == "succeeded"


async def test_a_prompt_given_up_is_remembered_over_a_restart(tmp_path: Path, simulator: Simulator) -> None:
    """Or the next process would send a job beside it."""
    settings = settings_for(tmp_path / "g", comfy={"lost_after_seconds": 0.3}, dispatch={"stop_seconds": 0})
    async with comfygate.open(settings) as gate:
        await operate.servers_add(gate.ctx, "one", simulator.url, ["image"])
        await gate.add_account("ann", credits=5)
        simulator.hold()
        job = await gate.submit(plain_graph(), account="ann")
        async for event in job.events():
            if getattr(event, "status", "") == "running":
                break
        [first] = simulator.executed
        simulator.silence_sockets()
        for path in (f"/history/{first}", "/queue"):
            simulator.fail_next(path, 503, times=100_000)
        async for event in job.events():
            if getattr(event, "status", "") == "queued":
                break
    simulator.clear_faults()
    simulator.hold()
    async with comfygate.open(settings) as gate:
        again = await gate.job(job.id, account="ann")
        await simulator.requested("POST", "/prompt", count=2, timeout_seconds=PATIENCE_SECONDS)
        calls = [(r.method, r.path, r.json) for r in simulator.requests if r.method == "POST"]
        stopped = calls.index(("POST", "/interrupt", {"prompt_id": first}))
        sent = [place for place, (_, path, _) in enumerate(calls) if path == "/prompt"]
        assert stopped < sent[1], "the first was stopped before the second was sent"
        simulator.release()
        assert (await asyncio.wait_for(again.wait(), PATIENCE_SECONDS)).status == "succeeded"


async def test_callbacks_come_in_order_and_one_that_raises_stops_no_other(gate: Gate) -> None:
    told: list[str] = []

    async def started(_job: object) -> None:
        told.append("started")
        raise RuntimeError("the chat is gone")

    async def completed(_job: object, outputs: list[Any]) -> None:
        told.append(f"completed with {len(outputs)}")

    await gate.submit(plain_graph(), account="ann", on_started=started, on_completed=completed)
    await asyncio.wait_for(gate.told(), PATIENCE_SECONDS)
    assert told == ["started", "completed with 1"]
