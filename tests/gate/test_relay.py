"""The outbox reaches every subscriber, at least once and in order for each job, whatever one of them does."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfygate.app import opened
from comfygate.gate import accounts, relay
from comfygate.gate.context import Context
from comfygate.gate.relay import Subscriber, drain
from comfygate.gate.submit import Submission, cancel, submit
from comfygate.settings import load_settings
from comfygate.store.rows import OutboxRow

GRAPH = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["1", 0]}},
}


@pytest.fixture
async def ctx(tmp_path: Path, database_url: str) -> AsyncIterator[Context]:
    settings = load_settings(base_dir=tmp_path, environ={}, overrides={"database_url": database_url})
    async with opened(settings) as context:
        yield context


async def two_canceled_jobs(ctx: Context) -> tuple[str, str]:
    account = (await accounts.add_account(ctx, "ann", credits=10)).account
    jobs = [(await submit(ctx, Submission(account.id, GRAPH))).job.id for _ in range(2)]
    for job in jobs:
        await cancel(ctx, job, account.id)
    return jobs[0], jobs[1]


async def test_everything_is_told_in_order_and_once(ctx: Context) -> None:
    first, second = await two_canceled_jobs(ctx)
    told: list[tuple[str, str]] = []

    async def listen(row: OutboxRow) -> None:
        told.append((row.job_id, row.kind))

    assert await drain(ctx, [listen]) == 4
    assert [kind for job, kind in told if job == first] == ["job.queued", "job.canceled"]
    assert [kind for job, kind in told if job == second] == ["job.queued", "job.canceled"]
    assert await drain(ctx, [listen]) == 0
    assert len(told) == 4


async def test_a_failing_subscriber_delays_its_job_alone(ctx: Context) -> None:
    first, second = await two_canceled_jobs(ctx)
    told: list[tuple[str, str]] = []
    broken = True

    async def listen(row: OutboxRow) -> None:
        if broken and row.job_id == first:
            raise ConnectionError("chat service is away")
        told.append((row.job_id, row.kind))

    subscribers: list[Subscriber] = [listen]
    assert await drain(ctx, subscribers) == 2
    assert told == [(second, "job.queued"), (second, "job.canceled")]
    broken = False
    assert await drain(ctx, subscribers) == 2
    assert told[2:] == [(first, "job.queued"), (first, "job.canceled")]


async def test_more_refused_rows_than_a_batch_hold_up_nobody(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH_MAX", 2)
    first, second = await two_canceled_jobs(ctx)
    bob = (await accounts.add_account(ctx, "bob", credits=1)).account
    last = (await submit(ctx, Submission(bob.id, GRAPH))).job.id
    told: list[str] = []

    async def listen(row: OutboxRow) -> None:
        if row.job_id in {first, second}:
            raise ConnectionError("chat service is away")
        told.append(row.job_id)

    assert await drain(ctx, [listen]) == 1
    assert told == [last]
