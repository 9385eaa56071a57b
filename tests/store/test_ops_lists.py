"""The operator's lists: all of what is there, once, in order, and by an index however much is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, event

from comfygate.domain.buckets import Grain, Measure
from comfygate.domain.job import JobState
from comfygate.store import buckets, ops_lists, ops_story
from comfygate.store.ops_lists import EXAMINED_MAX
from tests.store.test_plans import numbers, plan
from tests.store.world import NOW, World

ROWS = 20_000
ACCOUNTS = """
    INSERT INTO accounts (id, name, tier, created_at_ms)
    SELECT 'acc-' || n, 'name ' || n, 'regular', n % 5000 FROM numbers
"""
JOBS = """
    INSERT INTO jobs (ticket, id, account_id, lane, priority, state, price, hold, error, created_at_ms,
                      queue_deadline_at_ms, completed_at_ms, expires_at_ms)
    SELECT n, 'bulk-' || n, CASE WHEN n % 2 = 0 THEN 'acc-1' ELSE 'acc-2' END,
           CASE WHEN n % 10 = 0 THEN 'video' ELSE 'image' END, 100,
           CASE WHEN n % 100 = 1 THEN 'failed' WHEN n % 100 = 2 THEN 'queued'
                WHEN n % 1000 = 3 THEN 'running' ELSE 'canceled' END, 0, 'none',
           CASE WHEN n % 100 = 1 THEN '{"code": "error", "message": "no"}' END, 0, 0,
           CASE WHEN n % 100 = 2 OR n % 1000 = 3 THEN NULL ELSE 1 END, 0
    FROM numbers
"""
ATTEMPTS = """
    INSERT INTO attempts (job_id, number, prompt_id, server, slot, owner, lease_until_at_ms, claimed_at_ms,
                          ended_at_ms, outcome)
    SELECT 'bulk-' || n, 1, 'prompt-' || n, 'gpu' || (n % 7), 0, 'me', 0, n, n,
           CASE WHEN n % 100 = 1 THEN 'failed' ELSE 'succeeded' END
    FROM numbers
"""
ENTRIES = """
    INSERT INTO entries (kind, account_id, from_side, to_side, amount, reason, created_at_ms)
    SELECT 'grant', CASE WHEN n % 2 = 0 THEN 'acc-1' ELSE 'acc-2' END, 'issued', 'available', 1, 'x', n
    FROM numbers
"""
REVIEWS = """
    INSERT INTO reviews (job_id, account_id, state, score, created_at_ms, expires_at_ms, decided_at_ms)
    SELECT 'bulk-' || n, 'acc-1', CASE WHEN n % 100 = 0 THEN 'waiting' ELSE 'rejected' END, 0.9, n % 500, n,
           CASE WHEN n % 100 = 0 THEN NULL ELSE n END
    FROM numbers
"""
AUDIT = """
    INSERT INTO audit_log (at_ms, actor, operation, arguments, result)
    SELECT n, CASE WHEN n % 1000 = 0 THEN 'account:acc-1' ELSE 'cli' END, 'lanes.pause', '{}', 'ok'
    FROM numbers
"""
CHANGES = """
    INSERT INTO server_changes (server, at_ms, state, reason)
    SELECT 'gpu' || (n % 7), n, 'up', '' FROM numbers
"""
BUCKETS = """
    INSERT INTO buckets (grain, measure, at_ms, series, part, bin, times, total)
    SELECT 'minute', 'wait', 60000 * n, 'image', 'regular', 7, 1, 1 FROM numbers
