"""The server gets its next job while what the last one made is fetched, judged and written."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from comfygate.assets.blobs import Area, BlobStore, StoredBlob
from comfygate.gate.claiming import Claiming
from comfygate.gate.driving import BEHIND_MAX
from comfygate.simulator import Simulator
from comfygate.store.rows import ClaimedAttempt
from tests.looking import before_the_next_look
from tests.promises.rig import (
    PATIENCE_SECONDS,
    Caller,
    Gateway,
    gateway,
    image_graph,
    picture,
    plain_graph,
    settings_for,
)


class Storage:
    """Holds up everything that is written among the results until it is released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.released = asyncio.Event()
        self.waiting = 0
        real = BlobStore.write

        async def write(
            store: BlobStore,
            area: Area,
            chunks: AsyncIterator[bytes],
            *,
            bytes_max: int,
            lasting: bool = True,
        ) -> StoredBlob:
            if area == "results":
                self.waiting += 1
                await self.released.wait()
            return await real(store, area, chunks, bytes_max=bytes_max, lasting=lasting)

        monkeypatch.setattr(BlobStore, "write", write)


async def test_slow_storage_holds_no_server_up_until_too_much_is_behind(
    house: Gateway, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(monkeypatch)
    ann = await house.add_account("ann")
    jobs = [await ann.submit(plain_graph()) for _ in range(BEHIND_MAX + 2)]
    # One after the other they run, though not one has its result yet.
    async with asyncio.timeout(30):
        while len(simulator.executed) < BEHIND_MAX or storage.waiting < BEHIND_MAX:
            await before_the_next_look()
    found = [(await ann.job(job))["status"] for job in jobs]
    assert found == ["running"] * BEHIND_MAX + ["queued"] * 2
    assert len(simulator.executed) == BEHIND_MAX
    storage.released.set()
    for job in jobs:
        done = await ann.end(job)
        assert done["status"] == "succeeded"
        assert len(done["outputs"]) == 1
    assert len(simulator.executed) == BEHIND_MAX + 2
    await house.audit()


async def test_after_a_failure_nothing_is_sent_before_it_is_judged(
    house: Gateway, simulator: Simulator
) -> None:
    """Memory ran out: the server's is freed before it gets the next job, which was queued all the while."""
    simulator.error_on(
        "SaveImage", message="Allocation on device", exception_type="torch.OutOfMemoryError", times=1
    )
    ann = await house.add_account("ann")
    await house.operate("lanes.pause", lane="image")
    jobs = [await ann.submit(plain_graph()) for _ in range(3)]
    await house.operate("lanes.resume", lane="image")
    for job in jobs:
        assert (await ann.end(job))["status"] == "succeeded"
    posted = [one.path for one in simulator.requests if one.method == "POST"]
    asked = [path for path in posted if path in {"/prompt", "/free"}]
    assert asked[:3] == ["/prompt", "/free", "/prompt"]


async def with_picture(caller: Caller, colour: tuple[int, int, int]) -> str:
    """Submit a job of one picture."""
    name = f"{colour[0]}.png"
    await caller.upload(picture(colour), name)
    return await caller.submit(image_graph(name))


def uploaded(simulator: Simulator) -> int:
    return sum(one.path == "/upload/image" for one in simulator.requests)


async def until_uploaded(simulator: Simulator, count: int) -> None:
    async with asyncio.timeout(30):
        while uploaded(simulator) < count:
            await before_the_next_look()


async def test_the_next_jobs_inputs_are_there_before_its_turn_and_bind_nothing(
    house: Gateway, simulator: Simulator
) -> None:
    ann = await house.add_account("ann")
    gold = await house.add_account("gold", tier="black_gold")
    simulator.hold("node")
    first = await ann.submit(plain_graph())
    await ann.until(first, "running")
    second = await with_picture(ann, (200, 10, 10))
    await until_uploaded(simulator, 1)
    assert len(simulator.executed) == 1
    # Somebody with priority comes after the second one's picture was brought: theirs is next all the same.
    before = await with_picture(gold, (10, 200, 10))
    await until_uploaded(simulator, 2)
    simulator.release()
    ends = [await ann.end(first), await gold.end(before), await ann.end(second)]
    assert [one["status"] for one in ends] == ["succeeded"] * 3
    assert ends[1]["started_at"] < ends[2]["started_at"]
    # The one that was next when its picture came was not sent it again.
    assert uploaded(simulator) <= 3
    await house.audit()


async def test_what_was_brought_and_is_gone_is_brought_again(house: Gateway, simulator: Simulator) -> None:
    ann = await house.add_account("ann")
    simulator.hold("node")
    first = await ann.submit(plain_graph())
    await ann.until(first, "running")
    second = await with_picture(ann, (200, 10, 10))
    await until_uploaded(simulator, 1)
    folder = simulator.base_dir / "input"
    async with asyncio.timeout(30):
        while not (found := [file for file in folder.rglob("*.png") if file.parent != folder]):
            await before_the_next_look()
    found[0].unlink()
    simulator.release()
    assert (await ann.end(first))["status"] == "succeeded"
    assert (await ann.end(second))["status"] == "succeeded"
    assert uploaded(simulator) == 2
    await house.audit()


async def test_a_free_server_asks_for_the_job_before_its_submission_is_committed(
    tmp_path: Path, sqlite_url: str, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite's writer does things in the order of asking, so the claim finds what it was woken for."""
    real, asked, held, let_go = Claiming.first_in_order, asyncio.Event(), threading.Event(), threading.Event()

    async def noted(self: Claiming, extra: int = 0) -> ClaimedAttempt | None:
        asked.set()
        return await real(self, extra)

    def hold(_conn: Connection) -> None:
        held.set()
        assert let_go.wait(PATIENCE_SECONDS)

    async with gateway(settings_for(tmp_path / "gate", sqlite_url)) as house:
        await house.add_server("one", simulator.url, "image")
        ann = await house.add_account("ann")
        assert (await ann.end(await ann.submit(plain_graph(1))))["status"] == "succeeded"
        monkeypatch.setattr(Claiming, "first_in_order", noted)
        holding = asyncio.create_task(house.house.service.ctx.store.run(hold))
        await asyncio.to_thread(held.wait, PATIENCE_SECONDS)
        asked.clear()
        submitting = asyncio.create_task(ann.submit(plain_graph(2)))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await asked.wait()
            assert not submitting.done()
        finally:
            let_go.set()
        await holding
        assert (await ann.end(await submitting))["status"] == "succeeded"
        await house.audit()
