"""Files of accounts taken in: each file once, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from comfygate.domain.accounts_file import Newcomer
from comfygate.domain.errors import Conflict
from comfygate.store import accounts as accounts_store
from comfygate.store import ledger, telegram_users
from comfygate.store.people_tables import imports


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What a file came to: people who are new, people known before, and the credits of all."""

    fresh: int
    known: int
    credits: int


def refuse_known_file(conn: Connection, digest: str) -> None:
    """Raise Conflict for a file that was taken in before."""
    row = conn.execute(select(imports).where(imports.c.digest == digest)).one_or_none()
    if row is not None:
        raise Conflict(
            f"this file was taken in before, as {row.file_name!r} (import {row.id}): nothing was changed",
            details={"field": "file", "imported_at_ms": row.at_ms},
        )


def look(conn: Connection, digest: str, people: Sequence[Newcomer]) -> TakenIn:
    """What taking the file in would come to. Raises Conflict as `take_in`."""
    refuse_known_file(conn, digest)
    known = sum(telegram_users.find(conn, one.telegram_id) is not None for one in people)
    return TakenIn(len(people) - known, known, sum(one.credits for one in people))


def take_in(
    conn: Connection,
    digest: str,
    file_name: str,
    people: Sequence[Newcomer],
    new_id: Callable[[], str],
    now_ms: int,
) -> TakenIn:
    """Make accounts for whoever is new, and bring everybody their credits as opening entries.

    Who is known keeps the account, gets the credits on top, and the file's tier. Raises Conflict for a file
    that was taken in before.
    """
    taken = look(conn, digest, people)
    reason = f"opening credits from {file_name}"[:500]
    for one in people:
        person = telegram_users.find(conn, one.telegram_id)
        if person is None:
            person = telegram_users.add(conn, one.telegram_id, new_id(), one.tier, 0, now_ms)
        else:
            accounts_store.set_tier(conn, person.account_id, one.tier)
        if one.credits:
            reference = f"import {digest} {one.telegram_id}"
            ledger.grant_once(conn, person.account_id, one.credits, reason, now_ms, reference)
    conn.execute(
        insert(imports).values(
            digest=digest,
            file_name=file_name,
            accounts=len(people),
            credits=taken.credits,
            at_ms=now_ms,
        )
    )
    return taken
