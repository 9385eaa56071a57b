"""Adds what ended to the aggregates: in batches, beside everything else, each job and entry once (ADR 22).

What is to be counted is on a list in the database. It is read and added up off the writer; the one write adds
the sums and takes what they are of off the list, or does neither. Any replica may do it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

import structlog

from comfygate.domain.buckets import Key, Measure, Sample, added_up, busy, ratio_bin, wait_bin
from comfygate.domain.credits import HOUSE, MOVES, EntryKind, Side
from comfygate.domain.errors import StoreTrouble
from comfygate.domain.job import PUBLIC_STATUS, JobState
from comfygate.gate.context import COUNTING, Context, heard
from comfygate.store import buckets as buckets_store
from comfygate.store.buckets import EndedAttempt, EndedJob, Moved
from comfygate.store.engine import Connection

BATCH_MAX: Final = 200
"""Jobs and entries that are added together."""
COUNT_SECONDS: Final = 2.0
"""Least time between two rounds: what ends meanwhile is added together."""
POLL_SECONDS: Final = 30.0
"""The safety net behind the bell, and how late an entry that rings none may be."""
FORGET_SECONDS: Final = 3600.0
"""Between two looks for buckets that are old enough to go."""

Listed = Sequence[tuple[str, str]]

log = structlog.get_logger(__name__)


async def keep_counting(ctx: Context) -> None:
    """Run until cancelled."""
    loop = asyncio.get_running_loop()
    bell = ctx.bells.hang(frozenset({COUNTING}))
    forgot_at = float("-inf")
    try:
        while True:
            bell.clear()
            try:
                while await count_once(ctx) == BATCH_MAX:
                    continue
                if loop.time() - forgot_at >= FORGET_SECONDS:
                    await ctx.store.run(buckets_store.forget_buckets, ctx.now_ms())
                    forgot_at = loop.time()
            except StoreTrouble as error:
                log.info("aggregates.not_counted", error=error.message)
            await asyncio.sleep(COUNT_SECONDS)
            await heard(bell, POLL_SECONDS)
    finally:
        ctx.bells.remove(bell)


async def count_once(ctx: Context) -> int:
    """Count one batch. Returns how many were counted; 0 also where another replica was at the same."""
    listed, sums = await ctx.store.read(sums_of_list, ctx.now_ms())
    if not listed or not await ctx.store.run(buckets_store.count, listed, sums):
        return 0
    return len(listed)


def sums_of_list(conn: Connection, now_ms: int) -> tuple[Listed, dict[Key, tuple[int, int]]]:
    """Some of what is on the list, and what it adds. Only reads."""
    listed = buckets_store.waiting_to_be_counted(conn, BATCH_MAX)
    job_ids = [one for what, one in listed if what == buckets_store.JOB]
    entry_ids = [int(one) for what, one in listed if what == buckets_store.ENTRY]
    tries: dict[str, list[EndedAttempt]] = {}
    for attempt in buckets_store.ended_attempts(conn, job_ids):
        tries.setdefault(attempt.job_id, []).append(attempt)
    samples: list[Sample] = []
    for job in buckets_store.ended_jobs(conn, job_ids):
        samples += of_job(job, tries.get(job.id, []))
    for entry in buckets_store.moved(conn, entry_ids):
        samples.append(_of_entry(entry))
    return listed, added_up(samples, now_ms)


def of_job(job: EndedJob, tries: Sequence[EndedAttempt]) -> Iterator[Sample]:
    """What a job that ended adds."""
    ended_ms, state = job.completed_at_ms, JobState(job.state)
    took_ms = max(ended_ms - job.created_at_ms, 0)
    yield Sample(Measure.ENDED, ended_ms, job.lane, PUBLIC_STATUS[state], total=took_ms)
    if tries:
        claimed_ms = tries[0].claimed_at_ms
        wait_ms = max(claimed_ms - job.created_at_ms, 0)
        yield Sample(Measure.WAIT, claimed_ms, job.lane, job.tier, wait_bin(wait_ms), total=wait_ms)
    for attempt in tries:
        yield Sample(Measure.BLAME, attempt.until_at_ms, job.lane, attempt.blame or attempt.outcome)
        yield from busy(attempt.server, attempt.from_at_ms, attempt.until_at_ms)
    if job.price:
        succeeded = state is JobState.SUCCEEDED
        kind = EntryKind.CAPTURE if succeeded else EntryKind.RELEASE
        yield Sample(Measure.CREDITS, ended_ms, direction(kind), kind.value, total=job.price)
    if job.took_ms is not None and job.told_p50_ms is not None and job.told_p90_ms is not None:
        part = "met" if job.took_ms <= job.told_p90_ms else "late"
        off = ratio_bin(job.took_ms, job.told_p50_ms)
        yield Sample(Measure.ETA, ended_ms, job.lane, part, off, total=job.took_ms - job.told_p50_ms)


def _of_entry(entry: Moved) -> Sample:
    kind = EntryKind(entry.kind)
    return Sample(Measure.CREDITS, entry.at_ms, direction(kind), kind.value, total=entry.amount)


def direction(kind: EntryKind) -> str:
    """Where credits went: `in` to accounts, `out` of them, or `back` to one from a hold."""
    source, target = MOVES[kind]
    if source in HOUSE:
        return "in"
    return "out" if target in HOUSE else "back" if target is Side.AVAILABLE else "held"
