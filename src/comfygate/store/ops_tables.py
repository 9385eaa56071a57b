"""The tables of operations: who operates, how servers came to stand as they do, and counted aggregates.

Part of `tables.metadata`; see there for the conventions.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text

from comfygate.domain.buckets import Grain, Measure
from comfygate.domain.staff import Role
from comfygate.store.metadata import RowNumber, metadata, one_of

# Accounts that may operate; who has no row here is a user. Not a column of accounts: requests of users, which
# are many, need not read it.
staff = Table(
    "staff",
    metadata,
    Column("account_id", Text, ForeignKey("accounts.id"), primary_key=True),
    Column("role", Text, nullable=False),
    Column("since_at_ms", BigInteger, nullable=False),
    CheckConstraint(one_of("role", [Role.OPERATOR.value, Role.ADMIN.value]), name="role"),
)

# Each change of a server's state, as its owner wrote it; `server_health` has the last one only.
server_changes = Table(
    "server_changes",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("server", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("server_changes_of_server", "server", "id"),
    sqlite_autoincrement=True,
)

# What is to be added to the aggregates, once: a job that ended, or an entry that is of no job. It is gone in
# the transaction that adds it.
uncounted = Table(
    "uncounted",
    metadata,
    Column("what", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    CheckConstraint(one_of("what", ["entry", "job"]), name="what"),
)

# Sums over stretches of time. What `series`, `part` and `bin` hold depends on the measure: domain/buckets.py.
buckets = Table(
    "buckets",
    metadata,
    Column("grain", Text, primary_key=True),
    Column("measure", Text, primary_key=True),
    Column("at_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("series", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("bin", Integer, primary_key=True, autoincrement=False),
    Column("times", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    CheckConstraint(one_of("grain", [grain.value for grain in Grain]), name="grain"),
    CheckConstraint(one_of("measure", [measure.value for measure in Measure]), name="measure"),
)
