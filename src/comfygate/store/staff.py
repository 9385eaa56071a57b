"""Who may operate, who is shut out, and keys by their marks: what the operator changes of accounts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update

from comfygate.domain.errors import Conflict, NotFound
from comfygate.domain.staff import Role
from comfygate.store import sessions as sessions_store
from comfygate.store.accounts import get_account
from comfygate.store.ops_tables import staff
from comfygate.store.rows import AccountRow
from comfygate.store.tables import accounts, api_keys

MARK_CHARS = 12
"""So much of a key's digest tells it from the others of its account; nothing of the key follows from it."""


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key: its mark, and when it was made and ended."""

    mark: str
    created_at_ms: int
    revoked_at_ms: int | None


def role_of(conn: Connection, account_id: str) -> Role:
    """What the account may do."""
    found = conn.execute(select(staff.c.role).where(staff.c.account_id == account_id)).scalar()
    return Role.USER if found is None else Role(found)


def roles_of(conn: Connection, account_ids: Collection[str]) -> dict[str, Role]:
    """The roles of those among these accounts that have one."""
    query = select(staff.c.account_id, staff.c.role).where(staff.c.account_id.in_(account_ids))
    return {row.account_id: Role(row.role) for row in conn.execute(query)}


def all_roles(conn: Connection) -> dict[str, Role]:
    """The roles of everybody who has one."""
    return {row.account_id: Role(row.role) for row in conn.execute(select(staff.c.account_id, staff.c.role))}


def set_role(conn: Connection, account: str, role: Role, now_ms: int) -> AccountRow:
    """Give an account, by id or name, a role. Raises NotFound."""
    found = get_account(conn, account)
    # Two at the same moment: the later one holds.
    conn.execute(select(accounts.c.id).where(accounts.c.id == found.id).with_for_update(key_share=True))
    conn.execute(delete(staff).where(staff.c.account_id == found.id))
    if role is not Role.USER:
        conn.execute(insert(staff).values(account_id=found.id, role=role.value, since_at_ms=now_ms))
    return found


def suspend(conn: Connection, account: str, now_ms: int) -> AccountRow:
    """Let an account do nothing any more, and end its sessions. One that is suspended keeps its time.

    Raises NotFound.
    """
    found = get_account(conn, account)
    conn.execute(
        update(accounts)
        .where(accounts.c.id == found.id, accounts.c.disabled_at_ms.is_(None))
        .values(disabled_at_ms=now_ms)
    )
    sessions_store.revoke_all(conn, found.id, now_ms)
    return get_account(conn, found.id)


def restore(conn: Connection, account: str) -> AccountRow:
    """Let a suspended account in again. Raises NotFound, and Conflict for one that was joined to another."""
    found = get_account(conn, account)
    merged = conn.execute(select(accounts.c.merged_into).where(accounts.c.id == found.id)).scalar()
    if merged is not None:
        raise Conflict(f"account {found.name!r} was joined to {merged}, which has all that it had")
    conn.execute(update(accounts).where(accounts.c.id == found.id).values(disabled_at_ms=None))
    return get_account(conn, found.id)


def list_keys(conn: Connection, account_id: str) -> list[KeyRow]:
    """The account's keys, newest first."""
    query = (
        select(api_keys)
        .where(api_keys.c.account_id == account_id)
        .order_by(api_keys.c.created_at_ms.desc(), api_keys.c.digest)
    )
    return [
        KeyRow(row.digest[:MARK_CHARS], row.created_at_ms, row.revoked_at_ms) for row in conn.execute(query)
    ]


def revoke_key(conn: Connection, account: str, mark: str, now_ms: int) -> AccountRow:
    """End a key of an account. Raises NotFound where none of its keys that are in force has this mark."""
    found = get_account(conn, account)
    query = select(api_keys.c.digest).where(
        api_keys.c.account_id == found.id, api_keys.c.revoked_at_ms.is_(None)
    )
    digests = [digest for digest in conn.execute(query).scalars() if digest[:MARK_CHARS] == mark]
    if not digests:
        raise NotFound(f"no key in force of account {found.name!r} has the mark {mark[:64]!r}")
    conn.execute(update(api_keys).where(api_keys.c.digest.in_(digests)).values(revoked_at_ms=now_ms))
    return found
