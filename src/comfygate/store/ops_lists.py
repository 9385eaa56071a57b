"""The operator's lists, newest first, in pages that cost the same however many rows there are.

Every page follows an index from where the last one ended. What no index can tell apart is looked for in a
window of EXAMINED_MAX rows: a page may then be short, or empty, and still have a next one.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Select, TextClause, func, select, tuple_
from sqlalchemy.sql.elements import ColumnElement

from comfygate.domain.credits import EntryKind
from comfygate.domain.job import TERMINAL, JobState
from comfygate.store.jobs import job_row
from comfygate.store.people_tables import telegram_users
from comfygate.store.rows import AuditRow, EntryRow, JobRow, ReviewRow
from comfygate.store.screening_tables import COUNTING, reviews, suspicions
from comfygate.store.tables import (
    HAS_ENDED,
    IN_FLIGHT,
    IS_QUEUED,
    accounts,
    attempts,
    audit_log,
    entries,
    jobs,
)

EXAMINED_MAX = 5000
"""Rows that one page looks at where it has to look at them one by one."""
ENDED_STATES = tuple(sorted(TERMINAL))
FLYING_STATES = tuple(state for state in JobState if state not in TERMINAL and state is not JobState.QUEUED)


@dataclass(frozen=True, slots=True)
class LastAttempt:
    """Where a job last was, and what came of it."""

    server: str
    outcome: str | None
    blame: str | None


@dataclass(frozen=True, slots=True)
class AccountLine:
    """An account as a line of a list."""

    id: str
    name: str
    tier: str
    available: int
    held: int
    created_at_ms: int
    disabled_at_ms: int | None

    @property
    def place(self) -> tuple[int, str]:
        return self.created_at_ms, self.id


@dataclass(frozen=True, slots=True)
class EntryLine:
    """An entry, and whose it is."""

    account_id: str
    entry: EntryRow


def list_jobs(
    conn: Connection,
    *,
    account_id: str | None,
    lane: str | None,
    states: Collection[JobState],
    lanes: Collection[str],
    before: int | None,
    limit: int,
) -> tuple[list[JobRow], int | None]:
    """Up to `limit` jobs, and the ticket before which the next page begins (None: there is none).

    `states`: any of these, or all if empty. `lanes`: those that the settings name; others are found.
    """
    if account_id is not None:
        return _jobs_of_account(conn, account_id, lane, states, before, limit)
    if not states and lane is None:
        found = [job_row(row) for row in conn.execute(_page(select(jobs), before, limit + 1))]
    else:
        wanted = states or list(JobState)
        among = [lane] if lane is not None else sorted({*lanes, *_lanes_ended(conn)})
        streams = [
            conn.execute(query).scalars().all() for query in _streams(wanted, among, before, limit + 1)
        ]
        streams.append(_flying(conn, wanted, lane, before))
        tickets = list(islice(heapq.merge(*streams, reverse=True), limit + 1))
        query = select(jobs).where(jobs.c.ticket.in_(tickets)).order_by(jobs.c.ticket.desc())
        found = [job_row(row) for row in conn.execute(query)]
    return found[:limit], found[limit - 1].ticket if len(found) > limit else None


def _page(query: Select[Any], before: int | None, limit: int) -> Select[Any]:
    if before is not None:
        query = query.where(jobs.c.ticket < before)
    return query.order_by(jobs.c.ticket.desc()).limit(limit)


def _streams(
    states: Collection[JobState], lanes: Sequence[str], before: int | None, limit: int
) -> list[Select[Any]]:
    """Queries that each follow one index, and together find the tickets of the jobs that wait or ended."""
    ticket = select(jobs.c.ticket)
    found = []
    for name in lanes:
        for state in ENDED_STATES:
            if state in states:
                query = ticket.where(jobs.c.lane == name, jobs.c.state == state.value, HAS_ENDED)
                found.append(_page(query, before, limit))
        if JobState.QUEUED in states:
            found.append(_page(ticket.where(jobs.c.lane == name, IS_QUEUED), before, limit))
    return found


def _flying(
    conn: Connection, states: Collection[JobState], lane: str | None, before: int | None
) -> list[int]:
    """The tickets of the jobs on servers, newest first: no more than there are slots.

    They are told apart here. Asked for a part of them in order, SQLite goes through all jobs there are.
    """
    wanted = {state.value for state in FLYING_STATES if state in states}
    if not wanted:
        return []
    rows = conn.execute(select(jobs.c.ticket, jobs.c.state, jobs.c.lane).where(IN_FLIGHT))
    found = [
        row.ticket
        for row in rows
        if row.state in wanted and lane in {None, row.lane} and (before is None or row.ticket < before)
    ]
    return sorted(found, reverse=True)


def _lanes_ended(conn: Connection) -> list[str]:
    """Lanes in which a job ended."""
    return _lanes_by_index(conn, HAS_ENDED)


def lanes_queued(conn: Connection) -> list[str]:
    """Lanes in which a job waits."""
    return _lanes_by_index(conn, IS_QUEUED)


def _lanes_by_index(conn: Connection, which: ColumnElement[bool] | TextClause) -> list[str]:
    """Lanes of such jobs by name, from one to the next by the index that leads with the lane."""
    nearest = select(func.min(jobs.c.lane)).where(which)
    found: list[str] = []
    while name := conn.execute(nearest.where(jobs.c.lane > found[-1]) if found else nearest).scalar():
        found.append(name)
    return found


def _jobs_of_account(
    conn: Connection,
    account_id: str,
    lane: str | None,
    states: Collection[JobState],
    before: int | None,
    limit: int,
) -> tuple[list[JobRow], int | None]:
    of_account = select(jobs).where(jobs.c.account_id == account_id)
    if lane is None and not states:
        rows = [job_row(row) for row in conn.execute(_page(of_account, before, limit + 1))]
        return rows[:limit], rows[limit - 1].ticket if len(rows) > limit else None
    window = _page(of_account, before, EXAMINED_MAX).subquery()
    query = select(window).order_by(window.c.ticket.desc()).limit(limit + 1)
    if lane is not None:
        query = query.where(window.c.lane == lane)
    if states:
        query = query.where(window.c.state.in_([state.value for state in states]))
    rows = [job_row(row) for row in conn.execute(query)]
    if len(rows) > limit:
        return rows[:limit], rows[limit - 1].ticket
    tickets = select(jobs.c.ticket).where(jobs.c.account_id == account_id)
    return rows, conn.execute(_page(tickets, before, 1).offset(EXAMINED_MAX - 1)).scalar()


def last_attempts(conn: Connection, found: Sequence[JobRow]) -> dict[str, LastAttempt]:
    """The latest attempts of those of these jobs that have one, by job."""
    numbers = {(job.id, job.attempt) for job in found if job.attempt}
    query = select(
        attempts.c.job_id, attempts.c.number, attempts.c.server, attempts.c.outcome, attempts.c.blame
    ).where(attempts.c.job_id.in_([job_id for job_id, _ in numbers]))
    return {
        row.job_id: LastAttempt(row.server, row.outcome, row.blame)
        for row in conn.execute(query)
        if (row.job_id, row.number) in numbers
    }


def account_names(conn: Connection, ids: Collection[str]) -> dict[str, str]:
    """The names of these accounts, by id."""
    query = select(accounts.c.id, accounts.c.name).where(accounts.c.id.in_(sorted(set(ids))))
    return {row.id: row.name for row in conn.execute(query)}


_LINE = [accounts.c[name] for name in AccountLine.__slots__]


def _line(row: Any) -> AccountLine:
    return AccountLine(**{name: getattr(row, name) for name in AccountLine.__slots__})


def list_accounts(
    conn: Connection, search: str, before: tuple[int, str] | None, limit: int
) -> tuple[list[AccountLine], tuple[int, str] | None]:
    """Up to `limit` accounts whose name has `search` in it, in any case, and where the next page begins.

    On the first page an account of just this id, name or Telegram id comes before all others.
    """
    if not search:
        query = select(*_LINE)
        rows = [_line(row) for row in conn.execute(_accounts_page(query, before, limit + 1))]
        return rows[:limit], rows[limit - 1].place if len(rows) > limit else None
    exact = _exact(conn, search) if before is None else []
    window = _accounts_page(select(*_LINE), before, EXAMINED_MAX).subquery()
    query = (
        select(window)
        .where(window.c.name.icontains(search, autoescape=True))
        .order_by(window.c.created_at_ms.desc(), window.c.id.desc())
        .limit(limit + 1)
    )
    rows = [_line(row) for row in conn.execute(query)]
    known = {one.id for one in exact}
    page = [*exact, *(row for row in rows[:limit] if row.id not in known)]
    if len(rows) > limit:
        return page, rows[limit - 1].place
    places = _accounts_page(select(accounts.c.created_at_ms, accounts.c.id), before, 1)
    last = conn.execute(places.offset(EXAMINED_MAX - 1)).one_or_none()
    return page, None if last is None else (last.created_at_ms, last.id)


def _accounts_page(query: Select[Any], before: tuple[int, str] | None, limit: int) -> Select[Any]:
    if before is not None:
        query = query.where(tuple_(accounts.c.created_at_ms, accounts.c.id) < tuple_(*before))
    return query.order_by(accounts.c.created_at_ms.desc(), accounts.c.id.desc()).limit(limit)


def _exact(conn: Connection, search: str) -> list[AccountLine]:
    found: dict[str, AccountLine] = {}
    for query in (
        select(*_LINE).where(accounts.c.id == search),
        select(*_LINE).where(accounts.c.name == search),
    ):
        found |= {row.id: _line(row) for row in conn.execute(query)}
    if search.isdecimal() and search.isascii() and len(search) < 16:
        query = (
            select(*_LINE)
            .join(telegram_users, telegram_users.c.account_id == accounts.c.id)
            .where(telegram_users.c.telegram_id == int(search))
        )
        found |= {row.id: _line(row) for row in conn.execute(query)}
    return list(found.values())


def suspicions_counting(conn: Connection, ids: Collection[str]) -> dict[str, int]:
    """How many suspicions count against those of these accounts that have any."""
    query = (
        select(suspicions.c.account_id, func.count().label("n"))
        .where(COUNTING, suspicions.c.account_id.in_(sorted(ids)))
        .group_by(suspicions.c.account_id)
    )
    return {row.account_id: row.n for row in conn.execute(query)}


def list_entries(conn: Connection, account_id: str | None, before: int | None, limit: int) -> list[EntryLine]:
    """The newest entries, of one account or (None) of all, older than entry `before` if given."""
    query = select(entries).order_by(entries.c.id.desc()).limit(limit)
    if account_id is not None:
        query = query.where(entries.c.account_id == account_id)
    if before is not None:
        query = query.where(entries.c.id < before)
    return [
        EntryLine(
            row.account_id,
            EntryRow(row.id, EntryKind(row.kind), row.amount, row.job_id, row.reason, row.created_at_ms),
        )
        for row in conn.execute(query)
    ]


def list_reviews(
    conn: Connection, state: str | None, before: tuple[int, str] | None, limit: int
) -> list[ReviewRow]:
    """The newest reviews, of one state or (None) of all, from before a time and job if given."""
    query = select(reviews).order_by(reviews.c.created_at_ms.desc(), reviews.c.job_id.desc()).limit(limit)
    if state is not None:
        query = query.where(reviews.c.state == state)
    if before is not None:
        query = query.where(tuple_(reviews.c.created_at_ms, reviews.c.job_id) < tuple_(*before))
    return [
        ReviewRow(**{name: getattr(row, name) for name in ReviewRow.__slots__}) for row in conn.execute(query)
    ]


def list_audit(
    conn: Connection, actor: str | None, operation: str | None, before: int | None, limit: int
) -> tuple[list[AuditRow], int | None]:
    """Up to `limit` rows of the audit log, and the id before which the next page begins.

    `operation`: this one, or with a dot at its end every one of a noun.
    """
    window = select(audit_log).order_by(audit_log.c.id.desc()).limit(EXAMINED_MAX)
    if before is not None:
        window = window.where(audit_log.c.id < before)
    near = window.subquery()
    filters: list[ColumnElement[bool]] = []
    if actor is not None:
        filters.append(near.c.actor == actor)
    if operation is not None:
        same = near.c.operation.startswith(operation, autoescape=True)
        filters.append(same if operation.endswith(".") else near.c.operation == operation)
    query = select(near).where(*filters).order_by(near.c.id.desc()).limit(limit + 1)
    rows = [
        AuditRow(row.id, row.at_ms, row.actor, row.operation, row.arguments, row.result)
        for row in conn.execute(query)
    ]
    if len(rows) > limit:
        return rows[:limit], rows[limit - 1].id
    ids = select(audit_log.c.id).order_by(audit_log.c.id.desc())
    if before is not None:
        ids = ids.where(audit_log.c.id < before)
    return rows, conn.execute(ids.limit(1).offset(EXAMINED_MAX - 1)).scalar()
