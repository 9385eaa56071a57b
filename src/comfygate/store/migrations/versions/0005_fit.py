"""Servers that fit: what each has not, by workflow; and the models of a job, for warm routing."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("models", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "overtaken",
        sa.Column("ticket", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("ticket", name="overtaken_pkey"),
    )
    op.create_table(
        "misfits",
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("judged_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("workflow", "server", name="misfits_pkey"),
    )
    op.create_index("misfits_judged_at_ms", "misfits", ["judged_at_ms"])


def downgrade() -> None:
    op.drop_table("misfits")
    op.drop_table("overtaken")
    op.drop_column("jobs", "models")
