"""Statements for many rows at once, run by the driver: one look, one INSERT, one UPDATE for all of them.

On SQLite every row that comes from a statement gives the interpreter away and waits to have it back, so there
the rows of a look come as one JSON value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    FromClause,
    Integer,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    insert,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects import sqlite

from comfygate.store.prepared import Prepared, executed

SQLITE: Final = "sqlite"
ROWS_MAX: Final = 128
"""Rows of one INSERT on SQLite, whose text depends on their number; a power of two."""


def many(dialect: str, **columns: type[Text] | type[BigInteger]) -> FromClause:
    """The rows that `given` hands over, as a table of these columns."""
    if dialect == SQLITE:
        each = func.json_each(bindparam("many")).table_valued("value")
        parts = [
            type_coerce(func.json_extract(each.c.value, literal_column(f"'$[{place}]'")), kind()).label(name)
            for place, (name, kind) in enumerate(columns.items())
        ]
        return select(*parts).subquery("many")
    arrays = [cast(bindparam(f"many_{name}", type_=Text), ARRAY(kind)) for name, kind in columns.items()]
    named = [column(name, kind) for name, kind in columns.items()]
    return func.unnest(*arrays).table_valued(*named, name="many").render_derived()


def given(dialect: str, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Rows as the values of a statement that has them by `many`."""
    if dialect == SQLITE:
        return {"many": json.dumps(rows)}
    return {
        f"many_{name}": _array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)
    }


def _array(values: Sequence[str | int | None]) -> str:
    """A PostgreSQL array as text; the driver's own way takes 30 us for a graph."""
    return f"{{{','.join(map(_element, values))}}}"


def _element(value: str | int | None) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return "NULL" if value is None else str(value)


class Look:
    """A SELECT that is asked about many rows of `keys` at once; `make` gets them as a table."""

    def __init__(
        self, make: Callable[[FromClause], Select[Any]], **keys: type[Text] | type[BigInteger]
    ) -> None:
        self._names = list(keys)
        self._postgresql = Prepared(make(many("postgresql", **keys)))
        found = make(many(SQLITE, **keys)).subquery()
        packed = func.json_group_array(func.json_array(*found.c), type_=Text()).label("rows")
        self._sqlite = Prepared(select(packed))

    def rows(self, conn: Connection, keys: Sequence[Sequence[Any]], **values: Any) -> list[Any]:
        """What it finds, in any order: tuples, or lists on SQLite."""
        asked = values | given(conn.dialect.name, self._names, keys)
        if conn.dialect.name == SQLITE:
            found: list[Any] = json.loads(self._sqlite.one(conn, asked).rows)
            return found
        return self._postgresql.rows(conn, asked)


class Insert:
    """An INSERT of many rows of text and whole numbers into some columns of a table."""

    def __init__(self, table: Table, *columns: str) -> None:
        self._columns = columns
        kinds = {name: BigInteger if isinstance(table.c[name].type, Integer) else Text for name in columns}
        source = many("postgresql", **kinds)
        rows = select(*source.c)
        self._plain = Prepared(insert(table).from_select(columns, rows))
        key = next(iter(table.primary_key.columns))
        self._numbered = Prepared(insert(table).from_select(columns, rows).returning(key))
        quoted = sqlite.dialect().identifier_preparer.quote
        self._head = f"INSERT INTO {quoted(table.name)} ({', '.join(map(quoted, columns))}) VALUES "  # noqa: S608
        self._row = f"({', '.join('?' * len(columns))})"

    def run(self, conn: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Write the rows."""
        if conn.dialect.name == SQLITE:
            self._on_sqlite(conn, rows)
        else:
            self._plain.count(conn, given(conn.dialect.name, self._columns, rows))

    def numbered(self, conn: Connection, rows: Sequence[Sequence[Any]]) -> list[int]:
        """Write the rows of a table whose key is a number; those that the database gave, in their order."""
        if conn.dialect.name == SQLITE:
            return self._on_sqlite(conn, rows)
        # They are inserted in the order of the arrays, but nobody promises the order in which they come back.
        found = self._numbered.rows(conn, given(conn.dialect.name, self._columns, rows))
        return sorted(row[0] for row in found)

    def _on_sqlite(self, conn: Connection, rows: Sequence[Sequence[Any]]) -> list[int]:
        numbers: list[int] = []
        start, size = 0, ROWS_MAX
        while start < len(rows):
            while size > len(rows) - start:
                size //= 2
            text = self._head + ", ".join([self._row] * size)
            values = [value for row in rows[start : start + size] for value in row]
            last = executed(conn, text, values).lastrowid
            # Nobody else writes, so they follow each other.
            numbers += range(last - size + 1, last + 1)
            start += size
        return numbers
