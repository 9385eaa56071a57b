"""Leases: what only one replica may do at a time, for as long as it renews; by the database's clock.

No clocks of machines need to agree. Whoever finds a lease run out takes it; its old owner hears of that
when it renews, and its writes are fenced besides.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.store.clock import lease_clock
from comfygate.store.tables import leases


def take(conn: Connection, name: str, owner: str, lease_ms: int, now_ms: int) -> bool:
    """Take the lease if it is free, has run out, or is ours already; then it is ours for `lease_ms` from
    now."""
    clock = lease_clock(conn, now_ms)
    taken = conn.execute(
        update(leases)
        .where(leases.c.name == name, or_(leases.c.owner == owner, leases.c.until_at_ms < clock))
        .values(owner=owner, until_at_ms=clock + lease_ms)
    )
    if taken.rowcount:
        return True
    if conn.execute(select(leases.c.name).where(leases.c.name == name)).scalar() is not None:
        return False
    try:
        with conn.begin_nested():
            conn.execute(insert(leases).values(name=name, owner=owner, until_at_ms=clock + lease_ms))
    except IntegrityError:
        # Another replica was the first.
        return False
    return True


def holds(conn: Connection, name: str, owner: str, now_ms: int) -> bool:
    """Whether the lease is ours; it stays so until the caller's transaction ends."""
    query = (
        select(leases.c.name)
        .where(
            leases.c.name == name, leases.c.owner == owner, leases.c.until_at_ms >= lease_clock(conn, now_ms)
        )
        .with_for_update(read=True)
    )
    return conn.execute(query).scalar() is not None


def owner_of(conn: Connection, name: str, now_ms: int) -> str | None:
    """Who has the lease now; None when nobody has."""
    owner: str | None = conn.execute(
        select(leases.c.owner).where(leases.c.name == name, leases.c.until_at_ms >= lease_clock(conn, now_ms))
    ).scalar()
    return owner


def release(conn: Connection, name: str, owner: str) -> None:
    """Give one lease back, if it is ours."""
    conn.execute(delete(leases).where(leases.c.name == name, leases.c.owner == owner))


def release_all(conn: Connection, owner: str) -> None:
    """Give everything back: this process stops."""
    conn.execute(delete(leases).where(leases.c.owner == owner))


def release_others(conn: Connection, owner: str) -> None:
    """End the leases of everybody else, who is known to be dead: SQLite is open in one process at a time."""
    conn.execute(delete(leases).where(leases.c.owner != owner))
