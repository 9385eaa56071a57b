"""Accounts, API keys and servers."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Text, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.domain.credits import Balance
from comfygate.domain.errors import Conflict, NotFound
from comfygate.store import ledger
from comfygate.store.prepared import Prepared
from comfygate.store.rows import AccountRow, ServerRow
from comfygate.store.tables import accounts, api_keys, servers
from comfygate.store.together import Look

_LOCKED = Prepared(
    select(accounts).where(accounts.c.id == bindparam("account_id")).with_for_update(key_share=True)
)
_OF_KEYS = Look(
    lambda keys: (
        select(
            api_keys.c.digest,
            accounts.c.id,
            accounts.c.name,
            accounts.c.tier,
            accounts.c.available,
            accounts.c.held,
            accounts.c.created_at_ms,
            accounts.c.disabled_at_ms,
        )
        .join(api_keys, api_keys.c.account_id == accounts.c.id)
        .where(api_keys.c.digest.in_(select(keys.c.digest)), api_keys.c.revoked_at_ms.is_(None))
    ),
    digest=Text,
)


def add_account(
    conn: Connection,
    account_id: str,
    name: str,
    tier: str,
    key_digest: str | None,
    credits: int,
    now_ms: int,
) -> AccountRow:
    """Make an account with one API key (None: without) and, if `credits` > 0, a first grant.

    Raises Conflict for a taken name.
    """
    try:
        conn.execute(insert(accounts).values(id=account_id, name=name, tier=tier, created_at_ms=now_ms))
    except IntegrityError as error:
        raise Conflict(f"an account named {name!r} exists already; choose another name") from error
    if key_digest is not None:
        add_key(conn, account_id, key_digest, now_ms)
    if credits:
        ledger.grant(conn, account_id, credits, "opening credits", now_ms)
    return get_account(conn, account_id)


def add_key(conn: Connection, account_id: str, digest: str, now_ms: int) -> None:
    """Add an API key, known only by the digest of its secret."""
    conn.execute(insert(api_keys).values(digest=digest, account_id=account_id, created_at_ms=now_ms))


def _account(row: Any) -> AccountRow:
    return AccountRow(
        id=row.id,
        name=row.name,
        tier=row.tier,
        balance=Balance(available=row.available, held=row.held),
        created_at_ms=row.created_at_ms,
        disabled_at_ms=row.disabled_at_ms,
    )


def get_account(conn: Connection, id_or_name: str) -> AccountRow:
    """The account with this id or, failing that, this name. Raises NotFound."""
    row = (
        conn.execute(select(accounts).where(accounts.c.id == id_or_name)).one_or_none()
        or conn.execute(select(accounts).where(accounts.c.name == id_or_name)).one_or_none()
    )
    if row is None:
        raise NotFound(f"no account has the id or name {id_or_name!r}; 'comfygate accounts list' shows them")
    return _account(row)


def locked_account(conn: Connection, account_id: str) -> AccountRow:
    """The account, which nobody else changes until this transaction ends. Raises NotFound."""
    row = _LOCKED.one(conn, {"account_id": account_id})
    if row is None:
        raise NotFound(f"no account has the id or name {account_id!r}; 'comfygate accounts list' shows them")
    return _account(row)


def set_tier(conn: Connection, id_or_name: str, tier: str) -> AccountRow:
    """Move an account to a tier. Raises NotFound."""
    found = get_account(conn, id_or_name)
    conn.execute(update(accounts).where(accounts.c.id == found.id).values(tier=tier))
    return get_account(conn, found.id)


def list_accounts(conn: Connection) -> list[AccountRow]:
    """All accounts, by name."""
    return [_account(row) for row in conn.execute(select(accounts).order_by(accounts.c.name))]


def accounts_of_keys(conn: Connection, digests: Collection[str]) -> dict[str, AccountRow]:
    """The accounts that keys with these digests belong to, by digest; only of keys in force."""
    return {
        digest: AccountRow(account_id, name, tier, Balance(available, held), created_at_ms, disabled_at_ms)
        for digest, account_id, name, tier, available, held, created_at_ms, disabled_at_ms in _OF_KEYS.rows(
            conn, [(digest,) for digest in digests]
        )
    }


def add_server(
    conn: Connection, name: str, url: str, slots: int, lanes: tuple[str, ...], now_ms: int, ahead: int = 0
) -> ServerRow:
    """Record a server, or change the one of this name. `ahead`: how many prompts of ours may wait there
    behind those that run, 0 or 1."""
    values = {"url": url, "slots": slots, "ahead": ahead, "lanes": json.dumps(list(lanes))}
    changed = conn.execute(update(servers).where(servers.c.name == name).values(values))
    if changed.rowcount == 0:
        conn.execute(insert(servers).values(name=name, created_at_ms=now_ms, **values))
    return next(server for server in list_servers(conn) if server.name == name)


def list_servers(conn: Connection) -> list[ServerRow]:
    """All servers, by name."""
    return [
        ServerRow(
            row.name,
            row.url,
            row.slots,
            tuple(json.loads(row.lanes)),
            row.created_at_ms,
            row.drained_at_ms,
            row.ahead,
        )
        for row in conn.execute(select(servers).order_by(servers.c.name))
    ]
