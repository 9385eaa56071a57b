"""The tables, and the rules that the database itself enforces.

Times are whole milliseconds since 1970 UTC and end in `_at_ms`. JSON is kept as text. The constraints here
are the last line of defence: they hold the state machine, the balances and the fences even against our own
bugs. Changing this file needs a migration; a test compares the two on both engines.
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
    UniqueConstraint,
    false,
    literal_column,
    text,
)

from comfygate.domain.blame import Blame
from comfygate.domain.credits import CREDITS_MAX, MOVES, EntryKind, HoldState
from comfygate.domain.job import TERMINAL, JobState
from comfygate.store.fleet_tables import (
    fair_clocks,
    lanes,
    leases,
    misfits,
    overtaken,
    pair_quarantines,
    ready,
    run_times,
    server_health,
    servers,
)
from comfygate.store.metadata import RowNumber, metadata, one_of

__all__ = [
    "ELSEWHERE", "IN_FLIGHT", "IS_QUEUED", "OPEN_ATTEMPT", "RowNumber", "accounts", "api_keys", "assets",
    "attempts", "audit_log", "blobs", "entries", "fair_clocks", "idempotency_keys", "job_graphs",
    "job_inputs", "jobs", "lanes", "leases", "metadata", "misfits", "outbox", "overtaken",
    "pair_quarantines", "ready", "run_times", "server_health", "servers",
]  # fmt: skip

_terminal = one_of("state", [state.value for state in TERMINAL])
_moves = " OR ".join(
    f"(kind = '{kind}' AND from_side = '{source}' AND to_side = '{target}')"
    for kind, (source, target) in MOVES.items()
)
_of_a_job = one_of("kind", [EntryKind.HOLD, EntryKind.CAPTURE, EntryKind.RELEASE])
QUEUED = text("state = 'queued'")
IN_FLIGHT = text("state IN ('claimed', 'running', 'canceling')")
IS_FREE = text("free_day IS NOT NULL")
OPEN_ATTEMPT = text("ended_at_ms IS NULL")
HOLDS_SLOT = text("ended_at_ms IS NULL AND left_at_ms IS NULL")
ELSEWHERE = text("elsewhere")
REFERRED = text("reference IS NOT NULL")
HAS_ENDED = text("completed_at_ms IS NOT NULL")
GONE_WRONG = text("outcome IN ('failed', 'lost')")

accounts = Table(
    "accounts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("tier", Text, nullable=False),
    Column("available", BigInteger, nullable=False, server_default="0"),
    Column("held", BigInteger, nullable=False, server_default="0"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("disabled_at_ms", BigInteger),
    # The account that this one was joined to; it can do nothing any more.
    Column("merged_into", Text),
    CheckConstraint(f"available BETWEEN 0 AND {CREDITS_MAX}", name="available"),
    CheckConstraint("held >= 0", name="held"),
    Index("accounts_by_age", "created_at_ms", "id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger),
)

# What operators did, by which way, and what came of it. Never changed.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("arguments", Text, nullable=False),
    Column("result", Text, nullable=False),
    sqlite_autoincrement=True,
)

jobs = Table(
    "jobs",
    metadata,
    Column("ticket", RowNumber, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("lane", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("price", BigInteger, nullable=False),
    Column("hold", Text, nullable=False),
    Column("error", Text),
    Column("cause", Text, nullable=False, server_default=""),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("queue_deadline_at_ms", BigInteger, nullable=False),
    Column("started_at_ms", BigInteger),
    Column("completed_at_ms", BigInteger),
    Column("expires_at_ms", BigInteger, nullable=False),
    # What the graph is, whatever its values: jobs of one workflow take about as long as each other.
    Column("workflow", Text, nullable=False, server_default=""),
    Column("retry_of", Text),
    # The catalogue's name of it and the style; empty for a graph of the caller's own.
    Column("workflow_name", Text, nullable=False, server_default=""),
    Column("style", Text, nullable=False, server_default=""),
    # The price before any discount; unknown of jobs older than this column.
    Column("base_price", BigInteger),
    # The day (since 1970, UTC) whose allowance of free jobs it uses.
    Column("free_day", Integer),
    Column("deliver", Text, nullable=False, server_default="[]"),
    # Start tag and length of its turn, in virtual ms, where its lane has fair share; else 0.
    Column("share", BigInteger, nullable=False, server_default="0"),
    Column("share_cost", BigInteger, nullable=False, server_default="0"),
    # So many jobs its account may have on servers at once.
    Column("running_max", Integer),
    # Which model files its graph names; empty if none.
    Column("models", Text, nullable=False, server_default=""),
    # The numbers in the graph that decide how long it runs: domain/shape.py.
    Column("shape", Text, nullable=False, server_default=""),
    CheckConstraint(one_of("state", [state.value for state in JobState]), name="state"),
    CheckConstraint(one_of("hold", [hold.value for hold in HoldState]), name="hold"),
    CheckConstraint("price >= 0 AND (price = 0) = (hold = 'none')", name="price"),
    # Open job <=> open hold; what succeeded is paid, what ended otherwise is refunded.
    CheckConstraint(f"(hold = 'placed') = (price > 0 AND NOT ({_terminal}))", name="hold_open"),
    CheckConstraint("(hold = 'captured') = (price > 0 AND state = 'succeeded')", name="hold_captured"),
    CheckConstraint(f"(completed_at_ms IS NOT NULL) = ({_terminal})", name="completed"),
    CheckConstraint("state <> 'failed' OR error IS NOT NULL", name="failed_says_why"),
    CheckConstraint("attempt >= 0", name="attempt"),
    # Leads with the lane: without it an idle lane pays for the backlog of a busy one.
    Index(
        "jobs_in_order", "lane", "priority", "share", "ticket", sqlite_where=QUEUED, postgresql_where=QUEUED
    ),
    Index("jobs_by_age", "lane", "ticket", sqlite_where=QUEUED, postgresql_where=QUEUED),
    Index("jobs_in_flight", "account_id", sqlite_where=IN_FLIGHT, postgresql_where=IN_FLIGHT),
    Index("jobs_queued_of_account", "account_id", sqlite_where=QUEUED, postgresql_where=QUEUED),
    Index("jobs_past_deadline", "queue_deadline_at_ms", sqlite_where=QUEUED, postgresql_where=QUEUED),
    Index("jobs_of_account", "account_id", "ticket"),
    Index("jobs_free", "account_id", "free_day", sqlite_where=IS_FREE, postgresql_where=IS_FREE),
    # The operator's lists. Written once a job, at its end.
    Index("jobs_ended", "lane", "state", "ticket", sqlite_where=HAS_ENDED, postgresql_where=HAS_ENDED),
    sqlite_autoincrement=True,
)

job_graphs = Table(
    "job_graphs",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("graph", Text, nullable=False),
)

blobs = Table(
    "blobs",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    CheckConstraint("size_bytes >= 0", name="size_bytes"),
)

assets = Table(
    "assets",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("hash", Text, ForeignKey("blobs.hash"), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("file_path", Text),
    Column("tags", Text, nullable=False, server_default="[]"),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger, nullable=False, index=True),
    Column("job_id", Text, ForeignKey("jobs.id")),
    Column("position", Integer),
    Column("node_id", Text),
    Column("name", Text),
    Column("output_type", Text),
    CheckConstraint(
        "(job_id IS NULL) = (position IS NULL) AND (job_id IS NULL) = (node_id IS NULL)"
        " AND (job_id IS NULL) = (name IS NULL) AND (job_id IS NULL) = (output_type IS NULL)",
        name="output_whole",
    ),
    UniqueConstraint("job_id", "position"),
    Index("assets_of_account_by_hash", "account_id", "hash"),
    Index("assets_of_account_by_path", "account_id", "file_path", "created_at_ms"),
)

job_inputs = Table(
    "job_inputs",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("node_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    # No foreign key: the asset's record may go once the job has ended, the job's row stays.
    Column("asset_id", Text, nullable=False, index=True),
)

attempts = Table(
    "attempts",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("prompt_id", Text, nullable=False, unique=True),
    Column("server", Text, nullable=False),
    Column("slot", Integer, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_until_at_ms", BigInteger, nullable=False),
    Column("claimed_at_ms", BigInteger, nullable=False),
    Column("started_at_ms", BigInteger),
    # Its prompt is on the server no more; what it made is still being fetched.
    Column("left_at_ms", BigInteger),
    Column("ended_at_ms", BigInteger),
    Column("outcome", Text),
    Column("cause", Text, nullable=False, server_default=""),
    Column("blame", Text),
    # The job does not go to this server again.
    Column("elsewhere", Boolean, nullable=False, server_default=false()),
    CheckConstraint("number >= 1", name="number"),
    CheckConstraint("(ended_at_ms IS NULL) = (outcome IS NULL)", name="ended"),
    CheckConstraint(one_of("outcome", ["succeeded", "failed", "canceled", "lost"]), name="outcome"),
    CheckConstraint(one_of("blame", [blame.value for blame in Blame]), name="blame"),
    Index(
        "attempts_one_a_slot",
        "server",
        "slot",
        unique=True,
        sqlite_where=HOLDS_SLOT,
        postgresql_where=HOLDS_SLOT,
    ),
    Index(
        "attempts_one_a_job", "job_id", unique=True, sqlite_where=OPEN_ATTEMPT, postgresql_where=OPEN_ATTEMPT
    ),
    Index(
        "attempts_open_by_lease",
        "lease_until_at_ms",
        sqlite_where=OPEN_ATTEMPT,
        postgresql_where=OPEN_ATTEMPT,
    ),
    # Asked of every job at the head of a lane, and almost always empty.
    Index("attempts_elsewhere", "server", "job_id", sqlite_where=ELSEWHERE, postgresql_where=ELSEWHERE),
    Index(
        "attempts_gone_wrong", "server", "ended_at_ms", sqlite_where=GONE_WRONG, postgresql_where=GONE_WRONG
    ),
)

entries = Table(
    "entries",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("account_id", Text, ForeignKey("accounts.id"), nullable=False),
    Column("from_side", Text, nullable=False),
    Column("to_side", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("job_id", Text, ForeignKey("jobs.id")),
    Column("reason", Text, nullable=False, server_default=""),
    Column("created_at_ms", BigInteger, nullable=False),
    # What it is for outside of here, a payment say: there is one entry of a kind for it.
    Column("reference", Text),
    CheckConstraint(f"amount BETWEEN 1 AND {CREDITS_MAX}", name="amount"),
    CheckConstraint(_moves, name="moves"),
    CheckConstraint(f"({_of_a_job}) = (job_id IS NOT NULL)", name="job"),
    Index("entries_of_account", "account_id", "id"),
    Index(
        "entries_one_a_reference",
        "kind",
        "reference",
        unique=True,
        sqlite_where=REFERRED,
        postgresql_where=REFERRED,
    ),
    Index(
        "entries_one_hold_a_job",
        "job_id",
        unique=True,
        sqlite_where=text("kind = 'hold'"),
        postgresql_where=text("kind = 'hold'"),
    ),
    Index(
        "entries_one_settle_a_job",
        "job_id",
        unique=True,
        sqlite_where=text("kind IN ('capture', 'release')"),
        postgresql_where=text("kind IN ('capture', 'release')"),
    ),
    sqlite_autoincrement=True,
)

# Spelled out rather than bound: a plan made without looking at the values cannot use a partial index else.
IS_QUEUED = jobs.c.state == literal_column("'queued'")

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("account_id", Text, ForeignKey("accounts.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", Text, nullable=False),
    Column("made_id", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False, index=True),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("job_id", Text, ForeignKey("jobs.id"), nullable=False),
    Column("account_id", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("delivered_at_ms", BigInteger),
    Index(
        "outbox_waiting",
        "id",
        sqlite_where=text("delivered_at_ms IS NULL"),
        postgresql_where=text("delivered_at_ms IS NULL"),
    ),
    sqlite_autoincrement=True,
)
