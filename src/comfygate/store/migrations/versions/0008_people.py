"""Who people are on Telegram and the web, codes, payments, and entries for them.

Only adds: a replica of an older schema goes on working beside it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOVES = (
    "(kind = 'grant' AND from_side = 'issued' AND to_side = 'available')"
    " OR (kind = 'hold' AND from_side = 'available' AND to_side = 'held')"
    " OR (kind = 'capture' AND from_side = 'held' AND to_side = 'revenue')"
    " OR (kind = 'release' AND from_side = 'held' AND to_side = 'available')"
)
_MORE_MOVES = (
    f"{_MOVES} OR (kind = 'merge_out' AND from_side = 'available' AND to_side = 'issued')"
    " OR (kind = 'merge_in' AND from_side = 'issued' AND to_side = 'available')"
    " OR (kind = 'withdraw' AND from_side = 'available' AND to_side = 'issued')"
)


def upgrade() -> None:
    """Apply."""
    op.add_column("accounts", sa.Column("merged_into", sa.Text(), nullable=True))
    op.add_column("entries", sa.Column("reference", sa.Text(), nullable=True))
    _know_moves(_MOVES, _MORE_MOVES)
    op.create_index(
        "entries_one_a_reference",
        "entries",
        ["kind", "reference"],
        unique=True,
        sqlite_where=sa.text("reference IS NOT NULL"),
        postgresql_where=sa.text("reference IS NOT NULL"),
    )
    _telegram_users()
    _one_time_codes()
    _sessions()
    _redeem_codes()
    _payments()
    _imports()


def _know_moves(before: str, after: str) -> None:
    """Change which moves of credits the table knows. SQLite changes no CHECK: there the table is made anew
    beside the old one, with its indexes and triggers, in the same transaction."""
    bind = op.get_bind()
    if bind.dialect.name != "sqlite":
        op.drop_constraint(op.f("entries_moves_check"), "entries", type_="check")
        op.create_check_constraint(op.f("entries_moves_check"), "entries", after)
        return
    described = "SELECT type, sql FROM sqlite_master WHERE tbl_name = 'entries' AND sql IS NOT NULL"
    parts = [(str(kind), str(text)) for kind, text in bind.exec_driver_sql(described)]
    (table,) = (text for kind, text in parts if kind == "table")
    if before not in table:
        message = "the table entries is not as its migrations made it; restore a backup"
        raise RuntimeError(message)
    fresh = table.replace(before, after).replace("TABLE entries", "TABLE entries_anew", 1)
    fresh = fresh.replace('TABLE "entries"', 'TABLE "entries_anew"', 1)
    names = ", ".join(column["name"] for column in sa.inspect(bind).get_columns("entries"))
    bind.exec_driver_sql(fresh)
    bind.exec_driver_sql(f"INSERT INTO entries_anew ({names}) SELECT {names} FROM entries")  # noqa: S608
    # Numbers are never given out twice, even if the newest entries were gone.
    bind.exec_driver_sql(
        "UPDATE sqlite_sequence SET seq = (SELECT seq FROM sqlite_sequence WHERE name = 'entries')"
        " WHERE name = 'entries_anew' AND EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'entries')"
    )
    bind.exec_driver_sql("DROP TABLE entries")
    bind.exec_driver_sql("ALTER TABLE entries_anew RENAME TO entries")
    for kind, text in parts:
        if kind != "table":
            bind.exec_driver_sql(text)


def _telegram_users() -> None:
    op.create_table(
        "telegram_users",
        sa.Column("telegram_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("chat_id", sa.BigInteger(), nullable=False),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("terms_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("invited_by", sa.BigInteger(), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("blocked_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("telegram_users_account_id_fkey")),
        sa.PrimaryKeyConstraint("telegram_id", name=op.f("telegram_users_pkey")),
    )
    op.create_index(op.f("telegram_users_account_id"), "telegram_users", ["account_id"])


def _one_time_codes() -> None:
    op.create_table(
        "one_time_codes",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("purpose IN ('link', 'sign_in')", name=op.f("one_time_codes_purpose_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("one_time_codes_account_id_fkey")),
        sa.PrimaryKeyConstraint("digest", name=op.f("one_time_codes_pkey")),
    )
    op.create_index(op.f("one_time_codes_expires_at_ms"), "one_time_codes", ["expires_at_ms"])


def _sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("sessions_account_id_fkey")),
        sa.PrimaryKeyConstraint("digest", name=op.f("sessions_pkey")),
    )
    op.create_index(op.f("sessions_account_id"), "sessions", ["account_id"])
    op.create_index(op.f("sessions_expires_at_ms"), "sessions", ["expires_at_ms"])


def _redeem_codes() -> None:
    op.create_table(
        "redeem_codes",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("hint", sa.Text(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("used_by", sa.Text(), nullable=True),
        sa.CheckConstraint("(used_at_ms IS NULL) = (used_by IS NULL)", name=op.f("redeem_codes_used_check")),
        sa.CheckConstraint("credits BETWEEN 1 AND 1000000000000000", name=op.f("redeem_codes_credits_check")),
        sa.ForeignKeyConstraint(["used_by"], ["accounts.id"], name=op.f("redeem_codes_used_by_fkey")),
        sa.PrimaryKeyConstraint("digest", name=op.f("redeem_codes_pkey")),
    )
    op.create_index(op.f("redeem_codes_created_at_ms"), "redeem_codes", ["created_at_ms"])


def _payments() -> None:
    op.create_table(
        "payments",
        sa.Column("charge_id", sa.Text(), nullable=False),
        sa.Column("telegram_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("stars", sa.Integer(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("paid_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("refund_asked_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("refunded_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("refund_error", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("credits BETWEEN 1 AND 1000000000000000", name=op.f("payments_credits_check")),
        sa.CheckConstraint(
            "refunded_at_ms IS NULL OR refund_asked_at_ms IS NOT NULL", name=op.f("payments_refunded_check")
        ),
        sa.CheckConstraint("stars >= 1", name=op.f("payments_stars_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("payments_account_id_fkey")),
        sa.PrimaryKeyConstraint("charge_id", name=op.f("payments_pkey")),
    )
    op.create_index(op.f("payments_account_id"), "payments", ["account_id"])
    op.create_index(op.f("payments_paid_at_ms"), "payments", ["paid_at_ms"])
    op.create_index(
        "payments_to_refund",
        "payments",
        ["refund_asked_at_ms"],
        sqlite_where=sa.text("refund_asked_at_ms IS NOT NULL AND refunded_at_ms IS NULL"),
        postgresql_where=sa.text("refund_asked_at_ms IS NOT NULL AND refunded_at_ms IS NULL"),
    )


def _imports() -> None:
    op.create_table(
        "imports",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("accounts", sa.Integer(), nullable=False),
        sa.Column("credits", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("imports_pkey")),
        sa.UniqueConstraint("digest", name=op.f("imports_digest_key")),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Undo. Fails, as it must, once there are entries of the new kinds."""
    op.drop_table("imports")
    op.drop_table("payments")
    op.drop_table("redeem_codes")
    op.drop_table("sessions")
    op.drop_table("one_time_codes")
    op.drop_table("telegram_users")
    op.drop_index("entries_one_a_reference", "entries")
    _know_moves(_MORE_MOVES, _MOVES)
    op.drop_column("entries", "reference")
    op.drop_column("accounts", "merged_into")
