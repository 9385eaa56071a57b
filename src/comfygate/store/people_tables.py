"""The tables of who people are elsewhere and how credits came: Telegram users, codes, payments, imports.

Part of `tables.metadata`; see there for the conventions. Of a code only the digest is kept.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text, text

from comfygate.domain.credits import CREDITS_MAX
from comfygate.store.metadata import RowNumber, metadata, one_of

PURPOSES = ("link", "sign_in")
"""Of a one-time code: join two accounts, or sign in on the web."""

telegram_users = Table(
    "telegram_users",
    metadata,
    Column("telegram_id", BigInteger, primary_key=True, autoincrement=False),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False, index=True),
    # Their private chat with the bot; the same number, as Telegram has it today.
    Column("chat_id", BigInteger, nullable=False),
    # Chosen with /language; else what their Telegram is set to.
    Column("language", Text),
    Column("terms_at_ms", BigInteger),
    Column("invited_by", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    # They stopped the bot, or are gone: nothing is sent until they come back.
    Column("blocked_at_ms", BigInteger),
)

one_time_codes = Table(
    "one_time_codes",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False, index=True),
    Column("used_at_ms", BigInteger),
    CheckConstraint(one_of("purpose", list(PURPOSES)), name="purpose"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False, index=True),
    Column("revoked_at_ms", BigInteger),
)

redeem_codes = Table(
    "redeem_codes",
    metadata,
    Column("digest", Text, primary_key=True),
    # The last characters, to tell one from another in lists.
    Column("hint", Text, nullable=False),
    Column("credits", BigInteger, nullable=False),
    Column("note", Text, nullable=False, server_default=""),
    Column("created_at_ms", BigInteger, nullable=False, index=True),
    Column("expires_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
    Column("used_at_ms", BigInteger),
    Column("used_by", Text, ForeignKey("accounts.id")),
    CheckConstraint(f"credits BETWEEN 1 AND {CREDITS_MAX}", name="credits"),
    CheckConstraint("(used_at_ms IS NULL) = (used_by IS NULL)", name="used"),
)

# Telegram Stars that came in. The entry of the ledger has the charge's id as its reference.
payments = Table(
    "payments",
    metadata,
    Column("charge_id", Text, primary_key=True),
    Column("telegram_id", BigInteger, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("stars", Integer, nullable=False),
    Column("credits", BigInteger, nullable=False),
    Column("paid_at_ms", BigInteger, nullable=False, index=True),
    # The credits are taken back in the transaction that sets this; Telegram is asked afterwards.
    Column("refund_asked_at_ms", BigInteger),
    Column("refunded_at_ms", BigInteger),
    Column("refund_error", Text, nullable=False, server_default=""),
    CheckConstraint("stars >= 1", name="stars"),
    CheckConstraint(f"credits BETWEEN 1 AND {CREDITS_MAX}", name="credits"),
    CheckConstraint("refunded_at_ms IS NULL OR refund_asked_at_ms IS NOT NULL", name="refunded"),
    Index(
        "payments_to_refund",
        "refund_asked_at_ms",
        sqlite_where=text("refund_asked_at_ms IS NOT NULL AND refunded_at_ms IS NULL"),
        postgresql_where=text("refund_asked_at_ms IS NOT NULL AND refunded_at_ms IS NULL"),
    ),
)

# A file of accounts is taken in once, by what is in it.
imports = Table(
    "imports",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    Column("file_name", Text, nullable=False),
    Column("accounts", Integer, nullable=False),
    Column("credits", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
