"""A service that has been used for long: accounts, and finished jobs with all that their ends left behind.

Rows are written in bulk, and are those that the service itself would have written: the books balance. Every
second job is of one account, the heavy one; what is read of one account must not grow with it either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, text

from comfygate.domain.buckets import DAY_MS, HOUR_MS, MINUTE_MS

HEAVY: Final = "crowd-id-0"
SERVERS: Final = 4
PART: Final = 50_000
"""Jobs written in one transaction."""
WAITING: Final = 60
"""Jobs that wait in line."""
WEEK_MS: Final = 7 * DAY_MS
UPLOAD: Final = "00000000-0000-4000-a000-000000000000"
_NUMBERS: Final = (
    "WITH RECURSIVE n(i) AS (SELECT CAST(:start AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :end)"
)
_FAILED: Final = "n.i % 49 = 0"
_MINE: Final = "CASE WHEN n.i % 2 = 0 THEN 'crowd-id-0' ELSE 'crowd-id-' || (n.i % :crowd) END"
_LANE: Final = "CASE WHEN n.i % 4 = 0 THEN 'video' ELSE 'image' END"
_AT: Final = ":now - 1000000000 + n.i"


def job_id(number: int) -> str:
    """The id of a finished job, by its number."""
    return f"00000000-0000-4000-8000-{number:012d}"


def _id(dialect: str, variant: str = "8") -> str:
    digits = "substr('000000000000' || n.i, -12)"
    if dialect == "postgresql":
        digits = "right('000000000000' || n.i, 12)"
    return f"'00000000-0000-4000-{variant}000-' || {digits}"


def _write(conn: Connection, rows: Sequence[tuple[str, str]], given: Mapping[str, Any]) -> None:
    """Insert what is selected of each number from `start` to `end` (not included), in order."""
    if conn.dialect.name == "postgresql":
        # Else each row's foreign key is looked up by a plan made when the tables were empty: a scan.
        conn.execute(text("SET LOCAL session_replication_role = 'replica'"))
    for into, what in rows:
        ordered = what if " WHERE " in what or " FROM " in what else f"{what} FROM n"
        used = {name: value for name, value in given.items() if f":{name}" in _NUMBERS + ordered}
        conn.execute(text(f"INSERT INTO {into} {_NUMBERS} SELECT {ordered} ORDER BY n.i"), used)


def write_house(conn: Connection, accounts: int, now_ms: int) -> None:
    """Accounts, each named after its number, with keys, chats, payments, codes and sessions; servers and how
    they stood; aggregates of all that plots show; jobs that wait. Nothing of it grows with jobs that end."""
    given = {"start": 0, "end": accounts, "now": now_ms, "week": WEEK_MS, "crowd": accounts}
    own = "'crowd-id-' || n.i"
    _write(
        conn,
        (
            (
                "accounts (id, name, tier, created_at_ms)",
                f"{own}, 'crowd-' || n.i, CASE WHEN n.i % 9 = 0 THEN 'vip' ELSE 'regular' END, {_AT}",
            ),
            ("api_keys (digest, account_id, created_at_ms)", f"'key-' || n.i, {own}, {_AT}"),
            (
                "telegram_users (telegram_id, account_id, chat_id, created_at_ms)",
                f"1000000 + n.i, {own}, 1000000 + n.i, {_AT}",
            ),
            (
                "payments (charge_id, telegram_id, account_id, stars, credits, paid_at_ms)",
                f"'charge-' || n.i, 1000000 + n.i, {own}, 10, 10, {_AT}",
            ),
            ("redeem_codes (digest, hint, credits, created_at_ms)", f"'code-' || n.i, 'HINT', 5, {_AT}"),
            (
                "sessions (digest, account_id, created_at_ms, expires_at_ms)",
                f"'session-' || n.i, {own}, {_AT}, :now + :week",
            ),
            ("blobs (hash, key, size_bytes, created_at_ms)", "'blob', 'b', 1, 0 FROM n WHERE n.i = 0"),
            (
                (
                    "assets (id, account_id, hash, size_bytes, content_type, file_path, created_at_ms,"
                    " expires_at_ms)"
                ),
                (
                    f"'{UPLOAD}', '{HEAVY}', 'blob', 1, 'image/png', 'photo.png', :now, :now + :week"
                    " FROM n WHERE n.i = 0"
                ),
            ),
        ),
        given,
    )
    _write(
        conn,
        (
            (
                "servers (name, url, slots, ahead, lanes, created_at_ms)",
                "'gpu' || n.i, 'http://127.0.0.1:9', 1, 0, '[\"image\", \"video\"]', :now",
            ),
            (
                "run_samples (lane, workflow, shape, server, samples, runs, updated_at_ms)",
                "'image', 'flow', '', 'gpu' || n.i, '[900, 950, 1000]', 3, :now",
            ),
        ),
        given | {"end": SERVERS},
    )
    _write(
        conn,
        [
            (
                "server_changes (server, at_ms, state, reason)",
                f"'gpu' || (n.i % {SERVERS}), {_AT}, CASE WHEN n.i % 2 = 0 THEN 'up' ELSE 'down' END, ''",
            )
        ],
        given | {"end": 2_000},
    )
    _write_waiting(conn, given)
    _write_aggregates(conn, now_ms)


def _write_waiting(conn: Connection, given: Mapping[str, Any]) -> None:
    job = _id(conn.dialect.name, variant="9")
    _write(
        conn,
        (
            (
                (
                    "jobs (id, account_id, lane, priority, state, price, hold, created_at_ms,"
                    " queue_deadline_at_ms, expires_at_ms, workflow, workflow_name)"
                ),
                (
                    f"{job}, {_MINE}, 'image', 100, 'queued', 0, 'none', :now, :now + :week, :now + :week,"
                    " 'flow', 'one'"
                ),
            ),
            (
                "job_graphs (job_id, graph)",
                f"""{job}, '{{"1": {{"class_type": "SaveImage", "inputs": {{}}}}}}'""",
            ),
        ),
        {**given, "end": WAITING},
    )


def waiting_id(number: int) -> str:
    """The id of a job that waits."""
    return f"00000000-0000-4000-9000-{number:012d}"


_GRAINS: Final = (("minute", MINUTE_MS, 180), ("hour", HOUR_MS, 8 * 24), ("day", DAY_MS, 60))
"""And how many of each, up to now: what plots show, and more."""
_BUCKETS: Final = (
    ("wait", ("image", "video"), ("regular", "vip"), range(40, 48)),
    ("ended", ("image", "video"), ("succeeded", "failed", "canceled"), (0,)),
    ("blame", ("image", "video"), ("server_lost", "workflow", "succeeded"), (0,)),
    ("busy", tuple(f"gpu{number}" for number in range(SERVERS)), ("",), (0,)),
    ("credits", ("in", "out", "back"), ("grant",), (0,)),
    ("eta", ("image", "video"), ("met", "late"), range(-3, 3)),
)
"""Measure, series, parts, and the bins of each."""


def _write_aggregates(conn: Connection, now_ms: int) -> None:
    """As full as a service's that has jobs in every minute."""
    for grain, length_ms, count in _GRAINS:
        given = {"start": 0, "end": count, "last": now_ms // length_ms * length_ms, "length": length_ms}
        rows = [
            (
                "buckets (grain, measure, at_ms, series, part, bin, times, total)",
                (
                    f"'{grain}', '{measure}', :last - :length * n.i, '{series}', '{part}', {bin_},"
                    f" {0 if measure == 'busy' else 3}, 30000"
                ),
            )
            for measure, all_series, parts, bins in _BUCKETS
            for series in all_series
            for part in parts
            for bin_ in bins
        ]
        _write(conn, rows, given)


def write_jobs(conn: Connection, start: int, end: int, accounts: int, now_ms: int) -> None:
    """Finished jobs `start` to `end` (not included): most succeeded and are paid, some failed and came back.
    What two of three made is past its time."""
    job, made = _id(conn.dialect.name), _id(conn.dialect.name, variant="b")
    graph = '{"1": {"class_type": "SaveImage", "inputs": {}}}'
    given = {"start": start, "end": end, "now": now_ms, "crowd": accounts, "week": WEEK_MS, "graph": graph}
    given["error"] = '{"code": "error", "message": "it failed"}'
    _write(conn, [*_own_rows(job), *_books(job), *_traces(job, made)], given)


def _own_rows(job: str) -> list[tuple[str, str]]:
    state = f"CASE WHEN {_FAILED} THEN 'failed' ELSE 'succeeded' END"
    return [
        (
            (
                "jobs (id, account_id, lane, priority, state, price, hold, error, created_at_ms, attempt,"
                " queue_deadline_at_ms, started_at_ms, completed_at_ms, expires_at_ms, workflow,"
                " workflow_name)"
            ),
            (
                f"{job}, {_MINE}, {_LANE}, 100, {state}, 1,"
                f" CASE WHEN {_FAILED} THEN 'released' ELSE 'captured' END,"
                f" CASE WHEN {_FAILED} THEN :error END, {_AT}, 1, :now, {_AT} + 100, {_AT} + 1000,"
                " CASE WHEN n.i % 3 = 0 THEN :now + :week ELSE :now END, 'flow',"
                " CASE WHEN n.i % 500 = 0 THEN 'two' ELSE 'one' END"
            ),
        ),
        ("job_graphs (job_id, graph)", f"{job}, :graph"),
        (
            "job_inputs (job_id, position, node_id, path, asset_id)",
            f"""{job}, 0, '1', '["image"]', '{UPLOAD}'""",
        ),
        (
            (
                "attempts (job_id, number, prompt_id, server, slot, owner, lease_until_at_ms, claimed_at_ms,"
                " started_at_ms, left_at_ms, ended_at_ms, outcome, blame)"
            ),
            (
                f"{job}, 1, 'crowd-prompt-' || n.i, 'gpu' || (n.i % {SERVERS}), 0, 'me', 0,"
                f" {_AT} + 50, {_AT} + 100, {_AT} + 900, {_AT} + 1000, {state},"
                f" CASE WHEN {_FAILED} THEN 'server_lost' END"
            ),
        ),
    ]


def _books(job: str) -> list[tuple[str, str]]:
    """What a job that succeeded costs was granted before; of one that failed nothing is left."""
    columns = "entries (kind, account_id, from_side, to_side, amount, job_id, reason, created_at_ms)"
    return [
        (
            columns,
            f"'grant', {_MINE}, 'issued', 'available', 1, NULL, 'x', {_AT} FROM n WHERE NOT ({_FAILED})",
        ),
        (columns, f"'hold', {_MINE}, 'available', 'held', 1, {job}, '', {_AT}"),
        (
            columns,
            (
                f"CASE WHEN {_FAILED} THEN 'release' ELSE 'capture' END, {_MINE}, 'held',"
                f" CASE WHEN {_FAILED} THEN 'available' ELSE 'revenue' END, 1, {job}, '', {_AT}"
            ),
        ),
    ]


def _traces(job: str, made: str) -> list[tuple[str, str]]:
    """What a job leaves in other tables."""
    some = "FROM n WHERE n.i % 10 = 0"
    state = "CASE WHEN n.i % 100 = 0 THEN 'waiting' ELSE 'rejected' END"
    return [
        (
            (
                "assets (id, account_id, hash, size_bytes, content_type, file_path, created_at_ms,"
                " expires_at_ms, job_id, position, node_id, name, output_type)"
            ),
            (
                f"{made}, {_MINE}, 'blob', 1, 'image/png', 'out.png', :now, :now + :week, {job}, 0, '9',"
                f" 'out.png', 'image' FROM n WHERE n.i % 3 = 0 AND NOT ({_FAILED})"
            ),
        ),
        (
            (
                "etas (job_id, lane, priority, at_ms, p50_ms, p90_ms, model_p50_ms, model_p90_ms, took_ms,"
                " ended_at_ms)"
            ),
            f"{job}, {_LANE}, 100, {_AT}, 900, 1500, 900, 1500, 1000, {_AT} + 1000",
        ),
        (
            "outbox (job_id, account_id, lane, kind, payload, created_at_ms, delivered_at_ms)",
            f"{job}, {_MINE}, {_LANE}, 'job.succeeded', '{{}}', {_AT}, :now",
        ),
        (
            "job_scores (job_id, position, name, content_type, hash, score, finding, at_ms)",
            f"{job}, 0, 'out.png', 'image/png', 'blob', 0.1, 'safe', :now",
        ),
        (
            "reviews (job_id, account_id, state, score, created_at_ms, expires_at_ms, decided_at_ms)",
            (
                f"{job}, {_MINE}, {state}, 0.9, {_AT}, :now + :week,"
                f" CASE WHEN n.i % 100 = 0 THEN NULL ELSE :now END {some}"
            ),
        ),
        (
            "suspicions (account_id, kind, job_id, hash, score, at_ms, forgiven_at_ms)",
            (
                # The heavy account has a few: with many it would have been suspended.
                f"{_MINE}, 'output', {job}, 'blob', 0.9, :now,"
                " CASE WHEN n.i % 50 < 6 THEN NULL ELSE :now END FROM n WHERE n.i % 10 = 5 OR n.i IN (0, 6)"
            ),
        ),
        (
            "audit_log (at_ms, actor, operation, arguments, result)",
            (
                f"{_AT}, CASE WHEN n.i % 1000 = 0 THEN 'account:{HEAVY}' ELSE 'cli' END,"
                " CASE WHEN n.i % 10 = 0 THEN 'lanes.pause' ELSE 'credits.grant' END, '{}', 'ok'"
            ),
        ),
    ]


def settled(conn: Connection) -> None:
    """As an engine is after a while: PostgreSQL looks by itself at what is in the tables, SQLite does not."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("ANALYZE"))
