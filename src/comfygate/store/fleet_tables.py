"""The tables of servers and lanes: what is configured, what was found out, whose turn it is."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Integer, Table, Text

from comfygate.domain.health import ServerState
from comfygate.store.metadata import metadata, one_of

servers = Table(
    "servers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("slots", Integer, nullable=False),
    Column("lanes", Text, nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    # Since when the operator lets it take no new job; NULL: it works.
    Column("drained_at_ms", BigInteger),
    # How many prompts of ours may wait on the server behind those that run there.
    Column("ahead", Integer, nullable=False, server_default="0"),
    CheckConstraint("slots BETWEEN 1 AND 64", name="slots"),
    CheckConstraint("ahead IN (0, 1)", name="ahead"),
)

# What the replica that owns a server last found out about it; all of it survives that replica.
server_health = Table(
    "server_health",
    metadata,
    Column("server", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("version", Text, nullable=False, server_default=""),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("trips", Integer, nullable=False, server_default="0"),
    Column("quarantined_until_at_ms", BigInteger),
    Column("changed_at_ms", BigInteger, nullable=False),
    CheckConstraint(one_of("state", [state.value for state in ServerState]), name="state"),
)

# A workflow that hung on a server is not given to it again for a while.
pair_quarantines = Table(
    "pair_quarantines",
    metadata,
    Column("workflow", Text, primary_key=True),
    Column("server", Text, primary_key=True),
    Column("reason", Text, nullable=False, server_default=""),
    Column("until_at_ms", BigInteger, nullable=False),
)

# What a server has not that a workflow needs, as its owner found when the workflow came up. No row: it fits,
# or nobody has looked.
misfits = Table(
    "misfits",
    metadata,
    Column("workflow", Text, primary_key=True),
    Column("server", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("judged_at_ms", BigInteger, nullable=False, index=True),
)

# How many later jobs began before a queued one because their models were warm. Not a column of the job: a row
# of `jobs` that is locked for counting would be passed over by other servers.
overtaken = Table(
    "overtaken",
    metadata,
    Column("ticket", BigInteger, primary_key=True, autoincrement=False),
    Column("times", Integer, nullable=False),
)

# How long a workflow usually runs, for the watchdog: a moving average of its successes.
run_times = Table(
    "run_times",
    metadata,
    Column("workflow", Text, primary_key=True),
    Column("runs", BigInteger, nullable=False),
    Column("usual_ms", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False, index=True),
)

lanes = Table(
    "lanes",
    metadata,
    Column("name", Text, primary_key=True),
    Column("paused_at_ms", BigInteger),
    # Since when no server can take a job of this lane; its jobs expire a while after.
    Column("unable_since_at_ms", BigInteger),
    # Starts in a row that overtook an older job of another priority.
    Column("overtakes", Integer, nullable=False, server_default="0"),
)

# The virtual time of lanes with fair share: the start tag of what began last, by priority.
fair_clocks = Table(
    "fair_clocks",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("priority", Integer, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
)

# Who does what only one replica may do at a time: a server's slots, telling subscribers.
leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until_at_ms", BigInteger, nullable=False),
)

# The job that a server gets next unless a better one comes, with the prompt_id it will be sent under: written
# before it may be sent, and gone when it is claimed. It binds nothing: the job is queued like any other.
ready = Table(
    "ready",
    metadata,
    Column("server", Text, primary_key=True),
    Column("job_id", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("prompt_id", Text, nullable=False),
    Column("made_at_ms", BigInteger, nullable=False),
)
