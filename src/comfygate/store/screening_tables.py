"""The tables of screening: scores of bytes and of jobs, what is held for review, what counts against whom.

Part of `tables.metadata`; see there for the conventions.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    false,
    text,
)

from comfygate.domain.screening import Finding, Suspicion
from comfygate.store.metadata import RowNumber, metadata, one_of

WAITING = text("state = 'waiting'")
COUNTING = text("forgiven_at_ms IS NULL")
OF_INPUT = text("kind = 'input'")
STATES = ("waiting", "released", "rejected", "expired")
"""Of a review: what the operator made of it, or nothing in time."""

# What bytes score, whoever has them; by model, so that another one looks for itself.
scores = Table(
    "scores",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("score", Double, nullable=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    CheckConstraint("score BETWEEN 0 AND 1", name="score"),
)

# What each picture or clip that a job made screened as, delivered or not.
job_scores = Table(
    "job_scores",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("score", Double, nullable=False),
    Column("finding", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    CheckConstraint("score BETWEEN 0 AND 1", name="score"),
    CheckConstraint(one_of("finding", [finding.value for finding in Finding]), name="finding"),
)

reviews = Table(
    "reviews",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("score", Double, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False),
    Column("decided_at_ms", BigInteger),
    CheckConstraint(one_of("state", list(STATES)), name="state"),
    CheckConstraint("(state = 'waiting') = (decided_at_ms IS NULL)", name="decided"),
    Index("reviews_waiting", "expires_at_ms", sqlite_where=WAITING, postgresql_where=WAITING),
    Index("reviews_by_age", "created_at_ms", "job_id"),
    Index("reviews_by_state", "state", "created_at_ms", "job_id"),
)

# Outputs that nobody but the operator may see; their bytes stay while the review waits.
held_outputs = Table(
    "held_outputs",
    metadata,
    Column("job_id", Text, ForeignKey("reviews.job_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("asset_id", Text, nullable=False, unique=True),
    Column("hash", Text, nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("node_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("output_type", Text, nullable=False),
)

suspicions = Table(
    "suspicions",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("job_id", Text, ForeignKey("jobs.id")),
    Column("hash", Text, nullable=False),
    Column("score", Double, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    # This one suspended the account.
    Column("suspended", Boolean, nullable=False, server_default=false()),
    # The operator lets it count no longer.
    Column("forgiven_at_ms", BigInteger),
    CheckConstraint(one_of("kind", [kind.value for kind in Suspicion]), name="kind"),
    CheckConstraint("(kind = 'input') = (job_id IS NULL)", name="job"),
    Index("suspicions_counting", "account_id", sqlite_where=COUNTING, postgresql_where=COUNTING),
    # Sending the same picture again and again is one suspicion, as is a job, however often it is settled.
    Index(
        "suspicions_one_an_input",
        "account_id",
        "hash",
        unique=True,
        sqlite_where=OF_INPUT,
        postgresql_where=OF_INPUT,
    ),
    Index("suspicions_one_a_job", "job_id", unique=True),
    Index("suspicions_of_account", "account_id", "id"),
    sqlite_autoincrement=True,
)
