"""What came from Telegram, kept until it was dealt with, and what was sent that must not be sent twice.

An update is written down before Telegram is told that it arrived, so none is lost; its number is its key, so
none counts twice, whichever way and however often it comes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.store.bot_tables import telegram_sends, telegram_updates


@dataclass(frozen=True, slots=True)
class KeptUpdate:
    """An update as it came, from which chat, when (ms since 1970), and how often dealing with it failed."""

    update_id: int
    chat_id: int
    payload: Mapping[str, Any]
    received_at_ms: int
    tries: int


def keep(conn: Connection, updates: Sequence[tuple[int, int, str]], now_ms: int) -> int:
    """Write down updates (number, chat, JSON text) that are new. Returns how many were."""
    numbers = [number for number, _, _ in updates]
    query = select(telegram_updates.c.update_id).where(telegram_updates.c.update_id.in_(numbers))
    known = set(conn.execute(query).scalars())
    fresh = 0
    for number, chat_id, payload in updates:
        if number in known:
            continue
        known.add(number)
        try:
            with conn.begin_nested():
                conn.execute(
                    insert(telegram_updates).values(
                        update_id=number, chat_id=chat_id, payload=payload, received_at_ms=now_ms
                    )
                )
        except IntegrityError:
            # Another replica was the first to hear of it.
            continue
        fresh += 1
    return fresh


def waiting(conn: Connection, limit: int, past_chats: Collection[int] = ()) -> list[KeptUpdate]:
    """The oldest updates not dealt with, in order, without those of `past_chats`."""
    query = select(telegram_updates).where(telegram_updates.c.handled_at_ms.is_(None))
    if past_chats:
        query = query.where(telegram_updates.c.chat_id.not_in(past_chats))
    return [
        KeptUpdate(row.update_id, row.chat_id, json.loads(row.payload), row.received_at_ms, row.tries)
        for row in conn.execute(query.order_by(telegram_updates.c.update_id).limit(limit))
    ]


def handled(conn: Connection, update_ids: Sequence[int], now_ms: int) -> None:
    """These updates were dealt with; what they said is kept no longer."""
    conn.execute(
        update(telegram_updates)
        .where(telegram_updates.c.update_id.in_(update_ids))
        .values(handled_at_ms=now_ms, payload="{}")
    )


def failed(conn: Connection, update_ids: Sequence[int]) -> None:
    """Dealing with these updates broke; they are tried again."""
    conn.execute(
        update(telegram_updates)
        .where(telegram_updates.c.update_id.in_(update_ids))
        .values(tries=telegram_updates.c.tries + 1)
    )


@dataclass(frozen=True, slots=True)
class Sent:
    """Something that was begun to be sent. Without a message id nobody knows whether it arrived."""

    message_id: int | None


def begin_sending(conn: Connection, key: str, chat_id: int, now_ms: int) -> Sent | None:
    """Note that `key` is about to be sent; None when it never was before, else what is known of that."""
    row = conn.execute(select(telegram_sends).where(telegram_sends.c.key == key)).one_or_none()
    if row is not None:
        return Sent(row.message_id)
    conn.execute(insert(telegram_sends).values(key=key, chat_id=chat_id, at_ms=now_ms))
    return None


def end_sending(conn: Connection, key: str, message_id: int) -> None:
    """It arrived, as this message."""
    conn.execute(update(telegram_sends).where(telegram_sends.c.key == key).values(message_id=message_id))


def never_sent(conn: Connection, key: str) -> None:
    """It surely did not arrive: it may be sent again."""
    conn.execute(delete(telegram_sends).where(telegram_sends.c.key == key))


def prune(conn: Connection, before_ms: int) -> int:
    """Forget updates dealt with, and sends, from before the given time. Returns how many."""
    old = delete(telegram_updates).where(telegram_updates.c.handled_at_ms < before_ms)
    sends = delete(telegram_sends).where(telegram_sends.c.at_ms < before_ms)
    return conn.execute(old).rowcount + conn.execute(sends).rowcount
