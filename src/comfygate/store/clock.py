"""The clock that leases count by."""

from __future__ import annotations

from sqlalchemy import BigInteger, ColumnElement, Connection, bindparam, cast, func, literal

_OF_THE_DATABASE = cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
_BOUND = bindparam("clock", type_=BigInteger)


def lease_clock(conn: Connection, now_ms: int) -> ColumnElement[int]:
    """Now, as leases count it: the database's own clock where several machines share it, else ours."""
    if conn.dialect.name == "postgresql":
        return _OF_THE_DATABASE
    return literal(now_ms, BigInteger)


def clock_of(dialect: str) -> ColumnElement[int]:
    """The same for a statement that is built once: where it is ours, it is bound as `clock`."""
    return _OF_THE_DATABASE if dialect == "postgresql" else _BOUND
