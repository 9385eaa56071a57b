"""Jobs of the catalogue: name and style, price before discount, free jobs of the day, wanted outputs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

IS_FREE = sa.text("free_day IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("workflow_name", sa.Text(), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("style", sa.Text(), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("base_price", sa.BigInteger()))
    op.add_column("jobs", sa.Column("free_day", sa.Integer()))
    op.add_column("jobs", sa.Column("deliver", sa.Text(), nullable=False, server_default="[]"))
    op.create_index(
        "jobs_free", "jobs", ["account_id", "free_day"], sqlite_where=IS_FREE, postgresql_where=IS_FREE
    )


def downgrade() -> None:
    op.drop_index("jobs_free", table_name="jobs")
    for column in ("deliver", "free_day", "base_price", "style", "workflow_name"):
        op.drop_column("jobs", column)
