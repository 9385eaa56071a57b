"""Ends what waited too long and throws away what nobody may read any more. Any replica may run it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from comfygate.gate.context import OUTBOX, Context, lane_bell
from comfygate.store import assets as assets_store
from comfygate.store import (
    etas,
    fit,
    idempotency,
    joining,
    reviews,
    run_times,
    screening,
    server_health,
    sessions,
)
from comfygate.store import jobs as jobs_store
from comfygate.store import outbox as outbox_store
from comfygate.store.engine import Connection
from comfygate.store.turns import forget_turns
from comfygate.store.unable import expire_unable, note_unable_lanes

INTERVAL_SECONDS = 5.0
BATCH_MAX = 500
"""Rows ended or dropped in one transaction."""
SWEEP_SECONDS = 3600.0
"""Between two looks for stored bytes that no row knows."""
ORPHAN_AGE_SECONDS = 3600
"""Bytes younger than this may belong to a row that is about to be written."""
OUTBOX_KEEP_SECONDS = 86_400
MISFITS_KEEP_SECONDS = 7 * 86_400
"""How long it is kept that a server cannot run a workflow, unless the server changes before."""
RUN_TIMES_KEEP_SECONDS = 90 * 86_400
"""How long it is remembered what a workflow usually takes, once it is no longer used."""
SCORES_KEEP_SECONDS = 90 * 86_400
"""How long it is remembered what bytes scored."""
CODES_KEEP_SECONDS = 7 * 86_400
"""How long it is remembered that a one-time code was used or ran out."""
CHANGES_KEEP_SECONDS = 90 * 86_400
"""How long it is remembered how a server came to stand as it does."""
ETAS_KEEP_SECONDS = 30 * 86_400
"""How long it is remembered what a job was told, and how far off that was."""

log = structlog.get_logger(__name__)


async def keep_house(ctx: Context) -> None:
    """Run until cancelled."""
    swept_at, turns_begun = -SWEEP_SECONDS, False
    loop = asyncio.get_running_loop()
    while True:
        try:
            if not turns_begun:
                # Settings are read at the start alone: after this no turn is left where there are none.
                if await ctx.store.run(forget_turns, ctx.rules.fair_lanes):
                    _order_changed(ctx)
                turns_begun = True
            await tidy_once(ctx)
            if loop.time() - swept_at >= SWEEP_SECONDS:
                swept_at = loop.time()
                await sweep_orphans(ctx)
        except Exception as error:  # noqa: BLE001 - the loop outlives a failed round
            log.error("janitor.round_failed", error=repr(error))
        await asyncio.sleep(INTERVAL_SECONDS)


async def tidy_once(ctx: Context) -> None:
    """Expire queued jobs with their refund, then drop expired assets, unreferenced bytes and old notes."""
    now_ms = ctx.now_ms()
    while expired := await ctx.store.run(jobs_store.expire_queued, now_ms, BATCH_MAX):
        log.info("jobs.expired", jobs=expired)
        ctx.bells.ring(OUTBOX)
        if expired < BATCH_MAX:
            break
    await _expire_unable(ctx, now_ms)
    if ctx.eyes is not None and (let_go := await ctx.store.run(reviews.expire_reviews, now_ms)):
        log.info("reviews.expired", jobs=let_go)
    while await ctx.store.run(assets_store.prune_expired, now_ms, BATCH_MAX) == BATCH_MAX:
        continue
    keys = await ctx.store.run(assets_store.drop_unreferenced_blobs, now_ms, BATCH_MAX)
    for key in keys:
        await ctx.blobs.delete(key)
    if keys:
        log.info("blobs.deleted", blobs=len(keys))
    if await ctx.store.run(_drop_notes, now_ms, ctx.rules.idempotency_seconds):
        _order_changed(ctx)


def _order_changed(ctx: Context) -> None:
    """Another job may be the first now: what is ready ahead is looked at again."""
    for lane in ctx.rules.lanes:
        ctx.bells.ring(lane_bell(lane))


async def _expire_unable(ctx: Context, now_ms: int) -> None:
    """Refund what waits in a lane that has had no server for too long."""
    unable = await ctx.store.run(note_unable_lanes, sorted(ctx.rules.lanes), now_ms)
    limit_ms = int(ctx.rules.unable_seconds_max * 1000)
    while unable and (expired := await ctx.store.run(expire_unable, limit_ms, now_ms, BATCH_MAX)):
        log.info("jobs.expired", jobs=expired, why="no server", lanes=sorted(unable))
        ctx.bells.ring(OUTBOX)
        if expired < BATCH_MAX:
            break


def _drop_notes(conn: Connection, now_ms: int, idempotency_seconds: int) -> bool:
    """Whether a workflow may go to servers again that it was kept off."""
    outbox_store.prune(conn, now_ms - OUTBOX_KEEP_SECONDS * 1000)
    idempotency.forget_keys(conn, now_ms - idempotency_seconds * 1000)
    fit.forget_old_pairs(conn, now_ms)
    fit.forget_overtaken(conn)
    again = fit.forget_old_misfits(conn, now_ms - MISFITS_KEEP_SECONDS * 1000)
    run_times.forget_runs(conn, now_ms - RUN_TIMES_KEEP_SECONDS * 1000)
    screening.forget_scores(conn, now_ms - SCORES_KEEP_SECONDS * 1000)
    joining.prune_codes(conn, now_ms - CODES_KEEP_SECONDS * 1000)
    sessions.prune(conn, now_ms)
    etas.forget_etas(conn, now_ms - ETAS_KEEP_SECONDS * 1000)
    server_health.forget_changes(conn, now_ms - CHANGES_KEEP_SECONDS * 1000)
    return again > 0


async def sweep_orphans(ctx: Context) -> int:
    """Delete bytes that a crash left without a row. Returns how many."""
    before = datetime.fromtimestamp(ctx.now_ms() / 1000, UTC) - timedelta(seconds=ORPHAN_AGE_SECONDS)
    dropped = await ctx.blobs.sweep_unfinished(before)
    for area in ("uploads", "results"):
        batch = [found.key async for found in ctx.blobs.keys(area) if found.modified_at < before]
        for start in range(0, len(batch), BATCH_MAX):
            part = batch[start : start + BATCH_MAX]
            known = await ctx.store.read(assets_store.known_keys, part)
            for key in part:
                if key not in known:
                    await ctx.blobs.delete(key)
                    dropped += 1
    if dropped:
        log.info("blobs.orphans_deleted", blobs=dropped)
    return dropped
