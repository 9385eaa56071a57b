"""Statements that run thousands of times a second: written in Core, compiled once for each engine, and run by
the driver's own cursor.

SQLAlchemy takes 54 µs to execute an INSERT that was built before, the driver 8 (docs/decisions/0014). For
statements of fixed text over plain columns alone: text and numbers. What the driver raises comes out as
SQLAlchemy's error, as from `Connection.execute`.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, Dialect, Executable, Float, Integer, String, bindparam
from sqlalchemy.exc import DBAPIError

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement's text for one engine, and how its values are handed to the driver."""

    text: str
    given: Callable[[Values], Any]


class Prepared:
    """A statement; `columns` are the values' names where the statement does not say them (INSERT)."""

    def __init__(self, statement: Executable, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = list(columns) if columns is not None else None
        self._compiled: dict[str, _Compiled] = {}
        returned = getattr(statement, "exported_columns", ())
        for column in returned:
            # Others would need SQLAlchemy's processors: false for a 0, say.
            assert isinstance(column.type, Float | Integer | String), f"{column} is not plain"  # noqa: S101
        names = [column.key for column in returned]
        self._row: Any = namedtuple("Row", names) if names else tuple

    def rows(self, conn: Connection, values: Values) -> list[Any]:
        """What it returns, as named tuples."""
        return [self._row._make(row) for row in self._run(conn, values)[0]]

    def one(self, conn: Connection, values: Values) -> Any:
        """The first row that it returns, or None."""
        found = self._run(conn, values)[0]
        return self._row._make(found[0]) if found else None

    def scalar(self, conn: Connection, values: Values) -> Any:
        """The first value of the first row that it returns, or None."""
        found = self._run(conn, values)[0]
        return found[0][0] if found else None

    def count(self, conn: Connection, values: Values) -> int:
        """How many rows it changed; of a statement that returns none."""
        return self._run(conn, values)[1]

    def _run(self, conn: Connection, values: Values) -> tuple[list[Any], int]:
        if conn.dispatch.before_cursor_execute:
            # Somebody listens to what is executed: tests of plans, and counts.
            result = conn.execute(self._statement, dict(values))
            return (list(result.all()), -1) if result.returns_rows else ([], result.rowcount)
        ready = self._compiled.get(conn.dialect.name) or self._compile(conn.dialect)
        cursor = _executed(conn, ready.text, ready.given(values))
        try:
            if cursor.description is None:
                return [], cursor.rowcount
            return cursor.fetchall(), -1
        except conn.dialect.loaded_dbapi.Error as error:
            raise as_sqlalchemy(conn, ready.text, conn.connection.dbapi_connection, error) from error

    def _compile(self, dialect: Dialect) -> _Compiled:
        statement: Any = self._statement
        known = statement.compile(dialect=dialect, column_keys=self._columns)
        assert "POSTCOMPILE" not in str(known), f"{known} is of no fixed text"  # noqa: S101
        binds: Mapping[str, Any] = known.binds
        fixed = {name: bind.value for name, bind in binds.items() if not bind.required}
        if known.positional:
            names: tuple[str, ...] = tuple(known.positiontup)

            def given(values: Values) -> Any:
                full = {**fixed, **values}
                return [full[name] for name in names]
        else:

            def given(values: Values) -> Any:
                return {**fixed, **values}

        ready = self._compiled[dialect.name] = _Compiled(str(known), given)
        return ready


class OfMany:
    """A statement about any number of values, prepared for 1, 2, 4, … of them: a list is filled up with its
    last one. `about` makes it of the parameters to compare with."""

    def __init__(self, about: Callable[[list[BindParameter[Any]]], Executable]) -> None:
        self._about = about
        self._of: dict[int, Prepared] = {}

    def count(self, conn: Connection, many: Sequence[int | str], values: Values | None = None) -> int:
        """How many rows it changed; of a statement that returns none."""
        if not many:
            return 0
        statement, given = self._filled(many, values)
        return statement.count(conn, given)

    def rows(self, conn: Connection, many: Sequence[int | str], values: Values | None = None) -> list[Any]:
        """What it returns, as named tuples."""
        if not many:
            return []
        statement, given = self._filled(many, values)
        return statement.rows(conn, given)

    def _filled(self, many: Sequence[int | str], values: Values | None) -> tuple[Prepared, Values]:
        size = 1 << (len(many) - 1).bit_length()
        named = {f"one_{number}": many[min(number, len(many) - 1)] for number in range(size)}
        known = self._of.get(size)
        if known is None:
            known = self._of[size] = Prepared(self._about([bindparam(name) for name in named]))
        return known, {**named, **(values or {})}


def executed(conn: Connection, text: str, values: Sequence[Any]) -> Any:
    """Run a statement by the driver; its cursor, or what has the same. Raises SQLAlchemy's errors."""
    if conn.dispatch.before_cursor_execute:
        return conn.exec_driver_sql(text, tuple(values))
    return _executed(conn, text, values)


def _executed(conn: Connection, text: str, values: Any) -> Any:
    if not conn.in_transaction():
        conn.begin()
    driver: Any = conn.connection.dbapi_connection
    try:
        return driver.execute(text, values)
    except conn.dialect.loaded_dbapi.Error as error:
        raise as_sqlalchemy(conn, text, driver, error) from error


def say(conn: Connection, text: str) -> None:
    """Run a statement without values by the driver alone. Raises SQLAlchemy's errors."""
    driver: Any = conn.connection.dbapi_connection
    try:
        driver.execute(text)
    except conn.dialect.loaded_dbapi.Error as error:
        raise as_sqlalchemy(conn, text, driver, error) from error


def as_sqlalchemy(conn: Connection, text: str, driver: Any, error: Exception) -> BaseException:
    """A driver's error as SQLAlchemy raises it; the connection is given up where the error says so."""
    lost = conn.dialect.is_disconnect(error, driver, None)  # type: ignore[arg-type]  # any driver's error
    if lost:
        conn.invalidate(error)
    return DBAPIError.instance(
        text,
        None,
        error,
        conn.dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=conn.dialect,
    )
