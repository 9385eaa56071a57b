"""What an estimate is made of and what became of it: the lines, what runs, what was told, how far off it was.

Every look is bounded, whatever waits. Telling writes no row of `jobs`: see `store/eta_tables.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Connection,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError

from comfygate.domain.eta import Quantiles
from comfygate.domain.eta_error import SCORES_KEPT, Judged
from comfygate.domain.run_times import Kind
from comfygate.store.eta_tables import etas
from comfygate.store.jobs import job_row
from comfygate.store.prepared import Prepared
from comfygate.store.rows import JobRow
from comfygate.store.tables import IS_QUEUED, attempts, jobs, misfits, pair_quarantines

RECENT_TICKETS = 500
"""The newest tickets: among these a job is told its estimate, and what may overtake is counted."""
REPORT_JOBS_MAX = 2000
"""Newest judged jobs of a lane that a report is about."""


_JUDGED = Prepared(
    update(etas)
    .where(etas.c.job_id == bindparam("of_job"), etas.c.ended_at_ms.is_(None))
    .values(took_ms=bindparam("now_ms", type_=BigInteger) - etas.c.at_ms, ended_at_ms=bindparam("now_ms"))
)


@dataclass(frozen=True, slots=True)
class InLine:
    """A queued job, or one that came lately, as far as an estimate needs it."""

    id: str
    kind: Kind
    priority: int
    share: int
    ticket: int
    created_at_ms: int

    @property
    def place(self) -> tuple[int, int, int]:
        return self.priority, self.share, self.ticket


@dataclass(frozen=True, slots=True)
class InFlight:
    """An open attempt's job, and the slot that it keeps busy."""

    job_id: str
    kind: Kind
    server: str
    claimed_at_ms: int
    started_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a job is told: its model's estimate and the corrected one, from `at_ms` on."""

    job_id: str
    lane: str
    priority: int
    at_ms: int
    model: Quantiles
    told: Quantiles


def kind_of(job: JobRow) -> Kind:
    """What is known beforehand of how long it runs."""
    return Kind(job.lane, job.workflow, job.shape)


_IN_LINE = (
    jobs.c.id, jobs.c.lane, jobs.c.workflow, jobs.c.shape, jobs.c.priority, jobs.c.share,
    jobs.c.ticket, jobs.c.created_at_ms,
)  # fmt: skip


def _in_line(row) -> InLine:  # type: ignore[no-untyped-def]  # a row of any select
    kind = Kind(row.lane, row.workflow, row.shape)
    return InLine(row.id, kind, row.priority, row.share, row.ticket, row.created_at_ms)


def line_of(conn: Connection, lane: str, limit: int) -> list[InLine]:
    """The first `limit` queued jobs of the lane, in order."""
    query = (
        select(*_IN_LINE)
        .where(jobs.c.lane == lane, IS_QUEUED)
        .order_by(jobs.c.priority, jobs.c.share, jobs.c.ticket)
        .limit(limit)
    )
    return [_in_line(row) for row in conn.execute(query)]


def count_before(conn: Connection, lane: str, place: tuple[int, int, int], cap: int) -> int:
    """How many queued jobs of the lane go before this place, counted up to `cap`."""
    before = (
        select(literal(1))
        .where(
            IS_QUEUED,
            jobs.c.lane == lane,
            tuple_(jobs.c.priority, jobs.c.share, jobs.c.ticket) < tuple_(*map(literal, place)),
        )
        .limit(cap)
    )
    return conn.execute(select(func.count()).select_from(before.subquery())).scalar_one()


def came_lately(conn: Connection) -> list[InLine]:
    """The jobs of the newest tickets, in whatever state, newest first."""
    query = select(*_IN_LINE).order_by(jobs.c.ticket.desc()).limit(RECENT_TICKETS)
    return [_in_line(row) for row in conn.execute(query)]


def in_flight(conn: Connection) -> list[InFlight]:
    """What keeps slots busy, on every server."""
    query = (
        select(
            jobs.c.id,
            jobs.c.lane,
            jobs.c.workflow,
            jobs.c.shape,
            attempts.c.server,
            attempts.c.claimed_at_ms,
            attempts.c.started_at_ms,
        )
        .join(attempts, attempts.c.job_id == jobs.c.id)
        .where(attempts.c.ended_at_ms.is_(None))
        .order_by(attempts.c.server, attempts.c.slot)
    )
    return [
        InFlight(
            row.id, Kind(row.lane, row.workflow, row.shape), row.server, row.claimed_at_ms, row.started_at_ms
        )
        for row in conn.execute(query)
    ]


