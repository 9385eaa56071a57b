"""What waited too long ends with a refund; bytes go when nothing refers to them; rows stay."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from comfygate.app import opened
from comfygate.domain.errors import NotFound
from comfygate.domain.order import Place
from comfygate.gate import accounts, files
from comfygate.gate.context import Context, lane_bell
from comfygate.gate.files import Upload
from comfygate.gate.janitor import MISFITS_KEEP_SECONDS, keep_house, sweep_orphans, tidy_once
from comfygate.gate.submit import Submission, submit
from comfygate.gate.views import get_job
from comfygate.settings import load_settings
from comfygate.store.tables import jobs, misfits
from tests.api.house import png

GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
    "2": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["1", 0]}},
}
HOUR_MS = 3_600_000


class Clock:
    """Wall time that the test moves."""

    def __init__(self) -> None:
        self.ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def ctx(tmp_path: Path, database_url: str, clock: Clock) -> AsyncIterator[Context]:
    overrides = {
        "database_url": database_url,
        "lanes": {"image": {"queue_seconds_max": 3600}},
        "retention": {"uploads_seconds": 600},
    }
    async with opened(load_settings(base_dir=tmp_path, environ={}, overrides=overrides)) as context:
        yield replace(context, now_ms=clock)


async def _bytes(content: bytes) -> AsyncIterator[bytes]:
    yield content


async def _keys(ctx: Context) -> list[str]:
    return [found.key async for found in ctx.blobs.keys("uploads")]


async def test_a_job_that_waits_too_long_expires_with_a_refund(ctx: Context, clock: Clock) -> None:
    account = (await accounts.add_account(ctx, "ann", credits=5)).account
    await files.store_upload(ctx, Upload(account.id, file_path="photo.png"), _bytes(png()))
    view = await submit(ctx, Submission(account.id, GRAPH))
    clock.ms += HOUR_MS - 1
    await tidy_once(ctx)
    assert (await get_job(ctx, view.job.id, account.id)).status == "queued"
    clock.ms += 1
    await tidy_once(ctx)
    assert (await get_job(ctx, view.job.id, account.id)).status == "expired"
    assert (await accounts.get_account(ctx, "ann")).balance.available == 5


async def test_an_input_outlives_its_time_while_its_job_waits(ctx: Context, clock: Clock) -> None:
    account = (await accounts.add_account(ctx, "ann", credits=5)).account
    await files.store_upload(ctx, Upload(account.id, file_path="photo.png"), _bytes(png()))
    await submit(ctx, Submission(account.id, GRAPH))
    clock.ms += 601_000
    await tidy_once(ctx)
    assert len(await _keys(ctx)) == 1
    clock.ms += HOUR_MS
    await tidy_once(ctx)
    await tidy_once(ctx)
    assert await _keys(ctx) == []


async def test_shared_bytes_go_with_their_last_record(ctx: Context, clock: Clock) -> None:
    ids = []
    for name, seconds in (("ann", 60), ("bob", 3600)):
        account = (await accounts.add_account(ctx, name)).account
        minted = await files.store_upload(ctx, Upload(account.id, expires_in=seconds), _bytes(b"same"))
        ids.append((minted.asset.id, account.id))
    assert len(await _keys(ctx)) == 1
    clock.ms += 61_000
    await tidy_once(ctx)
    with pytest.raises(NotFound):
        await files.get_asset(ctx, *ids[0])
    kept = await files.get_asset(ctx, *ids[1])
    assert b"".join([piece async for piece in files.read_bytes(ctx, kept)]) == b"same"
    clock.ms += HOUR_MS
    await tidy_once(ctx)
    assert await _keys(ctx) == []


async def test_bytes_without_a_row_are_swept_once_they_are_old(ctx: Context, clock: Clock) -> None:
    orphan = await ctx.blobs.write("results", _bytes(b"from a crash"), bytes_max=100)
    [stored] = [found async for found in ctx.blobs.keys("results")]
    clock.ms = int(stored.modified_at.timestamp() * 1000)
    assert await sweep_orphans(ctx) == 0
    clock.ms += 2 * HOUR_MS
    assert await sweep_orphans(ctx) == 1
    assert orphan.key not in [found.key async for found in ctx.blobs.keys("results")]


async def rung(ctx: Context, act: Awaitable[object]) -> bool:
    """Whether the lane's bell says, while `act` is done, that its order may be another."""
    news: list[Place | None] = []
    ctx.bells.attend([lane_bell("image")], lambda place, _from_outside: news.append(place))
    await act
    return None in news


async def test_what_changes_the_order_of_a_lane_rings_its_bell(ctx: Context, clock: Clock) -> None:
    """Or what is ready ahead would be sent before what is first now."""
    assert not await rung(ctx, tidy_once(ctx))
    misfit = {"workflow": "w", "server": "one", "reason": "no class X", "judged_at_ms": clock.ms}
    await ctx.store.run(lambda conn: conn.execute(insert(misfits).values(**misfit)))
    clock.ms += MISFITS_KEEP_SECONDS * 1000 + 1
    assert await rung(ctx, tidy_once(ctx))


async def test_turns_that_are_forgotten_at_the_start_ring_the_bell(ctx: Context) -> None:
    account = (await accounts.add_account(ctx, "ann", credits=10)).account
    graph = {"1": GRAPH["2"] | {"inputs": {"filename_prefix": "x", "images": ["2", 0]}}}
    size = {"width": 8, "height": 8, "batch_size": 1}
    graph["2"] = {"class_type": "EmptyImage", "inputs": size}
    await submit(ctx, Submission(account.id, graph))
    await ctx.store.run(lambda conn: conn.execute(update(jobs).values(share=7)))
    heard: asyncio.Event = asyncio.Event()
    ctx.bells.attend([lane_bell("image")], lambda _place, _from_outside: heard.set())
    keeping = asyncio.create_task(keep_house(ctx))
    async with asyncio.timeout(20):
        await heard.wait()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
