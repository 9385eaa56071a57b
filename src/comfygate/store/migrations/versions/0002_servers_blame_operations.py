"""Leases of servers, their health, blame and retries, lanes that pause, and what operators did.

Only adds: a replica of schema 0001 goes on working beside it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_BLAME = (
    "blame IN ('hang', 'input', 'interrupted', 'missing', 'our_bug', 'out_of_memory', 'poisoned_gpu',"
    " 'policy', 'server_lost', 'storage', 'unreachable', 'workflow')"
)


def upgrade() -> None:
    """Apply."""
    op.add_column("servers", sa.Column("drained_at_ms", sa.BigInteger(), nullable=True))
    op.add_column("jobs", sa.Column("workflow", sa.Text(), server_default="", nullable=False))
    op.add_column("jobs", sa.Column("retry_of", sa.Text(), nullable=True))
    _attempts()
    _servers()
    _operations()


def _attempts() -> None:
    op.add_column("attempts", sa.Column("elsewhere", sa.Boolean(), server_default=sa.false(), nullable=False))
    if op.get_bind().dialect.name == "sqlite":
        # SQLite takes a CHECK only together with the column it comes with.
        rule = f"CONSTRAINT attempts_blame_check CHECK ({_BLAME})"
        op.execute(f"ALTER TABLE attempts ADD COLUMN blame TEXT {rule}")
    else:
        op.add_column("attempts", sa.Column("blame", sa.Text(), nullable=True))
        op.create_check_constraint(op.f("attempts_blame_check"), "attempts", _BLAME)
    op.create_index(
        "attempts_elsewhere",
        "attempts",
        ["server", "job_id"],
        sqlite_where=sa.text("elsewhere"),
        postgresql_where=sa.text("elsewhere"),
    )


def _servers() -> None:
    op.create_table(
        "server_health",
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("version", sa.Text(), server_default="", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("trips", sa.Integer(), server_default="0", nullable=False),
        sa.Column("quarantined_until_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("changed_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('down', 'draining', 'quarantined', 'suspect', 'up')",
            name=op.f("server_health_state_check"),
        ),
        sa.PrimaryKeyConstraint("server", name=op.f("server_health_pkey")),
    )
    op.create_table(
        "pair_quarantines",
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("until_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workflow", "server", name=op.f("pair_quarantines_pkey")),
    )
    op.create_table(
        "run_times",
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("usual_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workflow", name=op.f("run_times_pkey")),
    )
    op.create_index(op.f("run_times_updated_at_ms"), "run_times", ["updated_at_ms"])


def _operations() -> None:
    op.create_table(
        "lanes",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("paused_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("unable_since_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("lanes_pkey")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("until_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("leases_pkey")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("arguments", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("audit_log_pkey")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("audit_log_at_ms"), "audit_log", ["at_ms"])


def downgrade() -> None:
    """Undo."""
    for table in ("audit_log", "leases", "lanes", "run_times", "pair_quarantines", "server_health"):
        op.drop_table(table)
    op.drop_index("attempts_elsewhere", "attempts")
    for column in ("blame", "elsewhere"):
        op.drop_column("attempts", column)
    op.drop_column("jobs", "retry_of")
    op.drop_column("jobs", "workflow")
    op.drop_column("servers", "drained_at_ms")
