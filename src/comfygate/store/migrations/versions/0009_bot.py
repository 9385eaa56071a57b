"""What comes from Telegram, what is being asked there, and what was sent.

Only adds: a replica of an older schema goes on working beside it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply."""
    _telegram_updates()
    _telegram_sends()
    _telegram_drafts()
    _telegram_jobs()
    _broadcasts()


def _telegram_updates() -> None:
    op.create_table(
        "telegram_updates",
        sa.Column("update_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("handled_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("update_id", name=op.f("telegram_updates_pkey")),
    )
    op.create_index(op.f("telegram_updates_handled_at_ms"), "telegram_updates", ["handled_at_ms"])
    op.create_index(
        "telegram_updates_waiting",
        "telegram_updates",
        ["update_id"],
        sqlite_where=sa.text("handled_at_ms IS NULL"),
        postgresql_where=sa.text("handled_at_ms IS NULL"),
    )


def _telegram_sends() -> None:
    op.create_table(
        "telegram_sends",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("telegram_sends_pkey")),
    )
    op.create_index(op.f("telegram_sends_at_ms"), "telegram_sends", ["at_ms"])


def _telegram_drafts() -> None:
    op.create_table(
        "telegram_drafts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("telegram_id", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), server_default="", nullable=False),
        sa.Column("style", sa.Text(), server_default="", nullable=False),
        sa.Column("chosen", sa.Text(), server_default="{}", nullable=False),
        sa.Column("files", sa.Text(), server_default="{}", nullable=False),
        sa.Column("asked", sa.Text(), server_default="", nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("updated_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "state IN ('dropped', 'open', 'placed')", name=op.f("telegram_drafts_state_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("telegram_drafts_pkey")),
    )
    op.create_index(
        "telegram_drafts_open",
        "telegram_drafts",
        ["chat_id", "telegram_id"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(op.f("telegram_drafts_updated_at_ms"), "telegram_drafts", ["updated_at_ms"])


def _telegram_jobs() -> None:
    op.create_table(
        "telegram_jobs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("telegram_id", sa.BigInteger(), nullable=False),
        sa.Column("draft_id", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=True),
        sa.Column("shown", sa.Text(), server_default="", nullable=False),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.Column("as_files", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("due", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("told_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("telegram_jobs_job_id_fkey")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("telegram_jobs_pkey")),
    )
    op.create_index(
        "telegram_jobs_due",
        "telegram_jobs",
        ["job_id"],
        sqlite_where=sa.text("due"),
        postgresql_where=sa.text("due"),
    )
    op.create_index(op.f("telegram_jobs_telegram_id"), "telegram_jobs", ["telegram_id"])
    op.create_index(
        "telegram_jobs_untold",
        "telegram_jobs",
        ["job_id"],
        sqlite_where=sa.text("told_at_ms IS NULL"),
        postgresql_where=sa.text("told_at_ms IS NULL"),
    )


def _broadcasts() -> None:
    op.create_table(
        "broadcasts",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("made_by", sa.BigInteger(), nullable=False),
        sa.Column("per_second", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failed", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('done', 'running', 'stopped')", name=op.f("broadcasts_state_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("broadcasts_pkey")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "broadcasts_running",
        "broadcasts",
        ["id"],
        sqlite_where=sa.text("state = 'running'"),
        postgresql_where=sa.text("state = 'running'"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("broadcasts")
    op.drop_table("telegram_jobs")
    op.drop_table("telegram_drafts")
    op.drop_table("telegram_sends")
    op.drop_table("telegram_updates")
