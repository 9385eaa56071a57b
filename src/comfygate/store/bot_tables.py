"""The tables of the bot: what came in from Telegram, what is being asked, and what was sent.

Part of `tables.metadata`; see there for the conventions.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    false,
    text,
    true,
)

from comfygate.store.metadata import RowNumber, metadata, one_of

UNHANDLED = text("handled_at_ms IS NULL")
OPEN_DRAFT = text("state = 'open'")
DUE = text("due")
UNTOLD = text("told_at_ms IS NULL")
RUNNING = text("state = 'running'")

# Every update of Telegram, once, whichever way and to whichever replica it came; in order for each chat.
telegram_updates = Table(
    "telegram_updates",
    metadata,
    Column("update_id", BigInteger, primary_key=True, autoincrement=False),
    Column("chat_id", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),
    Column("received_at_ms", BigInteger, nullable=False),
    Column("handled_at_ms", BigInteger, index=True),
    Column("tries", Integer, nullable=False, server_default="0"),
    Index("telegram_updates_waiting", "update_id", sqlite_where=UNHANDLED, postgresql_where=UNHANDLED),
)

# Something that cannot be sent twice without being seen twice: written down before it is sent. A row
# without a message id is the doubt: it may have arrived.
telegram_sends = Table(
    "telegram_sends",
    metadata,
    Column("key", Text, primary_key=True),
    Column("chat_id", BigInteger, nullable=False),
    Column("message_id", BigInteger),
    Column("at_ms", BigInteger, nullable=False, index=True),
)

# An order in the making: one a person and chat.
telegram_drafts = Table(
    "telegram_drafts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("chat_id", BigInteger, nullable=False),
    Column("telegram_id", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("workflow", Text, nullable=False, server_default=""),
    Column("style", Text, nullable=False, server_default=""),
    # Values by parameter, and lists of asset ids by input, as JSON.
    Column("chosen", Text, nullable=False, server_default="{}"),
    Column("files", Text, nullable=False, server_default="{}"),
    # The parameter whose value is to be typed next; empty: none.
    Column("asked", Text, nullable=False, server_default=""),
    # The message that shows it.
    Column("message_id", BigInteger),
    Column("updated_at_ms", BigInteger, nullable=False, index=True),
    CheckConstraint(one_of("state", ["open", "placed", "dropped"]), name="state"),
    Index(
        "telegram_drafts_open",
        "chat_id",
        "telegram_id",
        unique=True,
        sqlite_where=OPEN_DRAFT,
        postgresql_where=OPEN_DRAFT,
    ),
)

# A job that a chat is told about, by one message that is edited.
telegram_jobs = Table(
    "telegram_jobs",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("chat_id", BigInteger, nullable=False),
    Column("telegram_id", BigInteger, nullable=False, index=True),
    Column("draft_id", Text, nullable=False),
    Column("language", Text, nullable=False),
    # Null until it was sent; its text then, so that an edit that changes nothing is not sent.
    Column("message_id", BigInteger),
    Column("shown", Text, nullable=False, server_default=""),
    # The place in line that it shows, which never grows but when somebody with priority came.
    Column("place", Integer),
    Column("as_files", Boolean, nullable=False, server_default=false()),
    # Something happened to the job since it was looked at.
    Column("due", Boolean, nullable=False, server_default=true()),
    # The end and its results were told; nothing follows.
    Column("told_at_ms", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Index("telegram_jobs_due", "job_id", sqlite_where=DUE, postgresql_where=DUE),
    Index("telegram_jobs_untold", "job_id", sqlite_where=UNTOLD, postgresql_where=UNTOLD),
)

broadcasts = Table(
    "broadcasts",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("text", Text, nullable=False),
    Column("made_by", BigInteger, nullable=False),
    Column("per_second", Integer, nullable=False),
    Column("state", Text, nullable=False),
    # Everybody up to this Telegram id was told.
    Column("cursor", BigInteger, nullable=False),
    Column("sent", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    CheckConstraint(one_of("state", ["running", "stopped", "done"]), name="state"),
    Index("broadcasts_running", "id", sqlite_where=RUNNING, postgresql_where=RUNNING),
    sqlite_autoincrement=True,
)
