"""What operators did, and what came of it: rows are added, read, and never changed."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select

from comfygate.store.rows import AuditRow
from comfygate.store.tables import audit_log


def record(
    conn: Connection, actor: str, operation: str, arguments_json: str, result: str, now_ms: int
) -> None:
    """Add one row. The caller has taken secrets out of all of it."""
    conn.execute(
        insert(audit_log).values(
            at_ms=now_ms, actor=actor, operation=operation, arguments=arguments_json, result=result
        )
    )


def list_audit(conn: Connection, limit: int, before_id: int | None = None) -> list[AuditRow]:
    """The newest rows first, at most `limit`; with `before_id` only older ones than that."""
    query = select(audit_log).order_by(audit_log.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(audit_log.c.id < before_id)
    return [
        AuditRow(row.id, row.at_ms, row.actor, row.operation, row.arguments, row.result)
        for row in conn.execute(query)
    ]
