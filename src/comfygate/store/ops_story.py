"""Reads for the operator's pages of one job, one account or one server; each follows an index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, text

from comfygate.domain.credits import EntryKind
from comfygate.store.bot_tables import telegram_jobs
from comfygate.store.eta_tables import etas
from comfygate.store.jobs import job_row
from comfygate.store.ops_tables import server_changes, staff
from comfygate.store.people_tables import sessions, telegram_users
from comfygate.store.rows import EntryRow, JobRow
from comfygate.store.screening_tables import WAITING, reviews
from comfygate.store.tables import (
    GONE_WRONG,
    IN_FLIGHT,
    IS_QUEUED,
    OPEN_ATTEMPT,
    accounts,
    attempts,
    entries,
    jobs,
    misfits,
    outbox,
    pair_quarantines,
)

COPIES_MAX = 20
"""Newest jobs of an account that are looked through for copies of one."""
UNTOLD_MAX = 2000
"""Oldest rows of the outbox that are looked through for those of one job."""
_HOLD = text("kind = 'hold'")
_SETTLE = text("kind IN ('capture', 'release')")

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AttemptTimes:
    """An attempt with all its times (ms since 1970); `left_at_ms`: its prompt was no longer on the server."""

    number: int
    prompt_id: str
    server: str
    slot: int
    owner: str
    claimed_at_ms: int
    started_at_ms: int | None
    left_at_ms: int | None
    ended_at_ms: int | None
    outcome: str | None
    blame: str | None
    cause: str
    elsewhere: bool


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt that is open now, and its job."""

    job_id: str
    number: int
    server: str
    slot: int
    claimed_at_ms: int
    started_at_ms: int | None
    left_at_ms: int | None
    account_id: str
    account_name: str
    lane: str
    priority: int
    state: str
    workflow_name: str
    style: str
    models: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """An attempt that went wrong on a server."""

    job_id: str
    number: int
    claimed_at_ms: int
    ended_at_ms: int
    outcome: str
    blame: str | None
    cause: str


@dataclass(frozen=True, slots=True)
class Change:
    """A server came to another state."""

    id: int
    at_ms: int
    state: str
    reason: str


def _fields(row: Any, names: Sequence[str]) -> Fields:
    return {name: getattr(row, name) for name in names}


def attempts_of(conn: Connection, job_id: str) -> list[AttemptTimes]:
    """Every attempt of a job, in order."""
    query = select(attempts).where(attempts.c.job_id == job_id).order_by(attempts.c.number)
    return [AttemptTimes(**_fields(row, AttemptTimes.__slots__)) for row in conn.execute(query)]


def open_attempts(conn: Connection) -> list[OpenAttempt]:
    """Every open attempt, by server and slot: as many as there are slots, and a few that left theirs."""
    names = OpenAttempt.__slots__
    tables = {"jobs": jobs, "attempts": attempts}
    of = {"account_id": "jobs", "lane": "jobs", "priority": "jobs", "state": "jobs", "models": "jobs"}
    of |= {"workflow_name": "jobs", "style": "jobs"}
    columns = [tables[of.get(name, "attempts")].c[name] for name in names if name != "account_name"]
    query = (
        select(*columns, accounts.c.name.label("account_name"))
        .select_from(attempts)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .join(accounts, accounts.c.id == jobs.c.account_id)
        .where(OPEN_ATTEMPT)
        .order_by(attempts.c.server, attempts.c.slot, attempts.c.claimed_at_ms)
    )
    return [OpenAttempt(**_fields(row, names)) for row in conn.execute(query)]


def entries_of_job(conn: Connection, job_id: str) -> list[EntryRow]:
    """The entries of a job, oldest first; the two indexes hold one hold and one end each."""
    found = []
    for kinds in (_HOLD, _SETTLE):
        query = select(entries).where(entries.c.job_id == job_id, kinds)
        found += [
            EntryRow(row.id, EntryKind(row.kind), row.amount, row.job_id, row.reason, row.created_at_ms)
            for row in conn.execute(query)
        ]
    return sorted(found, key=lambda entry: entry.id)


def told_eta(conn: Connection, job_id: str) -> Fields | None:
    """What the job was told of its end, and what it took, in ms from `at_ms` on."""
    names = ("at_ms", "p50_ms", "p90_ms", "took_ms", "ended_at_ms")
    row = conn.execute(select(etas).where(etas.c.job_id == job_id)).one_or_none()
    return None if row is None else _fields(row, names)


def told_in_chat(conn: Connection, job_id: str) -> Fields | None:
    """The chat's message about the job, as it was last sent."""
    names = ("chat_id", "message_id", "language", "shown", "place", "told_at_ms", "created_at_ms", "due")
    row = conn.execute(select(telegram_jobs).where(telegram_jobs.c.job_id == job_id)).one_or_none()
    return None if row is None else _fields(row, names)


def untold(conn: Connection, job_id: str) -> list[Fields]:
    """What happened to the job and waits to be told, as far as it is among the oldest that wait."""
    window = (
        select(outbox.c.id, outbox.c.job_id, outbox.c.kind, outbox.c.created_at_ms)
        .where(outbox.c.delivered_at_ms.is_(None))
        .order_by(outbox.c.id)
        .limit(UNTOLD_MAX)
        .subquery()
    )
    query = select(window.c.kind, window.c.created_at_ms).where(window.c.job_id == job_id)
    return [_fields(row, ("kind", "created_at_ms")) for row in conn.execute(query.order_by(window.c.id))]


