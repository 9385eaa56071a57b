"""Measures a running gate: hears what happens, counts what the outbox tells, and looks around at a scrape.

Hot paths pay for a counter and no more. What needs the database (tiers, prices, waiting times, the depth of
queues) is read beside them, in batches and at most every few seconds, however often somebody scrapes.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import structlog

from comfygate.app.meters import Meters, Picture, ServerGauges
from comfygate.domain.errors import ServerTrouble
from comfygate.domain.health import ServerState
from comfygate.domain.job import PUBLIC_STATUS, TERMINAL, JobState
from comfygate.gate.context import Context
from comfygate.gate.happenings import Began, Claimed, Ended, Happening, Phase, Reached, Released, Submitted
from comfygate.store import accounts as accounts_store
from comfygate.store import metering
from comfygate.store.engine import P, R, Store, StoreFunction
from comfygate.store.metering import Census, JobFacts
from comfygate.store.rows import ClaimedAttempt, OutboxRow

CENSUS_SECONDS: Final = 5.0
"""How long what was read of the store for a scrape is shown again."""
CENSUS_PATIENCE_SECONDS: Final = 2.0
"""How long a scrape waits for the store; then it says that the store did not answer."""
COUNTED_MAX: Final = 20_000
"""Waiting jobs of a lane, and rows of the outbox, are counted up to here."""
ROWS_KEPT_MAX: Final = 20_000
"""Rows of the outbox that wait to be counted; of more, the oldest are missed."""
BATCH_MAX: Final = 500
COUNT_SECONDS: Final = 1.0
"""Between two batches of what the outbox told."""
LAG_SECONDS: Final = 0.5
"""Between two looks at how late a timer of the event loop is."""
_TERMINAL: Final = frozenset(f"job.{state}" for state in TERMINAL)

log = structlog.get_logger(__name__)


class MeteredStore:
    """A store whose intents are counted and timed, from being asked for to the answer."""

    def __init__(self, store: Store, meters: Meters) -> None:
        self._store, self._meters = store, meters

    @property
    def dialect(self) -> str:
        return self._store.dialect

    async def run(self, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See `Store`."""
        with self._timed("write"):
            return await self._store.run(fn, *args, **kwargs)

    async def read(self, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """See `Store`."""
        with self._timed("read"):
            return await self._store.read(fn, *args, **kwargs)

    async def close(self) -> None:
        """See `Store`."""
        await self._store.close()

    @contextlib.contextmanager
    def _timed(self, kind: str) -> Iterator[None]:
        began = asyncio.get_running_loop().time()
        try:
            yield
        except ServerTrouble:
            self._meters.store_failed.labels(kind).inc()
            raise
        finally:
            self._meters.store.labels(kind).observe(asyncio.get_running_loop().time() - began)


class Metrics:
    """Everything measured of one gate. `owns` says of a server whether this process gives it work."""

    def __init__(
        self,
        ctx: Context,
        meters: Meters,
        *,
        owns: Callable[[str], bool],
        dispatching: bool,
        folders: Mapping[str, Path],
    ) -> None:
        self._ctx, self.meters = ctx, meters
        self._owns, self._dispatching, self._folders = owns, dispatching, folders
        self._rows: deque[OutboxRow] = deque()
        self._phases: dict[str, tuple[Phase, float]] = {}
        self._began: dict[str, float] = {}
        self._free_since: dict[tuple[str, int], tuple[float, int]] = {}
        self._watched: Counter[str] = Counter()
        self._census: tuple[Census, frozenset[str]] | None = None
        self._census_at = float("-inf")
        self._taking: asyncio.Task[tuple[Census, frozenset[str]]] | None = None
        self._counting = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Measure for the length of the block."""
        listeners = self._ctx.happened.listeners
        listeners.append(self.heard)
        tasks = [asyncio.create_task(self._keep_counting()), asyncio.create_task(self._measure_lag())]
        try:
            yield
        finally:
            listeners.remove(self.heard)
            if self._taking is not None:
                tasks.append(self._taking)  # type: ignore[arg-type]  # a task of any result
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # What happens in this process.

    def heard(self, happening: Happening) -> None:
        """Count what happened to an attempt of this process."""
        match happening:
            case Claimed() | Submitted():
                return
            case Reached(attempt=attempt, phase=phase):
                self._reached(attempt, phase)
            case Began(attempt=attempt):
                self._began.setdefault(attempt.prompt_id, self._now())
            case Ended(attempt=attempt, outcome=outcome, blame=blame, counted=counted):
                lane = self.meters.lane(attempt.lane)
                if counted:
                    self.meters.attempts.labels(lane, outcome, blame).inc()
                else:
                    self.meters.late.labels(lane).inc()
            case Released(attempt=attempt):
                self._reached(attempt, None)
                self._began.pop(attempt.prompt_id, None)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _reached(self, attempt: ClaimedAttempt, phase: Phase | None) -> None:
        """The attempt leaves the phase it was in; None: it is driven no more."""
        now, key = self._now(), attempt.prompt_id
        slot = self._slot(attempt)
        before = self._phases.pop(key, None)
        if before is not None:
            lane = self.meters.lane(attempt.lane)
            self.meters.phase.labels(lane, before[0].value).observe(now - before[1])
        if phase is Phase.WATCH and not attempt.adopted:
            since = self._free_since.pop(slot, None)
            if not self._is_extra(attempt):
                self._close_gap(attempt, since, now)
        if before is not None and before[0] is Phase.WATCH:
            self._watched[attempt.server] -= 1
            self._free_since[slot] = (now, self._ctx.now_ms())
            began = self._began.pop(key, None)
            if began is not None and phase is Phase.COLLECT:
                self.meters.run.labels(self.meters.lane(attempt.lane)).observe(now - began)
        if phase is not None:
            self._phases[key] = (phase, now)
            self._watched[attempt.server] += phase is Phase.WATCH

    def _slot(self, attempt: ClaimedAttempt) -> tuple[str, int]:
        """Where a prompt may wait behind the running one, it runs in the other's slot."""
        status = self._ctx.fleet.status.get(attempt.server)
        return attempt.server, 0 if status is not None and status.ahead else attempt.slot

    def _is_extra(self, attempt: ClaimedAttempt) -> bool:
        """Whether the prompt waits behind others of ours: the server was not idle before it."""
        status = self._ctx.fleet.status.get(attempt.server)
        if status is None or not status.ahead:
            return False
        return self._watched[attempt.server] >= status.slots

    def _close_gap(self, attempt: ClaimedAttempt, since: tuple[float, int] | None, now: float) -> None:
        """A slot's prompt ended, and this one was taken. Only while work waited is it a gap."""
        if since is not None and attempt.submitted_at_ms <= since[1]:
            self.meters.gap.labels(attempt.server).observe(now - since[0])

    # What the outbox tells.

    async def told(self, row: OutboxRow) -> None:
        """Subscriber of the outbox: keeps the row until it is counted."""
        if len(self._rows) >= ROWS_KEPT_MAX:
            self._rows.popleft()
            self.meters.missed.inc()
        self._rows.append(row)

    async def _keep_counting(self) -> None:
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            try:
                await self.count()
            except Exception:
                # Measuring goes on, whatever one row was.
                log.exception("metrics.counting_broke")

    async def count(self) -> None:
        """Count what was told since; while the store is away that waits."""
        async with self._counting:
            while self._rows:
                batch = list(itertools.islice(self._rows, BATCH_MAX))
                try:
                    facts = await self._ctx.store.read(
                        metering.facts_of, sorted({row.job_id for row in batch})
                    )
                except ServerTrouble as error:
                    log.info("metrics.not_counted", rows=len(self._rows), error=error.message)
                    return
                for row in batch:
                    # Rows that were let go meanwhile are the oldest.
                    if self._rows and self._rows[0] is row:
                        self._rows.popleft()
                        self._count_row(row, facts.get(row.job_id))

    def _count_row(self, row: OutboxRow, job: JobFacts | None) -> None:
        if job is None:
            return
        meters = self.meters
        lane, tier = meters.lane(job.lane), meters.tier(job.tier)
        if row.kind == "job.queued" and not row.payload.get("again"):
            meters.submitted.labels(lane, tier).inc()
            meters.credits.labels("held").inc(job.price)
        elif row.kind == "job.claimed" and row.created_at_ms == job.claimed_at_ms:
            meters.wait.labels(lane, tier).observe(max(job.claimed_at_ms - job.submitted_at_ms, 0) / 1000)
        elif row.kind in _TERMINAL:
            state = JobState(row.kind.removeprefix("job."))
            meters.ended.labels(lane, PUBLIC_STATUS[state]).inc()
            meters.credits.labels("captured" if state is JobState.SUCCEEDED else "refunded").inc(job.price)

    async def _measure_lag(self) -> None:
        while True:
            due = self._now() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self.meters.lag.observe(max(self._now() - due, 0.0))

    # What is so now.

    async def scrape(self, accept: str) -> tuple[bytes, str]:
        """Everything for Prometheus, and its content type."""
        await self.count()
        await self._take_census()
        self.meters.show(await self._picture())
        return self.meters.written(accept)

    async def _take_census(self) -> None:
        """Read what waits, unless that was done lately. One reading at a time, whoever waits for it."""
        if self._now() - self._census_at < CENSUS_SECONDS:
            return
        taking = self._taking = self._taking or asyncio.create_task(self._read_store())
        await asyncio.wait({taking}, timeout=CENSUS_PATIENCE_SECONDS)
        if not taking.done():
            self._census = None
            return
        self._taking = None
        try:
            self._census, self._census_at = taking.result(), self._now()
        except ServerTrouble as error:
            self._census = None
            log.info("metrics.no_census", error=error.message)

    async def _read_store(self) -> tuple[Census, frozenset[str]]:
        store = self._ctx.store
        servers = await store.read(accounts_store.list_servers)
        drained = frozenset(server.name for server in servers if server.drained_at_ms is not None)
        return await store.read(metering.census, tuple(self._ctx.rules.lanes), COUNTED_MAX), drained

    async def _picture(self) -> Picture:
        ctx, now_ms = self._ctx, self._ctx.now_ms()
        census, drained = self._census or (None, frozenset())
        waiting = oldest = None
        if census is not None:
            # A lane in which nothing waits says so, under the priorities that its tiers have.
            waiting = {
                (lane, tier.priority_in(lane)): 0
                for lane in census.lanes
                for tier in ctx.rules.tiers.values()
            }
            waiting |= {
                (lane, at): n for lane, kept in census.lanes.items() for at, n in kept.waiting.items()
            }
            oldest = {lane: _age(kept.oldest_at_ms, now_ms) for lane, kept in census.lanes.items()}
        return Picture(
            servers={
                name: ServerGauges(
                    ServerState.DRAINING if name in drained else status.state,
                    status.slots,
                    status.running,
                    status.foreign,
                )
                for name, status in ctx.fleet.status.items()
                if self._owns(name)
            },
            streams=ctx.live.streams,
            free_bytes=await asyncio.to_thread(free_bytes, self._folders),
            lease_in_force=ctx.lease.in_force if self._dispatching else None,
            waiting=waiting,
            oldest_seconds=oldest,
            untold=census.untold if census else 0,
            untold_seconds=_age(census.untold_oldest_at_ms if census else None, now_ms),
        )


def free_bytes(folders: Mapping[str, Path]) -> dict[str, int]:
    """Free bytes of the disk each folder is on; a folder that cannot be looked at is left out."""
    found = {}
    for name, path in folders.items():
        with contextlib.suppress(OSError):
            found[name] = shutil.disk_usage(path).free
    return found


def _age(since_ms: int | None, now_ms: int) -> float:
    return 0.0 if since_ms is None else max(now_ms - since_ms, 0) / 1000
