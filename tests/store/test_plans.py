"""The queries that run all the time read their index, not the table, on both engines, at 20,000 rows."""

import re
from typing import Any

import pytest
from sqlalchemy import Connection, Dialect, Select, event
from sqlalchemy.dialects import postgresql

# ruff: noqa: S608  # raw SQL from this file's own words
from comfygate.store import attempts, etas, fit, jobs, outbox
from tests.store.world import NOW, World

ROWS = 20_000
JOBS = """
    INSERT INTO jobs (ticket, id, account_id, lane, priority, state, price, hold, created_at_ms,
                      queue_deadline_at_ms, completed_at_ms, expires_at_ms)
    SELECT n, 'bulk-' || n, :account_id, CASE WHEN n % 10 = 0 THEN 'video' ELSE 'image' END,
           CASE WHEN n % 50 = 0 THEN 0 ELSE 100 END,
           CASE WHEN n % 2 = 0 THEN 'queued' ELSE 'canceled' END, 0, 'none', 0, 0,
           CASE WHEN n % 2 = 0 THEN NULL ELSE 1 END, 0
    FROM numbers
"""
GRAPHS = "INSERT INTO job_graphs (job_id, graph) SELECT 'bulk-' || n, '{}' FROM numbers"
OUTBOX = """
    INSERT INTO outbox (job_id, account_id, lane, kind, payload, created_at_ms, delivered_at_ms)
    SELECT 'bulk-' || n, :account_id, 'image', 'job.queued', '{}', 0,
           CASE WHEN n % 200 = 0 THEN NULL ELSE 1 END
    FROM numbers
"""


def numbers(dialect: str) -> str:
    if dialect == "postgresql":
        return f"WITH numbers AS (SELECT generate_series(1, {ROWS}) AS n) "
    return f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS}) "


def crowd(world: World) -> None:
    account_id = world.account()
    for rows in (JOBS, GRAPHS, OUTBOX):
        named = {"account_id": account_id} if ":account_id" in rows else {}
        world.sql(numbers(world.dialect) + rows.strip(), **named)
    world.sql("ANALYZE")


@pytest.fixture
def crowded(world: World) -> World:
    crowd(world)
    return world


def statements(world: World, call: str) -> list[tuple[str, object]]:
    """Give the SELECTs on jobs and outbox, with their values, that one store call really sends."""
    seen: list[tuple[str, object]] = []

    def note(_c: object, _cursor: object, statement: str, values: object, *_: object) -> None:
        if statement.startswith("SELECT") and ("FROM jobs" in statement or "FROM outbox" in statement):
            seen.append((statement, values))

    with world.open() as conn:
        event.listen(conn, "before_cursor_execute", note)
        CALLS[call](conn)
    return seen


def claim(conn: Connection) -> None:
    slot = attempts.Slot("gpu", 0, ("image", "video"))
    assert attempts.claim(conn, slot, owner="me", prompt_id="p", lease_ms=1, now_ms=NOW) is not None


def position(conn: Connection) -> None:
    assert jobs.position(conn, jobs.get_job(conn, "bulk-10004"), 1000) == 1001


def waiting(conn: Connection) -> None:
    assert len(outbox.waiting(conn, 50)) == 50


def line(conn: Connection) -> None:
    assert len(etas.line_of(conn, "video", 200)) == 200
    assert etas.count_before(conn, "image", (100, 0, 10_004), 1000) == 1000


CALLS = {"claim": claim, "position": position, "waiting": waiting, "line": line}
INDEX = {
    "claim": "jobs_in_order",
    "position": "jobs_in_order",
    "waiting": "outbox_waiting",
    "line": "jobs_in_order",
}


def plan(conn: Connection, statement: str, values: object) -> str:
    explain = "EXPLAIN QUERY PLAN " if conn.dialect.name == "sqlite" else "EXPLAIN "
    rows = conn.exec_driver_sql(explain + statement, values)  # type: ignore[arg-type]
    return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize("call", CALLS)
def test_what_runs_all_the_time_reads_its_index(crowded: World, call: str) -> None:
    ordered = [pair for pair in statements(crowded, call) if "ORDER BY" in pair[0] or "count(" in pair[0]]
    assert ordered
    with crowded.open() as conn:
        for statement, values in ordered:
            shown = plan(conn, statement, values)
            assert INDEX[call] in shown, f"{statement}\n{shown}"
            # These hold a handful of rows here, which nobody reads by an index.
            scans = set(re.findall(r"Seq Scan on (\w+)", shown)) - {
                "lanes",
                "servers",
                "misfits",
                "pair_quarantines",
                "attempts",
            }
            assert not scans, shown
            assert "SCAN jobs" not in shown, shown
            assert "TEMP B-TREE" not in shown, shown
            assert "Sort" not in shown, shown


def test_a_lanes_head_costs_the_same_behind_any_backlog(crowded: World) -> None:
    """The index leads with the lane, so the minority lane's head is not behind the majority's queue."""
    if crowded.dialect == "sqlite":
        with crowded.open() as conn:
            assert "lane=?" in plan(conn, *lane_head(conn.dialect, "video"))
        return
    with crowded.open() as conn:
        statement, values = lane_head(conn.dialect, "video")
        rows = conn.exec_driver_sql("EXPLAIN (ANALYZE, BUFFERS) " + statement, values)  # type: ignore[arg-type]
        shown = "\n".join(row[0] for row in rows)
        assert "Index Cond: (lane = 'video'" in shown
        (scan,) = [line for line in shown.splitlines() if "jobs_in_order" in line]
        assert "rows=1 loops=1" in scan


def lane_head(dialect: Dialect, lane: str) -> tuple[str, object]:
    query: Select[Any] = fit._first_query(oldest=False, past_accounts=False, past_tickets=False)
    given = {"lane": lane, "server": "gpu", "now_ms": 0, "most": 1}
    compiled = query.params(given).compile(dialect=dialect)
    if compiled.positional:
        return str(compiled), tuple(compiled.params[name] for name in compiled.positiontup or ())
    return str(compiled), compiled.params


@pytest.mark.postgresql
def test_the_index_is_used_even_without_looking_at_the_values(pg_world: World) -> None:
    """A partial index helps only if the statement says `state = 'queued'` itself, not `state = $1`.

    PostgreSQL may come to plan without the values after a statement was run a few times.
    """
    crowd(pg_world)
    numbered = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
    statement, given = lane_head(numbered, "video")
    with pg_world.open() as conn:
        conn.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
        conn.exec_driver_sql(f"PREPARE head AS {statement}")
        assert isinstance(given, tuple)
        values = ", ".join(f"'{value}'" if isinstance(value, str) else str(value) for value in given)
        shown = "\n".join(row[0] for row in conn.exec_driver_sql(f"EXPLAIN EXECUTE head({values})"))
    assert "jobs_in_order" in shown, shown
