"""Turns: fair share between accounts, a bound on overtaking, so many jobs of an account on servers."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

QUEUED = sa.text("state = 'queued'")
IN_FLIGHT = sa.text("state IN ('claimed', 'running', 'canceling')")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("share", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("share_cost", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("running_max", sa.Integer()))
    op.add_column("lanes", sa.Column("overtakes", sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "fair_clocks",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lane", "priority", name="fair_clocks_pkey"),
    )
    op.drop_index("jobs_in_order", table_name="jobs")
    _index("jobs_in_order", ["lane", "priority", "share", "ticket"], QUEUED)
    _index("jobs_by_age", ["lane", "ticket"], QUEUED)
    _index("jobs_in_flight", ["account_id"], IN_FLIGHT)


def downgrade() -> None:
    for name in ("jobs_in_flight", "jobs_by_age", "jobs_in_order"):
        op.drop_index(name, table_name="jobs")
    _index("jobs_in_order", ["lane", "priority", "ticket"], QUEUED)
    op.drop_table("fair_clocks")
    op.drop_column("lanes", "overtakes")
    for column in ("running_max", "share_cost", "share"):
        op.drop_column("jobs", column)


def _index(name: str, columns: list[str], where: sa.TextClause) -> None:
    op.create_index(name, "jobs", columns, sqlite_where=where, postgresql_where=where)
