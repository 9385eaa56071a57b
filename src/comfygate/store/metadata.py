"""What all tables share."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData

metadata = MetaData(
    naming_convention={
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
    }
)

# SQLite gives a rowid alias, hence an automatic number, to INTEGER only; PostgreSQL needs 64 bits.
RowNumber = BigInteger().with_variant(Integer(), "sqlite")


def one_of(column: str, values: list[str]) -> str:
    """A CHECK that the column holds one of the values."""
    quoted = ", ".join(f"'{value}'" for value in sorted(values))
    return f"{column} IN ({quoted})"
