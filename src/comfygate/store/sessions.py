"""Sessions of people who signed in on the web. Of a session's token only the digest is kept."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update

from comfygate.store import accounts as accounts_store
from comfygate.store import joining
from comfygate.store.people_tables import sessions
from comfygate.store.rows import AccountRow, SessionRow

SIGN_IN = "sign_in"


def open_by_code(
    conn: Connection, code_digest: str, digest: str, expires_at_ms: int, now_ms: int
) -> str | None:
    """Use a one-time code up and open a session with it: the account, or None for a code that is not good."""
    account_id = joining.use_code(conn, code_digest, SIGN_IN, now_ms)
    if account_id is not None:
        add(conn, digest, account_id, expires_at_ms, now_ms)
    return account_id


def add(conn: Connection, digest: str, account_id: str, expires_at_ms: int, now_ms: int) -> None:
    """Open a session."""
    conn.execute(
        insert(sessions).values(
            digest=digest, account_id=account_id, created_at_ms=now_ms, expires_at_ms=expires_at_ms
        )
    )


def account_of(conn: Connection, digest: str, now_ms: int) -> AccountRow | None:
    """The account of a session that is in force."""
    account_id = conn.execute(
        select(sessions.c.account_id).where(
            sessions.c.digest == digest,
            sessions.c.revoked_at_ms.is_(None),
            sessions.c.expires_at_ms > now_ms,
        )
    ).scalar_one_or_none()
    return None if account_id is None else accounts_store.get_account(conn, account_id)


def revoke(conn: Connection, digest: str, now_ms: int) -> None:
    """End one session; one that ended before stays as it is."""
    conn.execute(
        update(sessions)
        .where(sessions.c.digest == digest, sessions.c.revoked_at_ms.is_(None))
        .values(revoked_at_ms=now_ms)
    )


def in_force(conn: Connection, account_id: str, now_ms: int) -> list[SessionRow]:
    """The sessions of an account that are in force, newest first."""
    query = (
        select(sessions)
        .where(
            sessions.c.account_id == account_id,
            sessions.c.revoked_at_ms.is_(None),
            sessions.c.expires_at_ms > now_ms,
        )
        .order_by(sessions.c.created_at_ms.desc(), sessions.c.digest)
    )
    return [SessionRow(row.digest, row.created_at_ms, row.expires_at_ms) for row in conn.execute(query)]


def revoke_all(conn: Connection, account_id: str, now_ms: int) -> int:
    """End every session of an account. Returns how many were in force."""
    return conn.execute(
        update(sessions)
        .where(
            sessions.c.account_id == account_id,
            sessions.c.revoked_at_ms.is_(None),
            sessions.c.expires_at_ms > now_ms,
        )
        .values(revoked_at_ms=now_ms)
    ).rowcount


def prune(conn: Connection, before_ms: int) -> int:
    """Forget sessions that ran out before the given time. Returns how many."""
    return conn.execute(delete(sessions).where(sessions.c.expires_at_ms < before_ms)).rowcount
