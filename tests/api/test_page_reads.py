"""Every read of every page follows indexes, on both engines, and takes no more where more jobs have ended."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from benchmarks import crowd
from benchmarks.page_house import CATALOGUE, PageHouse, page_house
from benchmarks.page_reads import GROWS, NOT_AT_OPENING, PAGES
from comfygate.settings import load_settings
from comfygate.store.engine import schema_engine
from tests.store.test_plans import plan

PAGES_FOLDER = Path(__file__).parents[2] / "src" / "comfygate" / "web" / "pages"
ACCOUNTS = 5_000
FEW, MANY = 11_000, 22_000
"""Finished jobs; half of them are one account's, which is then more than a page looks at one by one."""
GREW = 1.25
"""Where a read grows with the jobs that ended it is twice as much: less than this is chance."""
SMALL = 30
"""Rows, or hundreds of SQLite's steps, that are not worth a thought."""
BIG = {
    "accounts", "api_keys", "assets", "attempts", "audit_log", "buckets", "entries", "etas", "job_graphs",
    "job_inputs", "job_scores", "jobs", "outbox", "payments", "redeem_codes", "reviews", "server_changes",
    "sessions", "suspicions", "telegram_users",
}  # fmt: skip
Statement = tuple[str, Any]


def test_every_address_in_the_scripts_is_known() -> None:
    """Those that are posted to, or deleted, are no reads."""
    asked: set[str] = set()
    for script in sorted(PAGES_FOLDER.rglob("*.js")):
        if "vendor" in script.parts:
            continue
        text = script.read_text(encoding="utf-8")
        for found in re.finditer(r'(?P<before>.{0,20}?)(?P<quote>["`])(?P<address>gate/v1/[^"`]*)', text):
            if not re.search(r'(post|remove|call)\((?!"GET)[^)]*$', found["before"]):
                asked.add(_plain(found["address"]))
    listed = {
        _plain(address.replace(crowd.HEAVY, "${}"))
        for addresses in (*PAGES.values(), *GROWS.values())
        for address in addresses
    }
    assert asked - listed - NOT_AT_OPENING == set()
    assert len(listed) > 20


def _plain(address: str) -> str:
    """Without the query, and {} for what is put in."""
    bare = re.sub(r"\$\{[^}]*$", "", re.sub(r"\$\{[^}]*\}", "{}", address)).partition("?")[0]
    bare = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{}", bare)
    return re.sub(r"/(workflows|servers)/(?!\{)[^/]+", r"/\1/{}", bare)


@contextlib.contextmanager
def heard() -> Iterator[list[Statement]]:
    """What is asked of any database meanwhile."""
    statements: list[Statement] = []

    def note(_c: object, _u: object, statement: str, values: object, *_: object) -> None:
        statements.append((statement, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


@pytest.fixture
async def house(tmp_path: Path, database_url: str) -> AsyncIterator[PageHouse]:
    overrides: dict[str, Any] = {"database_url": database_url, "workflows_dir": str(CATALOGUE)}
    async with page_house(load_settings(base_dir=tmp_path, environ={}, overrides=overrides)) as found:
        await found.ctx.store.run(crowd.write_house, ACCOUNTS, found.ctx.now_ms())
        await found.sign_in()
        yield found


async def asked_of(house: PageHouse, statements: list[Statement]) -> dict[str, list[Statement]]:
    """What each page's addresses ask of the database."""
    found: dict[str, list[Statement]] = {}
    for address in {address for addresses in PAGES.values() for address in addresses}:
        await house.look_anew()
        statements.clear()
        await house.read(address)
        found[address] = [one for one in statements if not one[0].startswith("BEGIN")]
    return found


async def test_no_page_reads_a_whole_table_or_more_as_jobs_end(house: PageHouse, database_url: str) -> None:
    store, engine = house.ctx.store, schema_engine(database_url)
    work: list[dict[str, int]] = []
    asked: dict[str, list[Statement]] = {}
    with heard() as statements:
        for start, end in ((0, FEW), (FEW, MANY)):
            await store.run(crowd.write_jobs, start, end, ACCOUNTS, house.ctx.now_ms())
            await store.run(crowd.settled)
            asked = await asked_of(house, statements)
            with engine.connect() as conn:
                work.append({address: sum(taken(conn, *one) for one in of) for address, of in asked.items()})
    few, many = work
    with engine.connect() as conn:
        whole = {address: list(whole_tables(conn, of)) for address, of in asked.items()}
    assert {address: found for address, found in whole.items() if found} == {}
    grew = {
        address: (few[address], many[address])
        for address in many
        if many[address] > few[address] * GREW + SMALL
    }
    assert grew == {}
    audit = await house.read(GROWS["#/books, recomputed"][0])
    assert (audit["balanced"], audit["faults"]) == (True, []), "these are books as the service keeps them"


def taken(conn: Connection, statement: str, values: Any) -> int:
    """What a statement takes: on PostgreSQL rows that its plan came by, on SQLite hundreds of steps."""
    if conn.dialect.name == "postgresql":
        (found,) = conn.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values).one()
        return rows_of(found[0]["Plan"])
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1

    driver: Any = conn.connection.dbapi_connection
    driver.set_progress_handler(step, 100)
    conn.exec_driver_sql(statement, values).all()
    driver.set_progress_handler(None, 0)
    return steps


def rows_of(node: dict[str, Any]) -> int:
    came = node["Actual Rows"] + sum(value for key, value in node.items() if key.startswith("Rows Removed"))
    return int(came * node["Actual Loops"]) + sum(map(rows_of, node.get("Plans", [])))


def whole_tables(conn: Connection, statements: list[Statement]) -> Iterator[str]:
    """Statements that read a large table as it lies."""
    for statement, values in statements:
        shown = plan(conn, statement, values)
        scanned = set(re.findall(r"Seq Scan on (\w+)", shown))
        if "accounts.id IN (" in statement:
            # To PostgreSQL fifty looks by the key are as much as a look at 5,000 accounts.
            scanned -= {"accounts"}
        # Without an index's name SQLite reads the table itself; in the order of its number that is a walk
        # along its key, which the LIMIT ends.
        if not ("ORDER BY" in statement and "LIMIT" in statement):
            scanned |= set(re.findall(r"SCAN (\w+)(?! USING)", shown))
        if "LIMIT" in statement and "WHERE" not in statement:
            # Whatever lies first.
            scanned.clear()
        if scanned & BIG:
            yield f"{statement}\n{json.dumps(values, default=str)}\n{shown}"
