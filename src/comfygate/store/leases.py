"""Leases: what only one replica may do at a time, for as long as it renews; by the database's clock.

No clocks of machines need to agree. Whoever finds a lease run out takes it; its old owner hears of that
when it renews, and its writes are fenced besides.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError

from comfygate.store.clock import clock_of, lease_clock
from comfygate.store.prepared import Prepared
from comfygate.store.tables import leases

_THESE = leases.c.name.in_(bindparam("names", expanding=True))
_HELD = {
    dialect: select(leases.c.name).where(
        leases.c.name == bindparam("called"),
        leases.c.owner == bindparam("by"),
        leases.c.until_at_ms >= clock_of(dialect),
    )
    for dialect in ("sqlite", "postgresql")
}
_IS_OF = {dialect: Prepared(query) for dialect, query in _HELD.items()}
_HOLDS = {dialect: Prepared(query.with_for_update(read=True)) for dialect, query in _HELD.items()}


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


def take_all(
    conn: Connection, names: Collection[str], owner: str, lease_ms: int, now_ms: int
) -> frozenset[str]:
    """As `take`, of many at once in a few statements, however many. Returns those that are ours now."""
    if not names:
        return frozenset()
    clock = lease_clock(conn, now_ms)
    given = {"names": sorted(names)}
    to_be_had = or_(leases.c.owner == owner, leases.c.until_at_ms < clock)
    # Locked in one order: of two replicas that take the same ones, neither waits for the other for ever.
    locked = select(leases.c.name).where(_THESE, to_be_had).order_by(leases.c.name).with_for_update()
    ours = set(conn.execute(locked, given).scalars())
    if ours:
        renewed = update(leases).where(_THESE).values(owner=owner, until_at_ms=clock + lease_ms)
        conn.execute(renewed, {"names": sorted(ours)})
    if len(ours) < len(given["names"]):
        known = set(conn.execute(select(leases.c.name).where(_THESE), given).scalars())
        ours |= _make_all(conn, sorted(set(names) - known), owner, lease_ms, now_ms)
    return frozenset(ours)


def _make_all(conn: Connection, names: Collection[str], owner: str, lease_ms: int, now_ms: int) -> set[str]:
    """Of the leases that nobody ever had those that another replica was not the first to take."""
    if not names:
        return set()
    make = sqlite_insert if conn.dialect.name == "sqlite" else postgresql_insert
    until = lease_clock(conn, now_ms) + lease_ms
    row = make(leases).values(name=bindparam("called"), owner=owner, until_at_ms=until)
    made = row.on_conflict_do_nothing().returning(leases.c.name)
    return set(conn.execute(made, [{"called": name} for name in names]).scalars())


def holds(conn: Connection, name: str, owner: str, now_ms: int) -> bool:
    """Whether the lease is ours; it stays so until the caller's transaction ends."""
    given = {"called": name, "by": owner, "clock": now_ms}
    return _HOLDS[conn.dialect.name].one(conn, given) is not None


def is_of(conn: Connection, name: str, owner: str, now_ms: int) -> bool:
    """Whether the lease is this owner's now. For those who only read: nothing keeps it so."""
    given = {"called": name, "by": owner, "clock": now_ms}
    return _IS_OF[conn.dialect.name].one(conn, given) is not None


def owners(conn: Connection, now_ms: int) -> dict[str, str]:
    """Who has which lease now, of all that somebody has."""
    query = select(leases.c.name, leases.c.owner).where(leases.c.until_at_ms >= lease_clock(conn, now_ms))
    return {row.name: row.owner for row in conn.execute(query)}


def release(conn: Connection, name: str, owner: str) -> None:
    """Give one lease back, if it is ours."""
    conn.execute(delete(leases).where(leases.c.name == name, leases.c.owner == owner))


def release_all(conn: Connection, owner: str) -> None:
    """Give everything back: this process stops."""
    conn.execute(delete(leases).where(leases.c.owner == owner))


def release_others(conn: Connection, owner: str) -> None:
    """End the leases of everybody else, who is known to be dead: SQLite is open in one process at a time."""
    conn.execute(delete(leases).where(leases.c.owner != owner))
