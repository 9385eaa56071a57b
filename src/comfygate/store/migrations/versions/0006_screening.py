"""Scores of pictures, what jobs made, reviews, and what counts against accounts.

Only adds tables: an older replica goes on working beside it, though it keeps no bytes for reviews.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    _scores()
    _reviews()
    _suspicions()


def _scores() -> None:
    op.create_table(
        "scores",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("score BETWEEN 0 AND 1", name=op.f("scores_score_check")),
        sa.PrimaryKeyConstraint("hash", "model", name=op.f("scores_pkey")),
    )
    op.create_index(op.f("scores_at_ms"), "scores", ["at_ms"])
    op.create_table(
        "job_scores",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("finding", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("score BETWEEN 0 AND 1", name=op.f("job_scores_score_check")),
        sa.CheckConstraint("finding IN ('explicit', 'safe')", name=op.f("job_scores_finding_check")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("job_scores_job_id_fkey")),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("job_scores_pkey")),
    )


def _reviews() -> None:
    op.create_table(
        "reviews",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('expired', 'rejected', 'released', 'waiting')", name=op.f("reviews_state_check")
        ),
        sa.CheckConstraint(
            "(state = 'waiting') = (decided_at_ms IS NULL)", name=op.f("reviews_decided_check")
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("reviews_job_id_fkey")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("reviews_account_id_fkey")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("reviews_pkey")),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "reviews_waiting", "reviews", ["expires_at_ms"], sqlite_where=waiting, postgresql_where=waiting
    )
    op.create_table(
        "held_outputs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("asset_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("output_type", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["reviews.job_id"], name=op.f("held_outputs_job_id_fkey")),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("held_outputs_pkey")),
        sa.UniqueConstraint("asset_id", name=op.f("held_outputs_asset_id_key")),
    )
    op.create_index(op.f("held_outputs_hash"), "held_outputs", ["hash"])


def _suspicions() -> None:
    op.create_table(
        "suspicions",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("suspended", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("forgiven_at_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("kind IN ('input', 'output', 'rule')", name=op.f("suspicions_kind_check")),
        sa.CheckConstraint("(kind = 'input') = (job_id IS NULL)", name=op.f("suspicions_job_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("suspicions_account_id_fkey")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("suspicions_job_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("suspicions_pkey")),
        sqlite_autoincrement=True,
    )
    counting, of_input = sa.text("forgiven_at_ms IS NULL"), sa.text("kind = 'input'")
    op.create_index(
        "suspicions_counting", "suspicions", ["account_id"], sqlite_where=counting, postgresql_where=counting
    )
    op.create_index(
        "suspicions_one_an_input",
        "suspicions",
        ["account_id", "hash"],
        unique=True,
        sqlite_where=of_input,
        postgresql_where=of_input,
    )
    op.create_index("suspicions_one_a_job", "suspicions", ["job_id"], unique=True)


def downgrade() -> None:
    """Undo. What is held for review is lost."""
    for table in ("suspicions", "held_outputs", "reviews", "job_scores", "scores"):
        op.drop_table(table)
