"""Operations: roles, changes of servers' states, aggregates by time, and indexes for the operator's lists.

Only adds: a replica of an older schema goes on working beside it. Jobs that it tells the end of are not in
the aggregates, nor is anything from before this migration.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ENDED = sa.text("completed_at_ms IS NOT NULL")
_BAD = sa.text("outcome IN ('failed', 'lost')")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "staff",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("since_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("role IN ('admin', 'operator')", name=op.f("staff_role_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("staff_account_id_fkey")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("staff_pkey")),
    )
    op.create_table(
        "server_changes",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("server_changes_pkey")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("server_changes_at_ms"), "server_changes", ["at_ms"])
    op.create_index("server_changes_of_server", "server_changes", ["server", "id"])
    op.create_table(
        "uncounted",
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.CheckConstraint("what IN ('entry', 'job')", name=op.f("uncounted_what_check")),
        sa.PrimaryKeyConstraint("what", "id", name=op.f("uncounted_pkey")),
    )
    op.create_table(
        "buckets",
        sa.Column("grain", sa.Text(), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("bin", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("grain IN ('day', 'hour', 'minute')", name=op.f("buckets_grain_check")),
        sa.CheckConstraint(
            "measure IN ('blame', 'busy', 'credits', 'ended', 'eta', 'wait')",
            name=op.f("buckets_measure_check"),
        ),
        sa.PrimaryKeyConstraint(
            "grain", "measure", "at_ms", "series", "part", "bin", name=op.f("buckets_pkey")
        ),
    )
    op.create_index(
        "jobs_ended", "jobs", ["lane", "state", "ticket"], sqlite_where=_ENDED, postgresql_where=_ENDED
    )
    op.create_index(
        "attempts_gone_wrong",
        "attempts",
        ["server", "ended_at_ms"],
        sqlite_where=_BAD,
        postgresql_where=_BAD,
    )
    op.create_index("accounts_by_age", "accounts", ["created_at_ms", "id"])
    op.create_index("reviews_by_age", "reviews", ["created_at_ms", "job_id"])
    op.create_index("reviews_by_state", "reviews", ["state", "created_at_ms", "job_id"])
    op.create_index("suspicions_of_account", "suspicions", ["account_id", "id"])


def downgrade() -> None:
    """Undo. Who operates, and what was counted, is forgotten."""
    op.drop_index("suspicions_of_account", "suspicions")
    op.drop_index("reviews_by_state", "reviews")
    op.drop_index("reviews_by_age", "reviews")
    op.drop_index("accounts_by_age", "accounts")
    op.drop_index("attempts_gone_wrong", "attempts")
    op.drop_index("jobs_ended", "jobs")
    for table in ("buckets", "uncounted", "server_changes", "staff"):
        op.drop_table(table)
