"""The tables of estimates: measured run times, and what was told of each job and came of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from comfygate.store.tables import metadata as metadata  # noqa: PLC0414  # with these tables in it

# The newest run times (domain/run_times.py), as a JSON list of ms, newest last.
run_samples = Table(
    "run_samples",
    metadata,
    Column("lane", Text, primary_key=True),
    Column("workflow", Text, primary_key=True),
    Column("shape", Text, primary_key=True),
    Column("server", Text, primary_key=True),
    Column("samples", Text, nullable=False),
    Column("runs", BigInteger, nullable=False),
    Column("updated_at_ms", BigInteger, nullable=False, index=True),
    Index("run_samples_newest_in_lane", "lane", "updated_at_ms"),
)

ENDED = text("ended_at_ms IS NOT NULL")

# What a job was told once, soon after its submission: times in ms from `at_ms` to its end. The model's are
# those before the correction by earlier errors. Not in jobs, and without a foreign key: either would lock the
# job's row, and a claim passes over a job whose row is locked (I4).
etas = Table(
    "etas",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("lane", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("p50_ms", BigInteger, nullable=False),
    Column("p90_ms", BigInteger, nullable=False),
    Column("model_p50_ms", BigInteger, nullable=False),
    Column("model_p90_ms", BigInteger, nullable=False),
    # Of a job that succeeded: what it really took.
    Column("took_ms", BigInteger),
    Column("ended_at_ms", BigInteger),
    Index("etas_judged", "lane", "priority", "ended_at_ms", sqlite_where=ENDED, postgresql_where=ENDED),
)
