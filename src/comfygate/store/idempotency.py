"""Idempotency keys: each is good for one request of its account, until it is forgotten."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from comfygate.domain.errors import IdempotencyKeyReuse
from comfygate.store.prepared import Prepared
from comfygate.store.tables import idempotency_keys

_MINE = (idempotency_keys.c.account_id == bindparam("account_id")) & (
    idempotency_keys.c.key == bindparam("key")
)
_FORGET = Prepared(
    delete(idempotency_keys).where(_MINE, idempotency_keys.c.created_at_ms <= bindparam("stale_before"))
)
_CLAIM: Final = {
    dialect: Prepared(
        make(idempotency_keys).on_conflict_do_nothing().inline(),
        ["account_id", "key", "request_hash", "made_id", "created_at_ms"],
    )
    for dialect, make in (("sqlite", sqlite_insert), ("postgresql", postgresql_insert))
}
_EARLIER = Prepared(select(idempotency_keys.c.request_hash).where(_MINE))


def claim_key(
    conn: Connection,
    account_id: str,
    key: str,
    request_hash: str,
    made_id: str,
    now_ms: int,
    idempotency_seconds: int,
) -> None:
    """Use an idempotency key up, in the caller's transaction. Raises IdempotencyKeyReuse if it is taken."""
    mine = {"account_id": account_id, "key": key}
    _FORGET.count(conn, {**mine, "stale_before": now_ms - idempotency_seconds * 1000})
    row = {**mine, "request_hash": request_hash, "made_id": made_id, "created_at_ms": now_ms}
    if _CLAIM[conn.dialect.name].count(conn, row) == 1:
        return
    earlier = _EARLIER.one(conn, mine)
    same = "the same request" if earlier and earlier.request_hash == request_hash else "another request"
    raise IdempotencyKeyReuse(
        f"this Idempotency-Key was used already, for {same}; list your jobs to find what it made"
    )


def forget_keys(conn: Connection, used_before_ms: int) -> None:
    """Drop idempotency keys that were used before the given time."""
    conn.execute(delete(idempotency_keys).where(idempotency_keys.c.created_at_ms <= used_before_ms))
