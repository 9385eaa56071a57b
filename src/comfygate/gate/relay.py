"""Drains the outbox: tells every subscriber what happened, at least once, in order for each job.

A row is marked delivered only after all durable subscribers took it. When one fails, the rows of that job
wait for the next round and the other jobs go on. Of several replicas the one with the lease `relay` does
this, and passes each status on to the others for those who watch there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from comfygate.domain.job import PUBLIC_STATUS, TERMINAL, JobState
from comfygate.gate.context import COUNTING, OUTBOX, Context, heard, lane_bell
from comfygate.gate.live import StatusEvent
from comfygate.store import buckets as buckets_store
from comfygate.store import leases as leases_store
from comfygate.store import outbox as outbox_store
from comfygate.store import telegram_orders
from comfygate.store.engine import Connection
from comfygate.store.rows import OutboxRow

BATCH_MAX = 200
"""Rows read and marked together."""
POLL_SECONDS = 1.0
"""The safety net behind the bell; also the wait after a subscriber failed."""
LINGER_SECONDS = 0.02
"""After something was told, so long until the next is."""
POSITIONS_TOPIC = "positions"
_ENDS = frozenset(f"job.{state}" for state in TERMINAL)

LEASE = "relay"
RENEWALS_A_LEASE = 3

Subscriber = Callable[[OutboxRow], Awaitable[None]]
Told = Callable[[str, str, StatusEvent, str], None]
"""Job, lane, status and account."""

log = structlog.get_logger(__name__)


async def relay(ctx: Context, subscribers: list[Subscriber], told: Told | None = None) -> None:
    """Run until cancelled. `subscribers` may grow and shrink meanwhile; `told` hears every status besides."""
    bell = ctx.bells.hang(frozenset({OUTBOX}))
    turn = Turn(ctx)
    try:
        while True:
            bell.clear()
            try:
                if await turn.is_ours() and await drain(ctx, subscribers, told):
                    # What comes meanwhile is told and marked together: a mark is a commit, and competes with
                    # those that a server waits for.
                    await asyncio.sleep(LINGER_SECONDS)
            except Exception as error:  # noqa: BLE001 - the loop outlives a failed round
                log.error("relay.round_failed", error=repr(error))
            await heard(bell, POLL_SECONDS)
    finally:
        ctx.bells.remove(bell)


class Turn:
    """Whether it is this replica's turn to relay: by a lease, which is renewed while it is."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._ours_until = float("-inf")

    async def is_ours(self) -> bool:
        """Take or renew the lease when it is time for that. Raises StoreTrouble."""
        ctx = self._ctx
        if ctx.listen_url is None:
            return True
        now = asyncio.get_running_loop().time()
        if now < self._ours_until:
            return True
        if await ctx.store.run(leases_store.take, LEASE, ctx.owner, ctx.lease_ms, ctx.now_ms()):
            self._ours_until = now + ctx.rules.lease_seconds / RENEWALS_A_LEASE
            return True
        return False


async def drain(ctx: Context, subscribers: list[Subscriber], told: Told | None = None) -> int:
    """Tell everything that waits, batch by batch. Returns how many rows were delivered.

    Jobs that a subscriber refuses are read past, however many they are: they must not hold up the others.
    """
    stuck: set[str] = set()
    count = 0
    while True:
        rows = await ctx.store.read(outbox_store.waiting, BATCH_MAX, stuck)
        delivered = [row.id for row in rows if await _told(ctx, subscribers, row, stuck, told)]
        if delivered:
            told_now = [row for row in rows if row.id in set(delivered)]
            jobs = sorted({row.job_id for row in told_now})
            ended = {row.id: row.job_id for row in told_now if row.kind in _ENDS}
            await ctx.store.run(_hand_on, delivered, jobs, ended, ctx.now_ms())
            if ended:
                ctx.bells.ring(COUNTING)
        count += len(delivered)
        if len(rows) < BATCH_MAX:
            return count


def _hand_on(
    conn: Connection, ids: list[int], job_ids: list[str], ended: dict[int, str], now_ms: int
) -> None:
    """Mark rows delivered, and in the same transaction the jobs that chats are told about as due, and those
    that ended as to be counted: once, whoever else told the same rows."""
    marked = outbox_store.mark_delivered(conn, ids, now_ms)
    telegram_orders.mark_due(conn, job_ids)
    ends = [job_id for row_id, job_id in ended.items() if row_id in marked]
    buckets_store.to_be_counted(conn, buckets_store.JOB, ends)


async def _told(
    ctx: Context, subscribers: list[Subscriber], row: OutboxRow, stuck: set[str], told: Told | None
) -> bool:
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
    state = JobState(row.kind.removeprefix("job."))
    position = 0 if state is JobState.CLAIMED else None
    event = StatusEvent(PUBLIC_STATUS[state], position, again=bool(row.payload.get("again")))
    tell_watchers(ctx, row.job_id, row.lane, event, row.account_id)
    if told is not None:
        told(row.job_id, row.lane, event, row.account_id)
    return True


def tell_watchers(ctx: Context, job_id: str, lane: str, event: StatusEvent, account_id: str) -> None:
    """Pass a status on to whoever watches the job or its account here, and note that places in its lane
    moved."""
    ctx.live.stir(account_id, job_id)
    said = {"job_id": job_id, "account_id": account_id, "lane": lane, "place": event.position}
    ctx.feed.note(ctx.now_ms(), f"job.{event.status}", **said)
    if event.ends:
        ctx.secrets_of_jobs.pop(job_id, None)
    waits = event.status == "queued" and event.position is None
    # A queued job's place is told by the loop that knows it, unless it came back.
    if not waits or event.again:
        ctx.live.publish(job_id, event)
    if event.status in {"queued", "canceled", "expired"}:
        ctx.bells.ring(f"{POSITIONS_TOPIC}:{lane}")
    if waits:
        # Every replica hears of the status itself.
        ctx.bells.ring(lane_bell(lane), from_outside=True)
