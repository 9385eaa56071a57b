"""Messages of the operator to everybody: how far each got."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from comfygate.domain.errors import Conflict
from comfygate.store.bot_tables import broadcasts


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A message to everybody. Everybody up to Telegram id `cursor` was told."""

    id: int
    text: str
    made_by: int
    per_second: int
    state: str
    cursor: int
    sent: int
    failed: int


def _broadcast(row: Row[Any]) -> Broadcast:
    return Broadcast(
        row.id, row.text, row.made_by, row.per_second, row.state, row.cursor, row.sent, row.failed
    )


def running(conn: Connection) -> Broadcast | None:
    """The broadcast that is being sent."""
    row = conn.execute(select(broadcasts).where(broadcasts.c.state == "running")).first()
    return None if row is None else _broadcast(row)


def begin(conn: Connection, text: str, made_by: int, per_second: int, now_ms: int) -> Broadcast:
    """Begin a broadcast. Raises Conflict while another one is being sent."""
    if (other := running(conn)) is not None:
        raise Conflict(f"broadcast {other.id} is being sent ({other.sent} so far); stop it first")
    conn.execute(
        insert(broadcasts).values(
            text=text, made_by=made_by, per_second=per_second, state="running", cursor=0, created_at_ms=now_ms
        )
    )
    begun = running(conn)
    if begun is None:
        message = "a broadcast was just written and is not there"
        raise AssertionError(message)
    return begun


def move_on(conn: Connection, broadcast_id: int, cursor: int, *, arrived: bool) -> bool:
    """The person `cursor` was told, or could not be. False once the broadcast was stopped."""
    counted = {"sent": broadcasts.c.sent + 1} if arrived else {"failed": broadcasts.c.failed + 1}
    changed = conn.execute(
        update(broadcasts)
        .where(broadcasts.c.id == broadcast_id, broadcasts.c.cursor < cursor)
        .values(cursor=cursor, **counted)
    )
    state = conn.execute(select(broadcasts.c.state).where(broadcasts.c.id == broadcast_id)).scalar()
    return changed.rowcount == 1 and state == "running"


def end(conn: Connection, broadcast_id: int, state: str, now_ms: int) -> Broadcast:
    """End a running broadcast: `done` or `stopped`."""
    conn.execute(
        update(broadcasts)
        .where(broadcasts.c.id == broadcast_id, broadcasts.c.state == "running")
        .values(state=state, ended_at_ms=now_ms)
    )
    return _broadcast(conn.execute(select(broadcasts).where(broadcasts.c.id == broadcast_id)).one())
