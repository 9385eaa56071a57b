"""Orders in the making in chats, and the jobs that chats are told about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy import delete as delete_from

from comfygate.store.bot_tables import telegram_drafts, telegram_jobs
from comfygate.store.prepared import OfMany
from comfygate.store.tables import idempotency_keys, jobs

_DUE = OfMany(
    lambda ids: (
        update(telegram_jobs)
        .where(telegram_jobs.c.job_id.in_(ids), telegram_jobs.c.told_at_ms.is_(None))
        .values(due=True)
    )
)


@dataclass(frozen=True, slots=True)
class Draft:
    """An order in the making. `chosen` are values by parameter, `files` asset ids by input; what came before
    a workflow was chosen stands under the input "". `asked`: the parameter that is to be typed next."""

    id: str
    chat_id: int
    telegram_id: int
    workflow: str = ""
    style: str = ""
    chosen: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    asked: str = ""
    message_id: int | None = None
    state: str = "open"


def _draft(row: Row[Any]) -> Draft:
    return Draft(
        id=row.id,
        chat_id=row.chat_id,
        telegram_id=row.telegram_id,
        workflow=row.workflow,
        style=row.style,
        chosen=json.loads(row.chosen),
        files=json.loads(row.files),
        asked=row.asked,
        message_id=row.message_id,
        state=row.state,
    )


def open_draft(conn: Connection, chat_id: int, telegram_id: int) -> Draft | None:
    """What the person is ordering in this chat, if anything."""
    query = select(telegram_drafts).where(
        telegram_drafts.c.chat_id == chat_id,
        telegram_drafts.c.telegram_id == telegram_id,
        telegram_drafts.c.state == "open",
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else _draft(row)


def draft_of(conn: Connection, draft_id: str, telegram_id: int) -> Draft | None:
    """The draft, if it is this person's, whatever its state."""
    query = select(telegram_drafts).where(
        telegram_drafts.c.id == draft_id, telegram_drafts.c.telegram_id == telegram_id
    )
    row = conn.execute(query).one_or_none()
    return None if row is None else _draft(row)


def save_draft(conn: Connection, draft: Draft, now_ms: int) -> None:
    """Write the draft as it stands; one that is open takes the place of another open one."""
    if draft.state == "open":
        conn.execute(
            update(telegram_drafts)
            .where(
                telegram_drafts.c.chat_id == draft.chat_id,
                telegram_drafts.c.telegram_id == draft.telegram_id,
                telegram_drafts.c.state == "open",
                telegram_drafts.c.id != draft.id,
            )
            .values(state="dropped")
        )
    values = {
        "chat_id": draft.chat_id,
        "telegram_id": draft.telegram_id,
        "state": draft.state,
        "workflow": draft.workflow,
        "style": draft.style,
        "chosen": json.dumps(dict(draft.chosen)),
        "files": json.dumps({name: list(ids) for name, ids in draft.files.items()}),
        "asked": draft.asked,
        "message_id": draft.message_id,
        "updated_at_ms": now_ms,
    }
    changed = conn.execute(update(telegram_drafts).where(telegram_drafts.c.id == draft.id).values(values))
    if changed.rowcount == 0:
        conn.execute(insert(telegram_drafts).values(id=draft.id, **values))


def prune_drafts(conn: Connection, before_ms: int) -> int:
    """Forget drafts that nobody touched since. Returns how many."""
    return conn.execute(
        delete_from(telegram_drafts).where(telegram_drafts.c.updated_at_ms < before_ms)
    ).rowcount


@dataclass(frozen=True, slots=True)
class ToldJob:
    """A job that a chat is told about by the message `message_id`, which reads `shown` now."""

    job_id: str
    chat_id: int
    telegram_id: int
    draft_id: str
    language: str
    message_id: int | None = None
    shown: str = ""
    place: int | None = None
    as_files: bool = False
    told_at_ms: int | None = None


def _told(row: Row[Any]) -> ToldJob:
    return ToldJob(
        job_id=row.job_id,
        chat_id=row.chat_id,
        telegram_id=row.telegram_id,
        draft_id=row.draft_id,
        language=row.language,
        message_id=row.message_id,
        shown=row.shown,
        place=row.place,
        as_files=row.as_files,
        told_at_ms=row.told_at_ms,
    )


def made_by_key(conn: Connection, account_id: str, key: str) -> str | None:
    """The job that this idempotency key made."""
    query = select(idempotency_keys.c.made_id).where(
        idempotency_keys.c.account_id == account_id, idempotency_keys.c.key == key
    )
    made: str | None = conn.execute(query).scalar()
    return made


def place(conn: Connection, placed: Draft, told: Sequence[ToldJob], now_ms: int) -> None:
    """The draft became these jobs; each is told about from now on. What is there already stays."""
    save_draft(conn, placed, now_ms)
    for one in told:
        if get_told(conn, one.job_id) is None:
            conn.execute(
                insert(telegram_jobs).values(
                    job_id=one.job_id,
                    chat_id=one.chat_id,
                    telegram_id=one.telegram_id,
                    draft_id=one.draft_id,
                    language=one.language,
                    message_id=one.message_id,
                    created_at_ms=now_ms,
                )
            )


def get_told(conn: Connection, job_id: str) -> ToldJob | None:
    """What a chat was told of the job, if it is."""
    row = conn.execute(select(telegram_jobs).where(telegram_jobs.c.job_id == job_id)).one_or_none()
    return None if row is None else _told(row)


def untold(conn: Connection) -> list[ToldJob]:
    """Every job whose end was not told yet, oldest first."""
    query = select(telegram_jobs).where(telegram_jobs.c.told_at_ms.is_(None))
    return [_told(row) for row in conn.execute(query.order_by(telegram_jobs.c.created_at_ms))]


def take_due(conn: Connection) -> list[str]:
    """Jobs to which something happened; they are due no longer."""
    due = update(telegram_jobs).where(telegram_jobs.c.due).values(due=False)
    return list(conn.execute(due.returning(telegram_jobs.c.job_id)).scalars())


def mark_due(conn: Connection, job_ids: Sequence[str]) -> None:
    """Something happened to these jobs; most are told to no chat."""
    _DUE.count(conn, job_ids)


def note_shown(
    conn: Connection, job_id: str, message_id: int | None, shown: str, place_shown: int | None
) -> None:
    """What the job's message reads now."""
    conn.execute(
        update(telegram_jobs)
        .where(telegram_jobs.c.job_id == job_id)
        .values(message_id=message_id, shown=shown, place=place_shown)
    )


def note_told(conn: Connection, job_id: str, now_ms: int) -> None:
    """The job's end and its results were told."""
    conn.execute(
        update(telegram_jobs).where(telegram_jobs.c.job_id == job_id).values(told_at_ms=now_ms, due=False)
    )


def came_before(conn: Connection, job_id: str, cap: int) -> int:
    """How many queued jobs stand before this one although they came later: they have priority or their
    account's turn comes first. Counted up to `cap`."""
    mine = conn.execute(
        select(jobs.c.lane, jobs.c.priority, jobs.c.share, jobs.c.ticket).where(jobs.c.id == job_id)
    ).one_or_none()
    if mine is None:
        return 0
    ahead = (
        select(jobs.c.ticket)
        .where(
            jobs.c.lane == mine.lane,
            jobs.c.state == "queued",
            jobs.c.ticket > mine.ticket,
            (jobs.c.priority < mine.priority)
            | ((jobs.c.priority == mine.priority) & (jobs.c.share < mine.share)),
        )
        .limit(cap)
    )
    return len(conn.execute(ahead).all())
