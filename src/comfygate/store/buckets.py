"""Aggregates by time: what is to be counted, counted once, and read back (ADR 22)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from comfygate.domain.buckets import KEPT_MS, Grain, Key, Measure
from comfygate.store.eta_tables import etas
from comfygate.store.ops_tables import buckets, uncounted
from comfygate.store.tables import OPEN_ATTEMPT, accounts, attempts, entries, jobs

JOB = "job"
ENTRY = "entry"
_KEY = ("grain", "measure", "at_ms", "series", "part", "bin")


@dataclass(frozen=True, slots=True)
class Cell:
    """A bucket's sums."""

    at_ms: int
    series: str
    part: str
    bin: int
    times: int
    total: int


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt of a job that ended, and from when until when it kept its server busy."""

    job_id: str
    server: str
    claimed_at_ms: int
    from_at_ms: int
    until_at_ms: int
    outcome: str
    blame: str | None


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that ended, with what it was told. `told_ms` and `took_ms` count from when it was told."""

    id: str
    lane: str
    tier: str
    state: str
    price: int
    created_at_ms: int
    completed_at_ms: int
    told_p50_ms: int | None
    told_p90_ms: int | None
    took_ms: int | None


@dataclass(frozen=True, slots=True)
class Moved:
    """An entry of no job."""

    id: int
    kind: str
    amount: int
    at_ms: int


def to_be_counted(conn: Connection, what: str, ids: Collection[str]) -> None:
    """Note what is to be counted, in the transaction in which it happened or was told. Twice is once."""
    if not ids:
        return
    make = sqlite_insert if conn.dialect.name == "sqlite" else postgresql_insert
    statement = make(uncounted).on_conflict_do_nothing(index_elements=["what", "id"])
    conn.execute(statement, [{"what": what, "id": one} for one in sorted(ids)])


def waiting_to_be_counted(conn: Connection, limit: int) -> list[tuple[str, str]]:
    """Some of what is to be counted."""
    query = select(uncounted.c.what, uncounted.c.id).limit(limit)
    return [(row.what, row.id) for row in conn.execute(query)]


def ended_jobs(conn: Connection, ids: Collection[str]) -> list[EndedJob]:
    """Those of these jobs that ended. What is read here never changes again, but for the account's tier."""
    query = (
        select(
            jobs.c.id,
            jobs.c.lane,
            accounts.c.tier,
            jobs.c.state,
            jobs.c.price,
            jobs.c.created_at_ms,
            jobs.c.completed_at_ms,
            etas.c.p50_ms.label("told_p50_ms"),
            etas.c.p90_ms.label("told_p90_ms"),
            etas.c.took_ms,
        )
        .join(accounts, accounts.c.id == jobs.c.account_id)
        .outerjoin(etas, etas.c.job_id == jobs.c.id)
        .where(jobs.c.id.in_(ids), jobs.c.completed_at_ms.is_not(None))
    )
    names = EndedJob.__slots__
    return [EndedJob(**{name: getattr(row, name) for name in names}) for row in conn.execute(query)]


def ended_attempts(conn: Connection, job_ids: Collection[str]) -> list[EndedAttempt]:
    """The attempts of these jobs that ended, in order."""
    query = (
        select(attempts)
        .where(attempts.c.job_id.in_(job_ids), attempts.c.ended_at_ms.is_not(None))
        .order_by(attempts.c.job_id, attempts.c.number)
    )
    return [
        EndedAttempt(
            row.job_id,
            row.server,
            row.claimed_at_ms,
            row.started_at_ms or row.claimed_at_ms,
            row.left_at_ms or row.ended_at_ms,
            row.outcome,
            row.blame,
        )
        for row in conn.execute(query)
    ]


def moved(conn: Connection, ids: Collection[int]) -> list[Moved]:
    """These entries."""
    query = select(entries.c.id, entries.c.kind, entries.c.amount, entries.c.created_at_ms)
    return [
        Moved(row.id, row.kind, row.amount, row.created_at_ms)
        for row in conn.execute(query.where(entries.c.id.in_(ids)))
    ]


def count(conn: Connection, counted: Sequence[tuple[str, str]], sums: Mapping[Key, tuple[int, int]]) -> bool:
    """Add these sums, which are those of `counted` together, and take `counted` off the list, all or nothing.

    False, and nothing is done, where one of them was not on the list any more: another replica counted it.
    """
    taken = delete(uncounted).where(tuple_(uncounted.c.what, uncounted.c.id).in_(list(counted)))
    with conn.begin_nested() as savepoint:
        if conn.execute(taken).rowcount != len(counted):
            savepoint.rollback()
            return False
        if sums:
            _add(conn, sums)
    return True


def _add(conn: Connection, sums: Mapping[Key, tuple[int, int]]) -> None:
    make = sqlite_insert if conn.dialect.name == "sqlite" else postgresql_insert
    statement = make(buckets)
    added = statement.on_conflict_do_update(
        index_elements=list(_KEY),
        set_={
            "times": buckets.c.times + statement.excluded.times,
            "total": buckets.c.total + statement.excluded.total,
        },
    )
    # In one order, so that two replicas never wait for each other.
    rows = [
        {**dict(zip(_KEY, key, strict=True)), "times": times, "total": total}
        for key, (times, total) in sorted(sums.items())
    ]
    conn.execute(added, rows)


def cells(conn: Connection, grain: Grain, measure: Measure, from_ms: int, until_ms: int) -> list[Cell]:
    """The buckets of a measure that begin from `from_ms` on and before `until_ms`, by time."""
    query = (
        select(*(buckets.c[name] for name in Cell.__slots__))
        .where(
            buckets.c.grain == grain.value,
            buckets.c.measure == measure.value,
            buckets.c.at_ms >= from_ms,
            buckets.c.at_ms < until_ms,
        )
        .order_by(buckets.c.at_ms, buckets.c.series, buckets.c.part, buckets.c.bin)
    )
    # Thousands of rows, in the order of the columns: told by name they would take twice the time.
    return [Cell(*row) for row in conn.execute(query)]


def ended_since(conn: Connection, since_ms: int) -> dict[str, dict[str, int]]:
    """How many jobs ended since then, by lane and public status; by whole minutes."""
    query = (
        select(buckets.c.series, buckets.c.part, func.sum(buckets.c.times).label("times"))
        .where(
            buckets.c.grain == Grain.MINUTE.value,
            buckets.c.measure == Measure.ENDED.value,
            buckets.c.at_ms >= since_ms,
        )
        .group_by(buckets.c.series, buckets.c.part)
    )
    found: dict[str, dict[str, int]] = {}
    for row in conn.execute(query):
        found.setdefault(row.series, {})[row.part] = int(row.times)
    return found


def open_since(conn: Connection) -> list[tuple[str, int]]:
    """The server of every attempt that keeps it busy now, and since when, in ms since 1970."""
    query = select(attempts.c.server, attempts.c.started_at_ms).where(
        OPEN_ATTEMPT, attempts.c.left_at_ms.is_(None), attempts.c.started_at_ms.is_not(None)
    )
    return [(row.server, row.started_at_ms) for row in conn.execute(query)]


def forget_buckets(conn: Connection, now_ms: int) -> int:
    """Drop buckets that are older than their grain is kept. Returns how many."""
    gone = 0
    for grain, kept_ms in KEPT_MS.items():
        if kept_ms is None:
            continue
        for measure in Measure:
            old = delete(buckets).where(
                buckets.c.grain == grain.value,
                buckets.c.measure == measure.value,
                buckets.c.at_ms < now_ms - kept_ms,
            )
            gone += conn.execute(old).rowcount
    return gone