def pairs_apart(conn: Connection, now_ms: int) -> frozenset[tuple[str, str]]:
    """Every workflow and server that are kept from each other now, or do not fit."""
    unfit = conn.execute(select(misfits.c.workflow, misfits.c.server))
    query = select(pair_quarantines.c.workflow, pair_quarantines.c.server).where(
        pair_quarantines.c.until_at_ms > now_ms
    )
    return frozenset((row.workflow, row.server) for row in (*unfit, *conn.execute(query)))


def untold(conn: Connection, limit: int) -> list[JobRow]:
    """Open jobs among the newest tickets that were not told an estimate yet, newest first."""
    newest = select(func.coalesce(func.max(jobs.c.ticket), 0)).scalar_subquery()
    query = (
        select(jobs)
        .outerjoin(etas, etas.c.job_id == jobs.c.id)
        .where(
            jobs.c.ticket > newest - RECENT_TICKETS,
            jobs.c.state.in_(["queued", "claimed", "running"]),
            etas.c.job_id.is_(None),
        )
        .order_by(jobs.c.ticket.desc())
        .limit(limit)
    )
    return [job_row(row) for row in conn.execute(query)]


def tell_etas(conn: Connection, told: Iterable[Told]) -> int:
    """Write down what jobs are told, once each: what another replica told meanwhile stays. How many were
    written."""
    written = 0
    for one in sorted(told, key=lambda each: each.job_id):
        try:
            with conn.begin_nested():
                conn.execute(
                    insert(etas).values(
                        job_id=one.job_id,
                        lane=one.lane,
                        priority=one.priority,
                        at_ms=one.at_ms,
                        p50_ms=round(one.told.p50_ms),
                        p90_ms=round(one.told.p90_ms),
                        model_p50_ms=round(one.model.p50_ms),
                        model_p90_ms=round(one.model.p90_ms),
                    )
                )
        except IntegrityError:
            # Told already: the first word counts.
            continue
        written += 1
    return written


def judge(conn: Connection, job_id: str, now_ms: int) -> None:
    """The job succeeded now: what it took is written beside what it was told, if it was."""
    _JUDGED.count(conn, {"of_job": job_id, "now_ms": now_ms})


def models_judged(conn: Connection, lane: str, priority: int) -> list[tuple[Quantiles, int]]:
    """Of the newest judged jobs of the lane and priority: the model's estimate and what it took, in ms, in
    the order of their ends."""
    query = (
        select(etas.c.model_p50_ms, etas.c.model_p90_ms, etas.c.took_ms)
        .where(etas.c.lane == lane, etas.c.priority == priority, etas.c.ended_at_ms.is_not(None))
        .order_by(etas.c.ended_at_ms.desc())
        .limit(SCORES_KEPT)
    )
    rows = list(conn.execute(query))
    return [(Quantiles(row.model_p50_ms, row.model_p90_ms), row.took_ms) for row in reversed(rows)]


def judged(conn: Connection, lane: str) -> dict[int, list[Judged]]:
    """The newest judged jobs of a lane by priority, at most REPORT_JOBS_MAX of each."""
    found: dict[int, list[Judged]] = {}
    of_lane = (etas.c.lane == lane) & etas.c.ended_at_ms.is_not(None)
    # From one priority to the next by the index: that all are counted through would cost the whole table.
    nearest = select(func.min(etas.c.priority)).where(of_lane)
    priority: int | None = conn.execute(nearest).scalar()
    while priority is not None:
        newest = (
            select(etas.c.p50_ms, etas.c.p90_ms, etas.c.took_ms)
            .where(of_lane, etas.c.priority == priority)
            .order_by(etas.c.ended_at_ms.desc())
            .limit(REPORT_JOBS_MAX)
        )
        found[priority] = [Judged(row.p50_ms, row.p90_ms, row.took_ms) for row in conn.execute(newest)]
        priority = conn.execute(nearest.where(etas.c.priority > priority)).scalar()
    return found


def lanes_judged(conn: Connection) -> list[str]:
    """Lanes in which a job was judged, by name."""
    nearest = select(func.min(etas.c.lane)).where(etas.c.ended_at_ms.is_not(None))
    lanes: list[str] = []
    while lane := conn.execute(nearest.where(etas.c.lane > lanes[-1]) if lanes else nearest).scalar():
        lanes.append(lane)
    return lanes


def forget_etas(conn: Connection, before_ms: int) -> int:
    """Drop what was told before then. Returns how many."""
    return conn.execute(delete(etas).where(etas.c.at_ms < before_ms)).rowcount
