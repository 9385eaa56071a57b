"""What a claim costs behind a backlog: of its own lane, and of another."""

from __future__ import annotations

import statistics
import time

from sqlalchemy import Connection, insert, text

from benchmarks.engines import Engine
from benchmarks.throughput import graph
from comfygate.app import opened
from comfygate.domain.job import Lost
from comfygate.gate import accounts
from comfygate.gate.context import Context
from comfygate.gate.submit import Submission, submit
from comfygate.store import attempts, settle, tables
from comfygate.store.attempts import Slot

BACKLOGS = (0, 10_000, 100_000)
CLAIMS = 60


async def measure_claim(engine: Engine) -> list[tuple[str, str, str, str]]:
    """Median of a claim in lane `image`, which holds the backlog, and in lane `video` beside it."""
    rows = []
    first: dict[str, float] = {}
    for backlog in BACKLOGS:
        with engine.settings() as settings:
            async with opened(settings) as ctx:
                made = await accounts.add_account(ctx, "bench", credits=1_000_000)
                await ctx.store.run(_fill, made.account.id, backlog)
                for lane in ("image", "video"):
                    await submit(ctx, Submission(made.account.id, graph("x"), lane=lane))
                for lane in ("image", "video"):
                    median = await _median_claim(ctx, lane)
                    first.setdefault(lane, median)
                    rows.append(
                        (
                            f"claim in {lane}, {backlog} queued in image",
                            engine.name,
                            f"{median * 1000:.2f} ms",
                            f"{median / first[lane]:.2f} of the time at 0",
                        )
                    )
    return rows


def _fill(conn: Connection, account_id: str, backlog: int) -> None:
    rows = [
        {
            "id": f"backlog-{number}",
            "account_id": account_id,
            "lane": "image",
            "priority": 100,
            "state": "queued",
            "price": 0,
            "hold": "none",
            "created_at_ms": 0,
            "queue_deadline_at_ms": 2**60,
            "expires_at_ms": 2**60,
        }
        for number in range(backlog)
    ]
    for start in range(0, backlog, 5_000):
        part = rows[start : start + 5_000]
        conn.execute(insert(tables.jobs), part)
        conn.execute(insert(tables.job_graphs), [{"job_id": row["id"], "graph": "{}"} for row in part])
    conn.execute(text("ANALYZE"))


async def _median_claim(ctx: Context, lane: str) -> float:
    """Claim the lane's first job and give it back, again and again."""
    times = []
    for _ in range(CLAIMS):
        began = time.monotonic()
        attempt = await ctx.store.run(
            attempts.claim,
            Slot("bench", 0, (lane,)),
            owner=ctx.owner,
            prompt_id=ctx.new_id(),
            lease_ms=30_000,
            now_ms=ctx.now_ms(),
        )
        times.append(time.monotonic() - began)
        if attempt is None:
            raise RuntimeError(f"nothing to claim in lane {lane}")
        await ctx.store.run(
            settle.settle,
            attempt.fence,
            Lost("given back"),
            attempts_max=10**6,
            results_seconds=60,
            now_ms=ctx.now_ms(),
        )
    return statistics.median(times)
