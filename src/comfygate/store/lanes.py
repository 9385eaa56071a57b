"""What an operator does to lanes: pause and resume. A lane without a row here is simply open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.store.tables import IS_QUEUED, jobs, lanes

_WAITS = (
    select(literal(1))
    .where(
        jobs.c.lane == bindparam("lane"),
        IS_QUEUED,
        ~select(lanes.c.name)
        .where(lanes.c.name == bindparam("lane"), lanes.c.paused_at_ms.is_not(None))
        .exists(),
    )
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane's state. `unable_since_at_ms`: since when no server can take a job of it. Times in ms since
    1970."""

    name: str
    paused_at_ms: int | None = None
    unable_since_at_ms: int | None = None


def list_lanes(conn: Connection) -> dict[str, LaneRow]:
    """Every lane that something was ever noted of, by name."""
    return {
        row.name: LaneRow(row.name, row.paused_at_ms, row.unable_since_at_ms)
        for row in conn.execute(select(lanes).order_by(lanes.c.name))
    }


def lane_row(conn: Connection, name: str) -> LaneRow:
    """One lane's state."""
    row = conn.execute(select(lanes).where(lanes.c.name == name)).one_or_none()
    return LaneRow(name) if row is None else LaneRow(name, row.paused_at_ms, row.unable_since_at_ms)


def pause(conn: Connection, name: str, now_ms: int) -> LaneRow:
    """Give no job of the lane to any server from now on. One that is paused keeps its time."""
    make_row(conn, name)
    conn.execute(
        update(lanes).where(lanes.c.name == name, lanes.c.paused_at_ms.is_(None)).values(paused_at_ms=now_ms)
    )
    return lane_row(conn, name)


def resume(conn: Connection, name: str) -> LaneRow:
    """Let the lane's jobs go to servers again. One that is not paused stays as it is."""
    conn.execute(update(lanes).where(lanes.c.name == name).values(paused_at_ms=None))
    return lane_row(conn, name)


def make_row(conn: Connection, name: str) -> None:
    """See to it that the lane has a row."""
    if conn.execute(select(lanes.c.name).where(lanes.c.name == name)).scalar() is not None:
        return
    try:
        with conn.begin_nested():
            conn.execute(insert(lanes).values(name=name))
    except IntegrityError:
        # Another replica was the first, which is as good.
        return


def work_waits(conn: Connection, names: Collection[str]) -> bool:
    """Whether a job is queued in one of these lanes that is not paused; who may run it is another
    question."""
    return any(conn.execute(_WAITS, {"lane": name}).scalar() is not None for name in names)
