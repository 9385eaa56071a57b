"""When an attempt's prompt left its server: from then on its slot is free, and only its results are fetched.

An older replica beside it takes such a slot for held, which costs time and nothing else.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_BEFORE = sa.text("ended_at_ms IS NULL")
_NOW = sa.text("ended_at_ms IS NULL AND left_at_ms IS NULL")


def upgrade() -> None:
    """Apply."""
    op.add_column("attempts", sa.Column("left_at_ms", sa.BigInteger(), nullable=True))
    _index(_NOW)


def _index(where: sa.TextClause) -> None:
    op.drop_index("attempts_one_a_slot", "attempts")
    op.create_index(
        "attempts_one_a_slot",
        "attempts",
        ["server", "slot"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )


def downgrade() -> None:
    """Undo. Fails, as it must, while a slot has a running attempt beside one that has left it."""
    _index(_BEFORE)
    op.drop_column("attempts", "left_at_ms")