def copies_of(conn: Connection, job: JobRow) -> list[JobRow]:
    """Jobs that retry this one, the newest few; they are the same account's, and younger."""
    newest = (
        select(jobs)
        .where(jobs.c.account_id == job.account_id, jobs.c.ticket > job.ticket)
        .order_by(jobs.c.ticket.desc())
        .limit(COPIES_MAX)
        .subquery()
    )
    query = select(newest).where(newest.c.retry_of == job.id).order_by(newest.c.ticket)
    return [job_row(row) for row in conn.execute(query)]


def counts_of_account(conn: Connection, account_id: str) -> tuple[int, int]:
    """How many jobs of the account wait, and how many are on servers."""
    of_account = select(func.count()).select_from(jobs).where(jobs.c.account_id == account_id)
    return (
        conn.execute(of_account.where(IS_QUEUED)).scalar_one(),
        conn.execute(of_account.where(IN_FLIGHT)).scalar_one(),
    )


def chats_of(conn: Connection, account_id: str) -> list[Fields]:
    """The people of Telegram that are this account."""
    names = ("telegram_id", "language", "terms_at_ms", "invited_by", "created_at_ms", "blocked_at_ms")
    query = select(telegram_users).where(telegram_users.c.account_id == account_id)
    return [_fields(row, names) for row in conn.execute(query.order_by(telegram_users.c.telegram_id))]


def sessions_of(conn: Connection, account_id: str, now_ms: int) -> list[Fields]:
    """The account's sessions that are in force, newest first."""
    query = (
        select(sessions.c.created_at_ms, sessions.c.expires_at_ms)
        .where(
            sessions.c.account_id == account_id,
            sessions.c.revoked_at_ms.is_(None),
            sessions.c.expires_at_ms > now_ms,
        )
        .order_by(sessions.c.created_at_ms.desc())
    )
    return [_fields(row, ("created_at_ms", "expires_at_ms")) for row in conn.execute(query)]


def merged_into(conn: Connection, account_id: str) -> str | None:
    """The account that this one was joined to."""
    return conn.execute(select(accounts.c.merged_into).where(accounts.c.id == account_id)).scalar()


def troubles_of(conn: Connection, server: str, limit: int) -> list[Trouble]:
    """The newest attempts that failed or were lost on a server."""
    query = (
        select(attempts)
        .where(attempts.c.server == server, GONE_WRONG)
        .order_by(attempts.c.ended_at_ms.desc())
        .limit(limit)
    )
    return [Trouble(**_fields(row, Trouble.__slots__)) for row in conn.execute(query)]


def changes_of(conn: Connection, server: str, limit: int) -> list[Change]:
    """The newest changes of a server's state."""
    query = (
        select(server_changes)
        .where(server_changes.c.server == server)
        .order_by(server_changes.c.id.desc())
        .limit(limit)
    )
    return [Change(**_fields(row, Change.__slots__)) for row in conn.execute(query)]


def kept_off(conn: Connection, server: str, now_ms: int) -> list[Fields]:
    """Workflows that the server is not given: those that hung there lately, and those it cannot run."""
    hung = select(pair_quarantines).where(
        pair_quarantines.c.server == server, pair_quarantines.c.until_at_ms > now_ms
    )
    unfit = select(misfits).where(misfits.c.server == server)
    return [
        *({**_fields(row, ("workflow", "reason", "until_at_ms"))} for row in conn.execute(hung)),
        *({**_fields(row, ("workflow", "reason")), "until_at_ms": None} for row in conn.execute(unfit)),
    ]


def last_queued(conn: Connection, lane: str) -> Fields | None:
    """The job whose turn comes last of those that wait in a lane, with what it was told of its end."""
    query = (
        select(jobs.c.id, jobs.c.created_at_ms, etas.c.at_ms, etas.c.p50_ms, etas.c.p90_ms)
        .outerjoin(etas, etas.c.job_id == jobs.c.id)
        .where(jobs.c.lane == lane, IS_QUEUED)
        .order_by(jobs.c.priority.desc(), jobs.c.share.desc(), jobs.c.ticket.desc())
        .limit(1)
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else _fields(row, ("id", "created_at_ms", "at_ms", "p50_ms", "p90_ms"))


def reviews_waiting(conn: Connection, most: int) -> int:
    """How many jobs' results wait for review, counted up to `most`."""
    waiting = select(reviews.c.job_id).where(WAITING).limit(most).subquery()
    return conn.execute(select(func.count()).select_from(waiting)).scalar_one()


def how_many(conn: Connection, most: int) -> tuple[int, int, bool]:
    """How many accounts there are and how many of them operate, each counted up to `most`; whether there ever
    was a job."""
    some = select(accounts.c.id).limit(most).subquery()
    staffed = select(staff.c.account_id).limit(most).subquery()
    return (
        conn.execute(select(func.count()).select_from(some)).scalar_one(),
        conn.execute(select(func.count()).select_from(staffed)).scalar_one(),
        conn.execute(select(jobs.c.ticket).limit(1)).first() is not None,
    )
