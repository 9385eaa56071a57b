"""The first tables: accounts, ledger, jobs, attempts, assets, outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from comfygate.store.triggers import create_statements, drop_statements

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _accounts()
    _blobs()
    _servers()
    _api_keys()
    _idempotency_keys()
    _jobs()
    _job_indexes()
    _assets()
    _attempts()
    _entries()
    _job_graphs()
    _job_inputs()
    _outbox()
    _triggers()


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("available", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("available BETWEEN 0 AND 1000000000000000", name=op.f("accounts_available_check")),
        sa.CheckConstraint("held >= 0", name=op.f("accounts_held_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("accounts_pkey")),
        sa.UniqueConstraint("name", name=op.f("accounts_name_key")),
    )


def _blobs() -> None:
    op.create_table(
        "blobs",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("blobs_size_bytes_check")),
        sa.PrimaryKeyConstraint("hash", name=op.f("blobs_pkey")),
        sa.UniqueConstraint("key", name=op.f("blobs_key_key")),
    )


def _servers() -> None:
    op.create_table(
        "servers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("lanes", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("slots BETWEEN 1 AND 64", name=op.f("servers_slots_check")),
        sa.PrimaryKeyConstraint("name", name=op.f("servers_pkey")),
    )


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("api_keys_account_id_fkey")),
        sa.PrimaryKeyConstraint("digest", name=op.f("api_keys_pkey")),
    )
    op.create_index(op.f("api_keys_account_id"), "api_keys", ["account_id"], unique=False)


def _idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("made_id", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("idempotency_keys_account_id_fkey")
        ),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("idempotency_keys_pkey")),
    )
    op.create_index(
        op.f("idempotency_keys_created_at_ms"), "idempotency_keys", ["created_at_ms"], unique=False
    )


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column(
            "ticket", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("hold", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("queue_deadline_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("completed_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(completed_at_ms IS NOT NULL) = (state IN ('canceled', 'expired', 'failed', 'succeeded'))",
            name=op.f("jobs_completed_check"),
        ),
        sa.CheckConstraint(
            "(hold = 'captured') = (price > 0 AND state = 'succeeded')", name=op.f("jobs_hold_captured_check")
        ),
        sa.CheckConstraint(
            "(hold = 'placed') = (price > 0 AND NOT"
            " (state IN ('canceled', 'expired', 'failed', 'succeeded')))",
            name=op.f("jobs_hold_open_check"),
        ),
        sa.CheckConstraint(
            "hold IN ('captured', 'none', 'placed', 'released')", name=op.f("jobs_hold_check")
        ),
        sa.CheckConstraint("price >= 0 AND (price = 0) = (hold = 'none')", name=op.f("jobs_price_check")),
        sa.CheckConstraint("state <> 'failed' OR error IS NOT NULL", name=op.f("jobs_failed_says_why_check")),
        sa.CheckConstraint(
            "state IN ('canceled', 'canceling', 'claimed', 'expired', 'failed', 'queued', 'running',"
            " 'succeeded')",
            name=op.f("jobs_state_check"),
        ),
        sa.CheckConstraint("attempt >= 0", name=op.f("jobs_attempt_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("jobs_account_id_fkey")),
        sa.PrimaryKeyConstraint("ticket", name=op.f("jobs_pkey")),
        sa.UniqueConstraint("id", name=op.f("jobs_id_key")),
        sqlite_autoincrement=True,
    )


def _job_indexes() -> None:
    op.create_index(
        "jobs_in_order",
        "jobs",
        ["lane", "priority", "ticket"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index("jobs_of_account", "jobs", ["account_id", "ticket"], unique=False)
    op.create_index(
        "jobs_past_deadline",
        "jobs",
        ["queue_deadline_at_ms"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "jobs_queued_of_account",
        "jobs",
        ["account_id"],
        unique=False,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )


def _assets() -> None:
    op.create_table(
        "assets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_type", sa.Text(), nullable=False),
        sa.Column("file_path", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), server_default="[]", nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("node_id", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("output_type", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(job_id IS NULL) = (position IS NULL) AND (job_id IS NULL) = (node_id IS NULL)"
            " AND (job_id IS NULL) = (name IS NULL) AND (job_id IS NULL) = (output_type IS NULL)",
            name=op.f("assets_output_whole_check"),
        ),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("assets_account_id_fkey")),
        sa.ForeignKeyConstraint(["hash"], ["blobs.hash"], name=op.f("assets_hash_fkey")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("assets_job_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("assets_pkey")),
        sa.UniqueConstraint("job_id", "position", name=op.f("assets_job_id_position_key")),
    )
    op.create_index(op.f("assets_expires_at_ms"), "assets", ["expires_at_ms"], unique=False)
    op.create_index(op.f("assets_hash"), "assets", ["hash"], unique=False)
    op.create_index("assets_of_account_by_hash", "assets", ["account_id", "hash"], unique=False)
    op.create_index(
        "assets_of_account_by_path", "assets", ["account_id", "file_path", "created_at_ms"], unique=False
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("prompt_id", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("lease_until_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("claimed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("cause", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(
            "outcome IN ('canceled', 'failed', 'lost', 'succeeded')", name=op.f("attempts_outcome_check")
        ),
        sa.CheckConstraint("(ended_at_ms IS NULL) = (outcome IS NULL)", name=op.f("attempts_ended_check")),
        sa.CheckConstraint("number >= 1", name=op.f("attempts_number_check")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("attempts_job_id_fkey")),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("attempts_pkey")),
        sa.UniqueConstraint("prompt_id", name=op.f("attempts_prompt_id_key")),
    )
    op.create_index(
        "attempts_one_a_job",
        "attempts",
        ["job_id"],
        unique=True,
        sqlite_where=sa.text("ended_at_ms IS NULL"),
        postgresql_where=sa.text("ended_at_ms IS NULL"),
    )
    op.create_index(
        "attempts_one_a_slot",
        "attempts",
        ["server", "slot"],
        unique=True,
        sqlite_where=sa.text("ended_at_ms IS NULL"),
        postgresql_where=sa.text("ended_at_ms IS NULL"),
    )
    op.create_index(
        "attempts_open_by_lease",
        "attempts",
        ["lease_until_at_ms"],
        unique=False,
        sqlite_where=sa.text("ended_at_ms IS NULL"),
        postgresql_where=sa.text("ended_at_ms IS NULL"),
    )


def _entries() -> None:
    op.create_table(
        "entries",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("from_side", sa.Text(), nullable=False),
        sa.Column("to_side", sa.Text(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "(kind = 'grant' AND from_side = 'issued' AND to_side = 'available')"
            " OR (kind = 'hold' AND from_side = 'available' AND to_side = 'held')"
            " OR (kind = 'capture' AND from_side = 'held' AND to_side = 'revenue')"
            " OR (kind = 'release' AND from_side = 'held' AND to_side = 'available')",
            name=op.f("entries_moves_check"),
        ),
        sa.CheckConstraint(
            "(kind IN ('capture', 'hold', 'release')) = (job_id IS NOT NULL)",
            name=op.f("entries_job_check"),
        ),
        sa.CheckConstraint("amount BETWEEN 1 AND 1000000000000000", name=op.f("entries_amount_check")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("entries_account_id_fkey")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("entries_job_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("entries_pkey")),
        sqlite_autoincrement=True,
    )
    op.create_index("entries_of_account", "entries", ["account_id", "id"], unique=False)
    op.create_index(
        "entries_one_hold_a_job",
        "entries",
        ["job_id"],
        unique=True,
        sqlite_where=sa.text("kind = 'hold'"),
        postgresql_where=sa.text("kind = 'hold'"),
    )
    op.create_index(
        "entries_one_settle_a_job",
        "entries",
        ["job_id"],
        unique=True,
        sqlite_where=sa.text("kind IN ('capture', 'release')"),
        postgresql_where=sa.text("kind IN ('capture', 'release')"),
    )


def _job_graphs() -> None:
    op.create_table(
        "job_graphs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("graph", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("job_graphs_job_id_fkey")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("job_graphs_pkey")),
    )


def _job_inputs() -> None:
    op.create_table(
        "job_inputs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("asset_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("job_inputs_job_id_fkey")),
        sa.PrimaryKeyConstraint("job_id", "position", name=op.f("job_inputs_pkey")),
    )
    op.create_index(op.f("job_inputs_asset_id"), "job_inputs", ["asset_id"], unique=False)


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("outbox_job_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("outbox_pkey")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "outbox_waiting",
        "outbox",
        ["id"],
        unique=False,
        sqlite_where=sa.text("delivered_at_ms IS NULL"),
        postgresql_where=sa.text("delivered_at_ms IS NULL"),
    )


def _triggers() -> None:
    for statement in create_statements(op.get_context().dialect.name):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Undo. Indexes and constraints go with their tables."""
    for statement in drop_statements(op.get_context().dialect.name):
        op.get_bind().exec_driver_sql(statement)
    for table in (
        "outbox",
        "job_inputs",
        "job_graphs",
        "entries",
        "attempts",
        "assets",
        "jobs",
        "idempotency_keys",
        "api_keys",
        "servers",
        "blobs",
        "accounts",
    ):
        op.drop_table(table)
