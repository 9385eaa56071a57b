"""What the operator's pages cost over many finished jobs, and what counting their ends costs the writer.

The rows are written in bulk as jobs leave them: job, graph, attempt, entries, buckets. The control of each
figure is the same read over a hundredth of the jobs.
"""

from __future__ import annotations

# ruff: noqa: S608  # raw SQL from this file's own words
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from benchmarks.engines import Engine
from benchmarks.figures import Figure, median_seconds
from comfygate.app import opened
from comfygate.gate import accounts, counting, ops_lists, ops_series, ops_story
from comfygate.gate.context import Context
from comfygate.gate.ops_now import look
from comfygate.store import buckets

ACCOUNTS = 5_000
PART = 50_000
"""Jobs written in one transaction."""
SERVERS = 4


@dataclass(frozen=True, slots=True)
class Size:
    """Finished jobs, growing, the first number being the control; times each read is done; ends counted."""

    jobs: tuple[int, ...] = (1_000, 100_000)
    accounts: int = ACCOUNTS
    times: int = 15
    ends: int = 500


async def measure_operations(engine: Engine, size: Size | None = None) -> list[Figure]:
    """Medians of every page's read at each size, and of the write that counts a batch of ends."""
    size = size or Size()
    figures: list[Figure] = []
    first: dict[str, float] = {}
    with engine.settings() as settings:
        async with opened(settings) as ctx:
            await ctx.store.run(write_accounts, size.accounts, ctx.now_ms())
            caller = (await accounts.add_account(ctx, "caller", credits=100)).account.id
            written = 0
            for wanted in size.jobs:
                for start in range(written, wanted, PART):
                    end = min(start + PART, wanted)
                    await ctx.store.run(write_jobs, start, end, size.accounts, ctx.now_ms())
                written = wanted
                await ctx.store.run(lambda conn: conn.execute(text("ANALYZE")).close())
                for name, read in pages(ctx, caller).items():
                    seconds = await median_seconds(read, size.times)
                    base = first.setdefault(name, seconds)
                    ratio = seconds / base if wanted != size.jobs[0] else None
                    control = f"it over {size.jobs[0]:,}" if ratio else ""
                    what = f"{name}, {wanted:,} finished jobs"
                    figures.append(
                        Figure(what, engine.name, seconds * 1000, "ms", ratio, control, None, "lower")
                    )
            figures += await _counted(engine, ctx, size)
    return figures


def pages(ctx: Context, caller: str) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What each page reads."""
    return {
        "now": lambda: look(ctx),
        "jobs": lambda: ops_lists.jobs(ctx),
        "jobs that failed": lambda: ops_lists.jobs(ctx, status=["failed"]),
        "jobs of a lane": lambda: ops_lists.jobs(ctx, lane="video"),
        "jobs of an account": lambda: ops_lists.jobs(ctx, account="crowd-7", status=["failed"]),
        "a job": lambda: ops_story.job_story(ctx, "done-7"),
        "accounts": lambda: ops_lists.accounts(ctx),
        "accounts by name": lambda: ops_lists.accounts(ctx, search="wd-77"),
        "an account": lambda: ops_story.account_story(ctx, caller),
        "entries": lambda: ops_lists.entries(ctx),
        "audit": lambda: ops_lists.audit(ctx, operation="lanes."),
        "a plot of 30 days": lambda: ops_series.series(ctx, "wait", "30d"),
        "a plot of an hour": lambda: ops_series.series(ctx, "ended", "1h"),
    }


async def _counted(engine: Engine, ctx: Context, size: Size) -> list[Figure]:
    """Put ends on the list, and count them: the read beside the writer, and the write."""
    reads, writes = [], []
    for number in range(size.times):
        ids = [f"done-{n % size.jobs[-1]}" for n in range(number * size.ends, (number + 1) * size.ends)]
        await ctx.store.run(buckets.to_be_counted, buckets.JOB, ids)
        began = time.monotonic()
        listed, sums = await ctx.store.read(counting.sums_of_list, ctx.now_ms())
        read = time.monotonic()
        await ctx.store.run(buckets.count, listed, sums)
        reads.append(read - began)
        writes.append(time.monotonic() - read)
    return [
        Figure(f"counting {size.ends} ends: {what}", engine.name, statistics.median(took) * 1000, "ms")
        for what, took in (("adding up, beside the writer", reads), ("the write", writes))
    ]


_NUMBERS = (
    "WITH RECURSIVE n(i) AS (SELECT CAST(:start AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :end)"
)


def write_accounts(conn: Connection, count: int, now_ms: int) -> None:
    """Accounts, each named after its number."""
    conn.execute(
        text(
            f"INSERT INTO accounts (id, name, tier, created_at_ms) {_NUMBERS}"
            " SELECT 'crowd-id-' || n.i, 'crowd-' || n.i, 'regular', :now + n.i FROM n"
        ),
        {"start": 0, "end": count, "now": now_ms},
    )


def write_jobs(conn: Connection, start: int, end: int, crowd: int, now_ms: int) -> None:
    """Finished jobs `start` to `end` (not included), one in fifty failed, as their ends left them."""
    if conn.dialect.name == "postgresql":
        # Else each row's foreign key is looked up by a plan made when the tables were empty: a scan.
        conn.execute(text("SET LOCAL session_replication_role = 'replica'"))
    failed = "n.i % 50 = 0"
    error = """CASE WHEN n.i % 50 = 0 THEN '{"code": "error", "message": "it failed"}' END"""
    lane = "CASE WHEN n.i % 20 = 0 THEN 'video' ELSE 'image' END"
    given = {"start": start, "end": end, "now": now_ms, "crowd": crowd, "servers": SERVERS}
    given["graph"] = '{"1": {"class_type": "SaveImage", "inputs": {}}}'  # type: ignore[assignment]
    for into, what in (
        (
            (
                "jobs (id, account_id, lane, priority, state, price, hold, error, created_at_ms, attempt,"
                " queue_deadline_at_ms, completed_at_ms, expires_at_ms)"
            ),
            (
                f"'done-' || n.i, 'crowd-id-' || (n.i % :crowd), {lane}, 100,"
                f" CASE WHEN {failed} THEN 'failed' ELSE 'succeeded' END, 1,"
                f" CASE WHEN {failed} THEN 'released' ELSE 'captured' END, {error}, :now, 1, :now, :now, :now"
            ),
        ),
        ("job_graphs (job_id, graph)", "'done-' || n.i, :graph"),
        (
            (
                "attempts (job_id, number, prompt_id, server, slot, owner, lease_until_at_ms, claimed_at_ms,"
                " ended_at_ms, outcome)"
            ),
            (
                "'done-' || n.i, 1, 'prompt-' || n.i, 'gpu' || (n.i % :servers), 0, 'me', 0, :now,"
                " :now + 900,"
                f" CASE WHEN {failed} THEN 'failed' ELSE 'succeeded' END"
            ),
        ),
        (
            "entries (kind, account_id, from_side, to_side, amount, job_id, created_at_ms)",
            "'hold', 'crowd-id-' || (n.i % :crowd), 'available', 'held', 1, 'done-' || n.i, :now",
        ),
        (
            "audit_log (at_ms, actor, operation, arguments, result)",
            "n.i, 'cli', CASE WHEN n.i % 10 = 0 THEN 'lanes.pause' ELSE 'credits.grant' END, '{}', 'ok'",
        ),
    ):
        used = {name: value for name, value in given.items() if f":{name}" in _NUMBERS + what}
        conn.execute(text(f"INSERT INTO {into} {_NUMBERS} SELECT {what} FROM n ORDER BY n.i"), used)
