"""What must be told, written in the transaction in which it happened, and read until it was told.

Rows leave by `delivered`, not by a cursor: on PostgreSQL a lower number can become visible after a higher
one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from comfygate.store.prepared import Prepared
from comfygate.store.rows import JobRow, OutboxRow
from comfygate.store.tables import outbox

_TELL = Prepared(
    insert(outbox).inline(), ["job_id", "account_id", "lane", "kind", "payload", "created_at_ms"]
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
    query = select(outbox).where(outbox.c.delivered_at_ms.is_(None)).order_by(outbox.c.id).limit(limit)
    if past_jobs:
        query = query.where(outbox.c.job_id.not_in(past_jobs))
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
        for row in conn.execute(query)
    ]


def mark_delivered(conn: Connection, ids: Sequence[int], now_ms: int) -> set[int]:
    """Note that these rows were told. Returns those of them of which that was not noted before."""
    marked = (
        update(outbox)
        .where(outbox.c.id.in_(ids), outbox.c.delivered_at_ms.is_(None))
        .values(delivered_at_ms=now_ms)
    )
    return set(conn.execute(marked.returning(outbox.c.id)).scalars())


def prune(conn: Connection, delivered_before_ms: int) -> int:
    """Forget rows that were delivered before the given time. Returns how many."""
    return conn.execute(delete(outbox).where(outbox.c.delivered_at_ms < delivered_before_ms)).rowcount
