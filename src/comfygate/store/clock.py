"""The clock that leases count by."""

from __future__ import annotations

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, func, literal


def lease_clock(conn: Connection, now_ms: int) -> ColumnElement[int]:
    """Now, as leases count it: the database's own clock where several machines share it, else ours."""
    if conn.dialect.name == "postgresql":
        return cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    return literal(now_ms, BigInteger)
