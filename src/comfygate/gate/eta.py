"""When a job will begin and end, from the store and what is known of the servers; and telling it, once a job.

What a job was told soon after its submission is kept, and judged when it succeeds (`store/settle.py`), so
that the estimates know their own error and correct themselves by it. Telling is off the path of submissions:
a loop does it, at most ROUND_MAX jobs a round, in any replica.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import structlog

from comfygate.domain.errors import StoreTrouble
from comfygate.domain.eta import Estimate, Quantiles, Scene, Taken, Waiting, estimate, estimate_running
from comfygate.domain.eta_error import corrected, score
from comfygate.domain.health import ServerState
from comfygate.domain.job import JobState
from comfygate.domain.run_times import Kind, RunTimes
from comfygate.gate.context import Context, heard, lane_bell
from comfygate.gate.fleet_control import look_at_servers
from comfygate.store import attempts as attempts_store
from comfygate.store import etas, run_times
from comfygate.store import jobs as jobs_store
from comfygate.store import lanes as lanes_store
from comfygate.store.engine import Connection
from comfygate.store.etas import InFlight, InLine, Told
from comfygate.store.rows import JobRow

ROUND_MAX = 4
"""Jobs told in one round; each costs a few milliseconds of a thread beside the event loop."""
ROUND_SECONDS = 1.0
"""Least time between two rounds."""
REST = 50
"""It rests for so many times as long as a round took: a busy machine has better to do."""
POLL_SECONDS = 10.0
"""The safety net, where no bell of a submission rings."""
READ_MAX = 200
"""Jobs of a lane, from its front, that are looked at one by one; of those behind only the number counts."""
AHEAD_MAX = 20_000
"""With as many ahead in one lane no estimate is made."""
WATCHED_MS_MAX = 30 * 60_000
"""How far back arrivals count for what may still overtake."""

_HAVE_ONE = frozenset({JobState.QUEUED, JobState.CLAIMED, JobState.RUNNING})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Eta:
    """What is said of a job, in ms from now: to its start (None: it has begun) and to its end."""

    starts: Quantiles | None
    ends: Quantiles
    model: Quantiles
    """Of its end, before the correction."""

    def to_json(self) -> dict[str, float | None]:
        """In seconds, to the tenth."""
        return {
            "p50_seconds": _seconds(self.ends.p50_ms),
            "p90_seconds": _seconds(self.ends.p90_ms),
            "starts_p50_seconds": _seconds(self.starts.p50_ms) if self.starts else None,
            "starts_p90_seconds": _seconds(self.starts.p90_ms) if self.starts else None,
        }

    def sentence(self) -> str:
        """For the operator."""
        begins = f"begins in about {_span(self.starts.p50_ms)} and " if self.starts else ""
        about, surely = _span(self.ends.p50_ms), _span(self.ends.p90_ms)
        return f"it probably {begins}ends in about {about}; nine of ten such jobs end within {surely}"


async def eta_of(ctx: Context, job_id: str, account_id: str | None) -> Eta | None:
    """The job's estimate as of now; None when there is none: it has ended, is being canceled, its lane is
    paused, or no server that is up may run it. Raises NotFound as `views.get_job` does."""
    return await ctx.store.read(_eta_of, ctx, job_id, account_id)


def _eta_of(conn: Connection, ctx: Context, job_id: str, account_id: str | None) -> Eta | None:
    job = jobs_store.get_job(conn, job_id, account_id)
    if job.state not in _HAVE_ONE:
        return None
    return _Look(conn, ctx, [job]).eta(job)


def etas_of(conn: Connection, ctx: Context, jobs: Sequence[JobRow]) -> dict[str, Eta]:
    """The estimates of several jobs by id; those that have none are left out, as in `eta_of`."""
    open_now = [job for job in jobs if job.state in _HAVE_ONE]
    if not open_now:
        return {}
    look = _Look(conn, ctx, open_now)
    found = {job.id: look.eta(job) for job in open_now}
    return {job_id: eta for job_id, eta in found.items() if eta is not None}


async def tell_as_they_come(ctx: Context) -> None:
    """Run until cancelled."""
    loop = asyncio.get_running_loop()
    bell = ctx.bells.hang(frozenset(lane_bell(lane) for lane in ctx.rules.lanes))
    try:
        while True:
            bell.clear()
            began = loop.time()
            try:
                more = await tell_once(ctx) == ROUND_MAX
            except StoreTrouble as error:
                more = False
                log.warning("eta.not_told", error=error.message)
            await asyncio.sleep(max(ROUND_SECONDS, REST * (loop.time() - began)))
            if not more:
                await heard(bell, POLL_SECONDS)
    finally:
        ctx.bells.remove(bell)


async def tell_once(ctx: Context) -> int:
    """Tell the newest jobs that were told nothing yet, up to ROUND_MAX of them. Returns how many were."""
    told = await ctx.store.read(etas_due, ctx)
    if told:
        await ctx.store.run(etas.tell_etas, told)
    return len(told)


def etas_due(conn: Connection, ctx: Context) -> list[Told]:
    """What to tell whom."""
    jobs = etas.untold(conn, ROUND_MAX)
    if not jobs:
        return []
    look, now_ms = _Look(conn, ctx, jobs), ctx.now_ms()
    found = ((job, look.eta(job)) for job in jobs)
    return [
        Told(job.id, job.lane, job.priority, now_ms, eta.model, eta.ends)
        for job, eta in found
        if eta is not None
    ]


class _Look:
    """What estimates are made of, read once in one snapshot, for some jobs."""

    def __init__(self, conn: Connection, ctx: Context, jobs: Iterable[JobRow]) -> None:
        self._conn = conn
        self._ctx = ctx
        self._now_ms = ctx.now_ms()
        self._wanted = {job.workflow for job in jobs}
        taking = {ServerState.UP.value, ServerState.SUSPECT.value}
        views = [view for view in look_at_servers(conn, ctx) if view.state in taking]
        self._slots = {view.row.name: view.row.slots for view in views}
        self._lanes = {view.row.name: frozenset(view.row.lanes) for view in views}
        self._paused = {
            lane.name for lane in lanes_store.list_lanes(conn).values() if lane.paused_at_ms is not None
        }
        ahead = {view.row.name for view in views if view.row.ahead}
        self._flying, self._behind = self._sorted(etas.in_flight(conn), ahead)
        self._came = etas.came_lately(conn)
        self._apart = etas.pairs_apart(conn, self._now_ms)
        self._lines: dict[str, list[InLine]] = {}
        self._times: dict[tuple[tuple[str, ...], frozenset[str]], RunTimes] = {}
        self._scores: dict[tuple[str, int], list[float]] = {}

    def eta(self, job: JobRow) -> Eta | None:
        """The estimate of one of the jobs."""
        # The same job in the same state is told the same, however often it is asked.
        rng = Random(f"{job.id}/{job.attempt}")  # noqa: S311 - no secret
        found = self._running(job, rng) if job.state is not JobState.QUEUED else self._queued(job, rng)
        if found is None:
            return None
        scores = self._scores_of(job.lane, job.priority)
        ends = corrected(found.ends, scores)
        by = ends.p50_ms / max(found.ends.p50_ms, 1.0), ends.p90_ms / max(found.ends.p90_ms, 1.0)
        starts = found.starts
        if starts is not None:
            p50_ms = min(starts.p50_ms * by[0], ends.p50_ms)
            starts = Quantiles(p50_ms, max(p50_ms, min(starts.p90_ms * by[1], ends.p90_ms)))
        return Eta(starts, ends, found.ends)

    def _running(self, job: JobRow, rng: Random) -> Estimate | None:
        for one in self._behind:
            if one.job_id == job.id:
                scene = Scene(self._slots, self._taken(), (), Waiting(one.kind, frozenset({one.server})))
                return estimate(scene, self._run_times([job.lane]), rng)
        for one in self._flying:
            if one.job_id == job.id:
                return estimate_running(self._as_taken(one), self._run_times([job.lane]), rng)
        return None

    def _sorted(self, open_now: list[InFlight], ahead: set[str]) -> tuple[list[InFlight], list[InFlight]]:
        """What keeps slots busy, and what waits for one on these servers, which take a prompt ahead."""
        begun = Counter(one.server for one in open_now if one.started_at_ms is not None)
        behind = [
            one
            for one in open_now
            if one.server in ahead
            and one.started_at_ms is None
            and begun[one.server] >= self._slots[one.server]
        ]
        flying = [
            replace(one, claimed_at_ms=one.started_at_ms or one.claimed_at_ms) if one.server in ahead else one
            for one in open_now
            if one not in behind
        ]
        return flying, behind

    def _as_taken(self, one: InFlight) -> Taken:
        return Taken(one.server, one.kind, max(self._now_ms - one.claimed_at_ms, 0))

    def _taken(self) -> list[Taken]:
        return [self._as_taken(one) for one in self._flying]

    def _queued(self, job: JobRow, rng: Random) -> Estimate | None:
        if job.lane in self._paused:
            return None
        tries = attempts_store.list_attempts(self._conn, job.id) if job.attempt else []
        able = self._able(etas.kind_of(job)) - {one.server for one in tries if one.elsewhere}
        if not able:
            return None
        lanes = self._together(job.lane)
        place = (job.priority, job.share, job.ticket)
        ahead: list[InLine] = []
        unread = 0
        for lane in lanes:
            line = self._line(lane)
            before = [one for one in line if one.place < place]
            ahead += before
            if len(line) == READ_MAX and len(before) == READ_MAX:
                count = etas.count_before(self._conn, lane, place, AHEAD_MAX)
                if count == AHEAD_MAX:
                    return None
                unread += count - len(before)
        ahead.sort(key=lambda one: one.place)
        since = max(min((one.created_at_ms for one in self._came), default=0), self._now_ms - WATCHED_MS_MAX)
        scene = Scene(
            slots=self._slots,
            taken=self._taken(),
            # What waits on a server goes before all that is in line, and nowhere else.
            ahead=[
                *(Waiting(one.kind, frozenset({one.server})) for one in self._behind),
                *(self._waiting(one.kind) for one in ahead),
            ],
            job=Waiting(etas.kind_of(job), able),
            unread=unread,
            overtaking=[
                self._waiting(one.kind)
                for one in self._came
                if one.priority < job.priority and one.kind.lane in lanes and one.created_at_ms >= since
            ],
            watched_ms=self._now_ms - since,
        )
        return estimate(scene, self._run_times(lanes), rng)

    def _able(self, kind: Kind) -> frozenset[str]:
        """The servers that are up and may run it."""
        return frozenset(
            name
            for name, lanes in self._lanes.items()
            if kind.lane in lanes and (kind.workflow, name) not in self._apart
        )

    def _waiting(self, kind: Kind) -> Waiting:
        return Waiting(kind, self._able(kind))

    def _together(self, lane: str) -> list[str]:
        """The lanes that share servers with this one, directly or by way of others, unless paused."""
        found = {lane}
        while more := {other for lanes in self._lanes.values() if lanes & found for other in lanes} - found:
            found |= more
        return sorted(found - self._paused)

    def _line(self, lane: str) -> list[InLine]:
        if lane not in self._lines:
            self._lines[lane] = etas.line_of(self._conn, lane, READ_MAX)
        return self._lines[lane]

    def _run_times(self, lanes: list[str]) -> RunTimes:
        """What was measured in these lanes, and in those whose jobs keep the slots busy."""
        busy = {one.kind.lane for one in (*self._flying, *self._behind)}
        wanted = sorted({*lanes, *busy})
        # A line that was looked at since has workflows of its own.
        key = (tuple(wanted), frozenset(self._lines))
        if key not in self._times:
            kinds = {one.kind for line in (self._came, *self._lines.values()) for one in line}
            kinds |= {one.kind for one in (*self._flying, *self._behind)}
            workflows = self._wanted | {kind.workflow for kind in kinds}
            found: dict[tuple[Kind, str], list[int]] = {}
            for lane in wanted:
                found |= run_times.measured(self._conn, lane, workflows)
            self._times[key] = RunTimes(found)
        return self._times[key]

    def _scores_of(self, lane: str, priority: int) -> list[float]:
        if (lane, priority) not in self._scores:
            judged = etas.models_judged(self._conn, lane, priority)
            self._scores[lane, priority] = [score(model, took_ms) for model, took_ms in judged]
        return self._scores[lane, priority]


def _seconds(ms: float) -> float:
    return round(ms / 1000, 1)


def _span(ms: float) -> str:
    """A length of time for people."""
    seconds = ms / 1000
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def eta_json(eta: Eta | None) -> dict[str, Any] | None:
    """As faces show it."""
    return None if eta is None else eta.to_json()
