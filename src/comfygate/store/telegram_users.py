"""Who a Telegram user is here: one account each; several may share one, once they were joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.domain.errors import Conflict
from comfygate.store import accounts as accounts_store
from comfygate.store import ledger
from comfygate.store.people_tables import telegram_users

ACCOUNT_NAME = "tg-{telegram_id}"
"""What the account of a Telegram user is called at first."""


@dataclass(frozen=True, slots=True)
class TelegramUser:
    """A person on Telegram. `chat_id` is their private chat; `language` what they chose, if they did."""

    telegram_id: int
    account_id: str
    chat_id: int
    language: str | None
    terms_at_ms: int | None
    invited_by: int | None
    created_at_ms: int
    blocked_at_ms: int | None


def _user(row: Row[Any]) -> TelegramUser:
    return TelegramUser(
        telegram_id=row.telegram_id,
        account_id=row.account_id,
        chat_id=row.chat_id,
        language=row.language,
        terms_at_ms=row.terms_at_ms,
        invited_by=row.invited_by,
        created_at_ms=row.created_at_ms,
        blocked_at_ms=row.blocked_at_ms,
    )


def find(conn: Connection, telegram_id: int) -> TelegramUser | None:
    """The person with this Telegram id, if the house knows them."""
    row = conn.execute(
        select(telegram_users).where(telegram_users.c.telegram_id == telegram_id)
    ).one_or_none()
    return None if row is None else _user(row)


def of_account(conn: Connection, account_id: str) -> list[TelegramUser]:
    """Everybody on Telegram who uses the account."""
    query = select(telegram_users).where(telegram_users.c.account_id == account_id)
    return [_user(row) for row in conn.execute(query.order_by(telegram_users.c.telegram_id))]


def add(
    conn: Connection,
    telegram_id: int,
    account_id: str,
    tier: str,
    credits: int,
    now_ms: int,
    *,
    reason: str = "first credits",
    invited_by: int | None = None,
) -> TelegramUser:
    """Make an account without a key for somebody new, with `credits` to begin with, once a person.

    Raises Conflict if the person, or an account of that name, is known already.
    """
    accounts_store.add_account(
        conn, account_id, ACCOUNT_NAME.format(telegram_id=telegram_id), tier, None, 0, now_ms
    )
    try:
        conn.execute(
            insert(telegram_users).values(
                telegram_id=telegram_id,
                account_id=account_id,
                # In a private chat Telegram's two numbers are one.
                chat_id=telegram_id,
                invited_by=invited_by,
                created_at_ms=now_ms,
            )
        )
    except IntegrityError as error:
        raise Conflict(f"Telegram user {telegram_id} is known already") from error
    if credits:
        ledger.grant(conn, account_id, credits, reason, now_ms, reference=f"telegram first {telegram_id}")
    found = find(conn, telegram_id)
    if found is None:
        message = f"Telegram user {telegram_id} was just written and is not there"
        raise AssertionError(message)
    return found


def accept_terms(conn: Connection, telegram_id: int, now_ms: int) -> bool:
    """Note that the person accepted the terms. False if they had before."""
    changed = conn.execute(
        update(telegram_users)
        .where(telegram_users.c.telegram_id == telegram_id, telegram_users.c.terms_at_ms.is_(None))
        .values(terms_at_ms=now_ms)
    )
    return changed.rowcount == 1


def set_language(conn: Connection, telegram_id: int, language: str | None) -> None:
    """Choose a language; None: go by Telegram's own setting."""
    conn.execute(
        update(telegram_users).where(telegram_users.c.telegram_id == telegram_id).values(language=language)
    )


def set_blocked(conn: Connection, telegram_id: int, blocked_at_ms: int | None) -> None:
    """Note that nothing can be sent to the person, or (None) that they are back."""
    conn.execute(
        update(telegram_users)
        .where(telegram_users.c.telegram_id == telegram_id)
        .values(blocked_at_ms=blocked_at_ms)
    )


def after(conn: Connection, telegram_id: int, limit: int) -> list[TelegramUser]:
    """The next people who can be written to, in the order of their Telegram ids."""
    query = (
        select(telegram_users)
        .where(telegram_users.c.telegram_id > telegram_id, telegram_users.c.blocked_at_ms.is_(None))
        .order_by(telegram_users.c.telegram_id)
        .limit(limit)
    )
    return [_user(row) for row in conn.execute(query)]
