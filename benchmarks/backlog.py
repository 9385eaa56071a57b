"""What a deep queue costs: claim, submit, position, cancel and list with up to a million jobs queued.

The rows are written in bulk as submissions would have left them: job, graph, hold, entry, delivered outbox
row, spread over 100 accounts. The control of each figure is the same operation with nothing queued.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

import tomli_w
from sqlalchemy import Connection, text

from benchmarks.engines import Engine
from benchmarks.figures import Figure, median_seconds
from benchmarks.graphs import plain_graph
from benchmarks.processes import base_settings, fresh_database, running, simulator
from benchmarks.submit import BUSY_SECONDS
from comfygate.app import opened
from comfygate.cli.refusals import CommandError
from comfygate.domain.job import Lost
from comfygate.gate import accounts, views
from comfygate.gate.context import Context
from comfygate.gate.submit import Submission, cancel, submit
from comfygate.settings import load_settings
from comfygate.store import attempts, settle
from comfygate.store.attempts import Slot

CROWD = 100
"""Accounts that the backlog belongs to."""
PART = 100_000
"""Jobs written in one transaction."""
LATER_MS = 2**60
BACKLOG_GRAPH = {
    **plain_graph(),
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "color": 0}},
}


@dataclass(frozen=True, slots=True)
class Size:
    """Jobs queued, growing; times each operation is done at each; seconds a gateway is watched over it."""

    depths: tuple[int, ...] = (0, 10_000, 100_000, 1_000_000)
    times: int = 20
    watch_seconds: float = 3.0


async def measure_backlog(engine: Engine, size: Size | None = None) -> list[Figure]:
    """Medians at each depth; disk a job; and, on SQLite, memory and lag of a gateway over it."""
    size = size or Size()
    base = engine.folder / f"backlog-{engine.name}"
    base.mkdir()
    figures: list[Figure] = []
    with fresh_database(engine) as url:
        extra = {"screening": {"enabled": False}, "dispatch": {"stop_seconds": 0}}
        toml = tomli_w.dumps(base_settings(engine, url, extra))
        (base / "comfygate.toml").write_text(toml, encoding="utf-8")
        at_first: dict[str, float] = {}
        alone = await _gateway_over(base, size) if engine.postgres is None else None
        async with opened(load_settings(base_dir=base, environ={})) as ctx:
            for number in range(CROWD):
                await accounts.add_account(ctx, f"crowd-{number}", credits=max(size.depths))
            caller = (await accounts.add_account(ctx, "caller", credits=1_000_000)).account.id
            disk = await ctx.store.read(_disk_bytes)
            depth = 0
            for wanted in size.depths:
                await _fill(ctx, depth, wanted)
                depth = wanted
                for name, seconds in (await _operations(ctx, caller, size.times)).items():
                    at_first.setdefault(name, seconds)
                    figures.append(_figure(engine, name, depth, seconds, at_first[name]))
            disk = await ctx.store.read(_disk_bytes) - disk
        full = await _gateway_over(base, size) if alone else None
    figures.append(Figure("disk a queued job", engine.name, disk / max(depth, 1), "bytes"))
    if alone is None or full is None:
        return figures
    grown = full[0] - alone[0]
    return [
        *figures,
        Figure(
            f"memory of a gateway over {depth:,} queued", engine.name, full[0], "MB", full[0] / alone[0],
            f"it over an empty database ({grown * 1e6 / max(depth, 1):.1f} bytes a job)", None, "lower",
        ),
        Figure(
            f"event-loop lag over {depth:,} queued, p99", engine.name, full[1] * 1000, "ms",
            full[1] / alone[1] if alone[1] else None, "it over an empty database", None, "lower",
        ),
    ]  # fmt: skip


def _figure(engine: Engine, name: str, depth: int, seconds: float, first: float) -> Figure:
    ratio = seconds / first if depth else None
    control = "it with nothing queued" if depth else ""
    return Figure(
        f"{name}, {depth:,} queued", engine.name, seconds * 1000, "ms", ratio, control, None, "lower"
    )


async def _fill(ctx: Context, depth: int, wanted: int) -> None:
    for start in range(depth, wanted, PART):
        await ctx.store.run(write_jobs, start, min(start + PART, wanted), ctx.now_ms())
    await ctx.store.run(lambda conn: conn.execute(text("ANALYZE")).close())


def write_jobs(conn: Connection, start: int, end: int, now_ms: int) -> None:
    """Jobs `start` to `end` (not included), each as a submission leaves it."""
    if conn.dialect.name == "postgresql":
        # Else each row's foreign key is looked up by a plan made when the tables were empty: a scan.
        conn.execute(text("SET LOCAL session_replication_role = 'replica'"))
    numbers = (
        "WITH RECURSIVE n(i) AS"
        " (SELECT CAST(:start AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :end)"
    )
    owner = f"JOIN accounts a ON a.name = 'crowd-' || (n.i % {CROWD})"
    given = {"start": start, "end": end, "now": now_ms, "later": LATER_MS, "graph": json.dumps(BACKLOG_GRAPH)}
    jobs = (
        "jobs (id, account_id, lane, priority, state, price, base_price, hold, created_at_ms,"
        " queue_deadline_at_ms, expires_at_ms)"
    )
    job = "'backlog-' || n.i, a.id, 'image', 100, 'queued', 1, 1, 'placed', :now, :later, :later"
    entry = "'hold', a.id, 'available', 'held', 1, 'backlog-' || n.i, :now"
    told = "'backlog-' || n.i, a.id, 'image', 'job.queued', '{}', :now, :now"
    for into, what in (
        (jobs, f"{job} FROM n {owner} ORDER BY n.i"),
        ("job_graphs (job_id, graph)", "'backlog-' || n.i, :graph FROM n"),
        (
            "entries (kind, account_id, from_side, to_side, amount, job_id, created_at_ms)",
            f"{entry} FROM n {owner}",
        ),
        (
            "outbox (job_id, account_id, lane, kind, payload, created_at_ms, delivered_at_ms)",
            f"{told} FROM n {owner}",
        ),
    ):
        used = {name: value for name, value in given.items() if f":{name}" in numbers + what}
        conn.execute(text(f"INSERT INTO {into} {numbers} SELECT {what}"), used)
    held = text(
        "UPDATE accounts SET held = held + d.jobs, available = available - d.jobs FROM (SELECT account_id,"
        " count(*) AS jobs FROM jobs WHERE id LIKE 'backlog-%' AND ticket > (SELECT max(ticket) - :count FROM"
        " jobs) GROUP BY account_id) AS d WHERE d.account_id = accounts.id"
    )
    conn.execute(held, {"count": end - start})


def _disk_bytes(conn: Connection) -> int:
    if conn.dialect.name == "postgresql":
        return int(conn.execute(text("SELECT pg_database_size(current_database())")).scalar_one())
    pages = conn.execute(text("PRAGMA page_count")).scalar_one()
    return int(pages * conn.execute(text("PRAGMA page_size")).scalar_one())


async def _operations(ctx: Context, caller: str, times: int) -> dict[str, float]:
    """Median seconds of each, by a caller with few jobs of its own at the end of the line."""
    made: list[str] = []

    async def submitting() -> None:
        made.append((await submit(ctx, Submission(caller, plain_graph(), lane="image"))).job.id)

    await submitting()
    return {
        "claim and give back": await median_seconds(lambda: _claim(ctx, "image"), times),
        "submit": await median_seconds(submitting, times),
        "position": await median_seconds(lambda: views.get_job(ctx, made[-1], caller), times),
        "list": await median_seconds(
            lambda: views.list_jobs(ctx, caller, statuses=[], limit=20, cursor=None), times
        ),
        "cancel": await median_seconds(lambda: cancel(ctx, made.pop(), caller), times),
    }


async def _claim(ctx: Context, lane: str) -> None:
    """Claim the lane's first job, if it has one, and give it back."""
    attempt = await ctx.store.run(
        attempts.claim,
        Slot("bench", 0, (lane,)),
        owner=ctx.owner,
        prompt_id=ctx.new_id(),
        lease_ms=30_000,
        now_ms=ctx.now_ms(),
    )
    if attempt is not None:
        await ctx.store.run(
            settle.settle,
            attempt.fence,
            Lost("given back"),
            attempts_max=10**6,
            results_seconds=60,
            now_ms=ctx.now_ms(),
        )


async def _gateway_over(base: Path, size: Size) -> tuple[float, float]:
    """Memory in MB and p99 lag in seconds of a gateway over this database, whose one server is busy."""
    async with simulator(BUSY_SECONDS) as sim, running(base) as gate:
        await gate.add_server("one", sim.url)
        await gate.look()
        await asyncio.sleep(size.watch_seconds)
        found = gate.child.memory_mb(), float((await gate.look())["lag_p99"])
        with contextlib.suppress(CommandError):  # it keeps a server that has a job
            await gate.operate("servers.remove", name="one")
        return found
