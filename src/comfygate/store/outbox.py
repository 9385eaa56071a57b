"""What must be told, written in the transaction in which it happened, and read until it was told.

Rows leave by `delivered`, not by a cursor: on PostgreSQL a lower number can become visible after a higher
one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Integer, bindparam, delete, insert, select, update

from comfygate.store.prepared import OfMany, Prepared
from comfygate.store.rows import JobRow, OutboxRow
from comfygate.store.tables import outbox

_TELL = Prepared(
    insert(outbox).inline(), ["job_id", "account_id", "lane", "kind", "payload", "created_at_ms"]
)
_WAITING = (
    select(outbox)
    .where(outbox.c.delivered_at_ms.is_(None))
    .order_by(outbox.c.id)
    .limit(bindparam("most", type_=Integer))
)
_ALL_WAITING = Prepared(_WAITING)
_DELIVERED = OfMany(
    lambda ids: (
        update(outbox)
        .where(outbox.c.id.in_(ids), outbox.c.delivered_at_ms.is_(None))
        .values(delivered_at_ms=bindparam("now_ms"))
        .returning(outbox.c.id)
    )
)


def tell(conn: Connection, job: JobRow, kind: str, payload: dict[str, Any], now_ms: int) -> None:
    """Record that `kind` happened to `job`."""
    _TELL.count(
        conn,
        {
            "job_id": job.id,
            "account_id": job.account_id,
            "lane": job.lane,
            "kind": kind,
            "payload": json.dumps(payload),
            "created_at_ms": now_ms,
        },
    )


def waiting(conn: Connection, limit: int, past_jobs: Collection[str] = ()) -> list[OutboxRow]:
    """The oldest undelivered rows, at most `limit`, in order, leaving out those of `past_jobs`."""
    if past_jobs:
        found = conn.execute(_WAITING.where(outbox.c.job_id.not_in(past_jobs)), {"most": limit}).all()
    else:
        found = _ALL_WAITING.rows(conn, {"most": limit})
    return [
        OutboxRow(
            id=row.id,
            job_id=row.job_id,
            account_id=row.account_id,
            lane=row.lane,
            kind=row.kind,
            payload=json.loads(row.payload),
            created_at_ms=row.created_at_ms,
        )
        for row in found
    ]


def mark_delivered(conn: Connection, ids: Sequence[int], now_ms: int) -> set[int]:
    """Note that these rows were told. Returns those of them of which that was not noted before."""
    return {row.id for row in _DELIVERED.rows(conn, ids, {"now_ms": now_ms})}


def prune(conn: Connection, delivered_before_ms: int) -> int:
    """Forget rows that were delivered before the given time. Returns how many."""
    return conn.execute(delete(outbox).where(outbox.c.delivered_at_ms < delivered_before_ms)).rowcount
