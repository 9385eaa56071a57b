"""The shape of jobs, run times by shape and server, and estimates with their errors.

Only adds: a replica of an older schema goes on working beside it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_ENDED = sa.text("ended_at_ms IS NOT NULL")


def upgrade() -> None:
    """Apply."""
    op.add_column("jobs", sa.Column("shape", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "run_samples",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("samples", sa.Text(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "workflow", "shape", "server", name=op.f("run_samples_pkey")),
    )
    op.create_index(op.f("run_samples_updated_at_ms"), "run_samples", ["updated_at_ms"])
    op.create_index("run_samples_newest_in_lane", "run_samples", ["lane", "updated_at_ms"])
    op.create_table(
        "etas",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("p50_ms", sa.BigInteger(), nullable=False),
        sa.Column("p90_ms", sa.BigInteger(), nullable=False),
        sa.Column("model_p50_ms", sa.BigInteger(), nullable=False),
        sa.Column("model_p90_ms", sa.BigInteger(), nullable=False),
        sa.Column("took_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("job_id", name=op.f("etas_pkey")),
    )
    op.create_index(op.f("etas_at_ms"), "etas", ["at_ms"])
    op.create_index(
        "etas_judged",
        "etas",
        ["lane", "priority", "ended_at_ms"],
        sqlite_where=_ENDED,
        postgresql_where=_ENDED,
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("etas")
    op.drop_table("run_samples")
    op.drop_column("jobs", "shape")
