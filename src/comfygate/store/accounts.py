"""Accounts, API keys and servers."""

from __future__ import annotations

import json

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.domain.credits import Balance
from comfygate.domain.errors import Conflict, NotFound
from comfygate.store import ledger
from comfygate.store.rows import AccountRow, ServerRow
from comfygate.store.tables import accounts, api_keys, servers


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


def _account(row: Row[tuple[str, str, str, int, int, int, int | None]]) -> AccountRow:
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


def set_tier(conn: Connection, id_or_name: str, tier: str) -> AccountRow:
    """Move an account to a tier. Raises NotFound."""
    found = get_account(conn, id_or_name)
    conn.execute(update(accounts).where(accounts.c.id == found.id).values(tier=tier))
    return get_account(conn, found.id)


def list_accounts(conn: Connection) -> list[AccountRow]:
    """All accounts, by name."""
    return [_account(row) for row in conn.execute(select(accounts).order_by(accounts.c.name))]


def account_of_key(conn: Connection, digest: str) -> AccountRow | None:
    """The account that the key with this digest belongs to, if the key is in force."""
    row = conn.execute(
        select(accounts)
        .join(api_keys, api_keys.c.account_id == accounts.c.id)
        .where(api_keys.c.digest == digest, api_keys.c.revoked_at_ms.is_(None))
    ).one_or_none()
    return None if row is None else _account(row)


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
