"""Whether one prompt of ours may wait on a server behind the running one (ADR 18): 0 or 1.

An older replica beside it uses the slots alone.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("servers") as servers:
        servers.add_column(sa.Column("ahead", sa.Integer(), nullable=False, server_default="0"))
        servers.create_check_constraint(op.f("servers_ahead_check"), "ahead IN (0, 1)")


def downgrade() -> None:
    """Undo. What waits on a server then stays there, and is adopted as it was."""
    with op.batch_alter_table("servers") as servers:
        servers.drop_constraint(op.f("servers_ahead_check"), type_="check")
        servers.drop_column("ahead")
