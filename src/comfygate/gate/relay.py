"""Drains the outbox: tells every subscriber what happened, at least once, in order for each job.

A row is marked delivered only after all durable subscribers took it. When one fails, the rows of that job
wait for the next round and the other jobs go on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from comfygate.domain.job import PUBLIC_STATUS, JobState
from comfygate.gate.context import OUTBOX, Context, heard, lane_bell
from comfygate.gate.live import StatusEvent
from comfygate.store import outbox as outbox_store
from comfygate.store.rows import OutboxRow

BATCH_MAX = 200
"""Rows read and marked together."""
POLL_SECONDS = 1.0
"""The safety net behind the bell; also the wait after a subscriber failed."""
POSITIONS_TOPIC = "positions"

Subscriber = Callable[[OutboxRow], Awaitable[None]]

log = structlog.get_logger(__name__)


async def relay(ctx: Context, subscribers: list[Subscriber]) -> None:
    """Run until cancelled. `subscribers` may grow and shrink meanwhile."""
    bell = ctx.bells.hang(frozenset({OUTBOX}))
    try:
        while True:
            bell.clear()
            try:
                await drain(ctx, subscribers)
            except Exception as error:  # noqa: BLE001 - the loop outlives a failed round
                log.error("relay.round_failed", error=repr(error))
            await heard(bell, POLL_SECONDS)
    finally:
        ctx.bells.remove(bell)


async def drain(ctx: Context, subscribers: list[Subscriber]) -> int:
    """Tell everything that waits, batch by batch. Returns how many rows were delivered.

    Jobs that a subscriber refuses are read past, however many they are: they must not hold up the others.
    """
    stuck: set[str] = set()
    told = 0
    while True:
        rows = await ctx.store.read(outbox_store.waiting, BATCH_MAX, stuck)
        delivered = [row.id for row in rows if await _told(ctx, subscribers, row, stuck)]
        if delivered:
            await ctx.store.run(outbox_store.mark_delivered, delivered, ctx.now_ms())
        told += len(delivered)
        if len(rows) < BATCH_MAX:
            return told


async def _told(ctx: Context, subscribers: list[Subscriber], row: OutboxRow, stuck: set[str]) -> bool:
    """Tell one row, unless an earlier one of its job was refused; a refusal makes the job wait."""
    if row.job_id in stuck:
        return False
    try:
        for subscriber in list(subscribers):
            await subscriber(row)
    except Exception as error:  # noqa: BLE001 - whatever a subscriber raises, the others are told
        log.error("relay.subscriber_failed", job=row.job_id, kind=row.kind, error=repr(error))
        stuck.add(row.job_id)
        return False
    _tell_watchers(ctx, row)
    return True


def _tell_watchers(ctx: Context, row: OutboxRow) -> None:
    """Pass a status on to whoever watches the job here, and note that places in its lane moved."""
    state = JobState(row.kind.removeprefix("job."))
    position = 0 if state is JobState.CLAIMED else None
    event = StatusEvent(PUBLIC_STATUS[state], position)
    if event.ends:
        ctx.secrets_of_jobs.pop(row.job_id, None)
    # A queued job's place is told by the loop that knows it, unless it came back.
    event = replace(event, again=bool(row.payload.get("again")))
    if state is not JobState.QUEUED or event.again:
        ctx.live.publish(row.job_id, event)
    if state in {JobState.QUEUED, JobState.CLAIMED, JobState.CANCELED, JobState.EXPIRED}:
        ctx.bells.ring(f"{POSITIONS_TOPIC}:{row.lane}")
    if state is JobState.QUEUED:
        ctx.bells.ring(lane_bell(row.lane))
