"""The clock that leases count by."""

from __future__ import annotations

from sqlalchemy import BigInteger, ColumnElement, Connection, bindparam, cast, func, literal


def lease_clock_of(dialect: str) -> ColumnElement[int]:
    """The clock of leases in a statement that is built once a dialect; it binds `now_ms` on SQLite."""
    if dialect == "postgresql":
        return cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    return bindparam("now_ms", type_=BigInteger)


def lease_clock(conn: Connection, now_ms: int) -> ColumnElement[int]:
    """Now, as leases count it: the database's own clock where several machines share it, else ours."""
    if conn.dialect.name == "postgresql":
        return lease_clock_of("postgresql")
    return literal(now_ms, BigInteger)