"""


@pytest.fixture
def crowded(world: World) -> World:
    crowd(world)
    return world


def crowd(world: World) -> None:
    for rows in (ACCOUNTS, JOBS, ATTEMPTS, ENTRIES, REVIEWS, AUDIT, CHANGES, BUCKETS):
        world.sql(numbers(world.dialect) + rows.strip())
    world.sql("ANALYZE")


def jobs(conn: Connection, /, **wanted: Any) -> tuple[list[Any], int | None]:
    given: dict[str, Any] = {"account_id": None, "lane": None, "states": (), "before": None, "limit": 50}
    return ops_lists.list_jobs(conn, lanes=("image", "video"), **(given | wanted))


READS: dict[str, Callable[[Connection], Any]] = {
    "jobs": jobs,
    "jobs from the middle": lambda conn: jobs(conn, before=10_000),
    "jobs of a lane": lambda conn: jobs(conn, lane="video", before=10_000),
    "jobs that failed": lambda conn: jobs(conn, states=[JobState.FAILED], before=10_000),
    "jobs that failed in a lane": lambda conn: jobs(conn, states=[JobState.FAILED], lane="image"),
    "jobs that are open": lambda conn: jobs(conn, states=[JobState.QUEUED, JobState.RUNNING]),
    "jobs of an account": lambda conn: jobs(conn, account_id="acc-1", before=10_000),
    "jobs of an account that run": lambda conn: jobs(conn, account_id="acc-1", states=[JobState.RUNNING]),
    "accounts": lambda conn: ops_lists.list_accounts(conn, "", (2500, "acc-7500"), 50),
    "accounts by name": lambda conn: ops_lists.list_accounts(conn, "NAME 77", (2500, "acc-7500"), 50),
    "account by name": lambda conn: ops_lists.list_accounts(conn, "name 77", None, 50),
    "entries": lambda conn: ops_lists.list_entries(conn, None, 10_000, 50),
    "entries of an account": lambda conn: ops_lists.list_entries(conn, "acc-1", 10_000, 50),
    "reviews": lambda conn: ops_lists.list_reviews(conn, None, (250, "bulk-750"), 50),
    "reviews that wait": lambda conn: ops_lists.list_reviews(conn, "waiting", (250, "bulk-750"), 50),
    "audit": lambda conn: ops_lists.list_audit(conn, None, None, 10_000, 50),
    "audit of an actor": lambda conn: ops_lists.list_audit(conn, "account:acc-1", None, 10_000, 50),
    "troubles of a server": lambda conn: ops_story.troubles_of(conn, "gpu1", 50),
    "changes of a server": lambda conn: ops_story.changes_of(conn, "gpu1", 50),
    "what runs": ops_story.open_attempts,
    "last in line": lambda conn: ops_story.last_queued(conn, "image"),
    "attempts of a job": lambda conn: ops_story.attempts_of(conn, "bulk-7"),
    "entries of a job": lambda conn: ops_story.entries_of_job(conn, "bulk-7"),
    "counts of an account": lambda conn: ops_story.counts_of_account(conn, "acc-1"),
    "reviews that wait, counted": lambda conn: ops_story.reviews_waiting(conn, 100),
    "ended lately": lambda conn: buckets.ended_since(conn, 60_000 * (ROWS - 10)),
    "a series": lambda conn: buckets.cells(conn, Grain.MINUTE, Measure.WAIT, 60_000 * (ROWS - 60), 10**12),
}
BIG = {"accounts", "attempts", "audit_log", "buckets", "entries", "jobs", "reviews", "server_changes"}


def test_no_list_and_no_page_reads_a_whole_table(crowded: World) -> None:
    for name, read in READS.items():
        seen: list[tuple[str, object]] = []

        def note(_c: object, _u: object, statement: str, values: object, *_: object) -> None:
            seen.append((statement, values))  # noqa: B023 - of this round

        with crowded.open() as conn:
            event.listen(conn, "before_cursor_execute", note)
            read(conn)
            event.remove(conn, "before_cursor_execute", note)
            assert seen
            for statement, values in seen:
                shown = plan(conn, statement, values)
                scanned = set(re.findall(r"Seq Scan on (\w+)", shown))
                # Without an index's name SQLite reads the table itself; in the order of its number that is
                # a walk along its key, which the LIMIT ends.
                walks = "ORDER BY" in statement and "LIMIT" in statement
                if not walks:
                    scanned |= set(re.findall(r"SCAN (\w+)(?! USING)", shown))
                assert not scanned & BIG, f"{name}: {statement}\n{shown}"
                if walks and "jobs_in_flight" not in shown:
                    # What is on servers is sorted: it is no more than there are slots.
                    assert "TEMP B-TREE FOR ORDER BY" not in shown or "anon" in statement, (name, shown)


def test_every_job_is_on_one_page_in_order(world: World) -> None:
    ann, ben = world.account(), world.account()
    made = []
    for number in range(24):
        job = world.submit(ann if number % 3 else ben, lane="image" if number % 2 else "video")
        made.append(job)
    for _ in range(4):
        world.succeed(world.claimed("image", "video").fence)
    world.claimed("image", "video", server="other")
    for wanted in (
        {},
        {"lane": "image"},
        {"account_id": ben},
        {"account_id": ben, "lane": "video"},
        {"states": [JobState.SUCCEEDED, JobState.CLAIMED]},
        {"states": [JobState.QUEUED], "lane": "video"},
        {"account_id": ann, "states": [JobState.SUCCEEDED]},
    ):
        found: list[int] = []
        before: int | None = None
        while True:
            rows, before = world.run(jobs, **wanted, before=before, limit=5)
            found += [row.ticket for row in rows]
            if before is None:
                break
        now = [world.job(job.id) for job in made]
        assert found == sorted(
            (
                job.ticket
                for job in now
                if job.lane == wanted.get("lane", job.lane)
                and job.account_id == wanted.get("account_id", job.account_id)
                and (not wanted.get("states") or job.state in wanted["states"])
            ),
            reverse=True,
        ), wanted


def test_a_search_goes_on_past_what_a_page_may_look_at(crowded: World) -> None:
    found, before = [], None
    pages = 0
    while True:
        rows, before = crowded.run(ops_lists.list_accounts, "e 777", before, 50)
        found += [row.id for row in rows]
        pages += 1
        if before is None:
            break
    assert sorted(found) == sorted(["acc-777", *(f"acc-777{n}" for n in range(10))])
    assert pages == ROWS // EXAMINED_MAX + 1
    few, following = crowded.run(jobs, account_id="acc-2", states=[JobState.RUNNING])
    assert few
    assert following is not None, "there is more to look at"


def test_a_percent_sign_in_a_search_is_a_percent_sign(world: World) -> None:
    world.account()
    assert world.run(ops_lists.list_accounts, "%", None, 50) == ([], None)
    assert world.run(ops_lists.list_audit, "%", "_", None, 50) == ([], None)
    assert NOW


def test_who_goes_first_is_never_last_in_line(world: World) -> None:
    regular, gold = world.account(), world.account(tier="black_gold")
    world.submit(regular)
    last = world.submit(regular)
    first = world.submit(gold)
    assert (last.priority > first.priority, last.ticket < first.ticket) == (True, True)
    found = world.run(ops_story.last_queued, last.lane)
    assert found is not None
    assert found["id"] == last.id
