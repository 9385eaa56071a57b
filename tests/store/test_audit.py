"""The audit recomputes the books: clean after honest work, and it finds what someone wrote past the rules."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection

from comfygate.domain.job import Canceled, Failed, JobError, Succeeded
from comfygate.store import jobs, ledger
from comfygate.store.engine import Store
from tests.store.world import KEY_SECONDS, NOW, TIERS, World, new_job


@contextmanager
def rules_off(world: World) -> Iterator[Connection]:
    """Let raw writes past triggers, checks, unique indexes and foreign keys, as a hand in the file could."""
    with world.engine.connect() as conn:
        if world.dialect == "sqlite":
            cursor = conn.connection.cursor()
            cursor.execute("PRAGMA foreign_keys=OFF")
            cursor.execute("PRAGMA ignore_check_constraints=ON")
            for name in ("entries_no_update", "entries_no_delete"):
                cursor.execute(f"DROP TRIGGER {name}")
        else:
            conn.exec_driver_sql("SET session_replication_role = replica")
            for name in ("accounts_available_check", "accounts_held_check"):
                conn.exec_driver_sql(f"ALTER TABLE accounts DROP CONSTRAINT {name}")
            for name in ("jobs_hold_open_check", "jobs_hold_captured_check"):
                conn.exec_driver_sql(f"ALTER TABLE jobs DROP CONSTRAINT {name}")
        for name in ("entries_one_hold_a_job", "entries_one_settle_a_job"):
            conn.exec_driver_sql(f"DROP INDEX {name}")
        conn.commit()
        yield conn
        conn.commit()


def lives(world: World) -> dict[str, str]:
    """One job of each end, and one each still open, of one account."""
    account_id = world.account(credits=1000)
    ended = {}
    for name, outcome in (
        ("paid", Succeeded()),
        ("failed", Failed(JobError("x", "y"))),
        ("stopped", Canceled()),
    ):
        fence = world.running(account_id).fence
        world.settle(fence, outcome)
        ended[name] = fence.job_id
    free = world.running(account_id, price=0).fence
    world.succeed(free)
    canceled = world.submit(account_id).id
    world.run(jobs.cancel, canceled, account_id, NOW)
    world.submit(account_id, queue_deadline_at_ms=NOW)
    world.run(jobs.expire_queued, NOW, 10)
    return ended | {
        "account": account_id, "free": free.job_id, "canceled": canceled,
        "running": world.running(account_id).fence.job_id, "queued": world.submit(account_id).id,
    }  # fmt: skip


def test_honest_books_are_clean(world: World) -> None:
    assert world.run(ledger.audit).faults == ()
    world.account(credits=5)
    lives(world)
    audit = world.run(ledger.audit)
    assert audit.faults == ()
    assert (audit.accounts, audit.issued, audit.revenue) == (2, -1005, 3)
    assert (audit.available, audit.held, audit.total) == (1005 - 3 - 6, 6, 0)
    assert audit.entries == world.sql("SELECT count(*) FROM entries")[0][0]


INSERT = "INSERT INTO entries (kind, account_id, from_side, to_side, amount, job_id, created_at_ms) VALUES "
CORRUPTIONS = [
    (
        "UPDATE accounts SET available = available + 7 WHERE id = '{account}'",
        "account {account}: available is",
    ),
    ("UPDATE accounts SET held = held - 1 WHERE id = '{account}'", "account {account}: held is"),
    ("UPDATE accounts SET available = -1 WHERE id = '{account}'", "account {account}: available is -1"),
    ("UPDATE entries SET amount = amount + 1 WHERE kind = 'grant'", "account {account}: available is"),
    ("UPDATE entries SET amount = 4 WHERE job_id = '{paid}'", "job {paid}: hold of 4, its price is 3"),
    ("DELETE FROM entries WHERE kind = 'capture'", "job {paid}: hold is captured, its entries are ['hold']"),
    ("DELETE FROM entries WHERE job_id = '{queued}'", "job {queued}: hold is placed, its entries are []"),
    (
        "UPDATE entries SET kind = 'release', to_side = 'available' WHERE kind = 'capture'",
        "job {paid}: hold is captured, its entries are ['hold', 'release']",
    ),
    (
        INSERT + "('release', '{account}', 'held', 'available', 3, '{failed}', 0)",
        "job {failed}: hold is released, its entries are ['hold', 'release', 'release']",
    ),
    (
        INSERT + "('hold', '{account}', 'available', 'held', 3, 'no-such-job', 0)",
        "job no-such-job: it has entries and is not there",
    ),
    (
        "UPDATE entries SET account_id = 'nobody' WHERE job_id = '{paid}'",
        "job {paid}: hold is in account nobody, the job is {account}'s",
    ),
    ("DELETE FROM accounts WHERE id = '{account}'", "account {account}: it has entries and is not there"),
    (
        "UPDATE jobs SET hold = 'released' WHERE id = '{running}'",
        "job {running}: hold is released, its entries",
    ),
    ("UPDATE jobs SET price = 5 WHERE id = '{queued}'", "job {queued}: hold of 3, its price is 5"),
]


@pytest.mark.parametrize(("statement", "fault"), CORRUPTIONS, ids=[pair[0][:60] for pair in CORRUPTIONS])
def test_corruption_is_found_and_named(world: World, statement: str, fault: str) -> None:
    names = lives(world)
    with rules_off(world) as conn:
        conn.exec_driver_sql(statement.format(**names).replace("%", "%%"))
    faults = world.run(ledger.audit).faults
    assert any(found.startswith(fault.format(**names)) for found in faults), faults


async def test_an_audit_beside_traffic_sees_one_moment(world: World, store: Store) -> None:
    """Balances and entries are read by several statements; between two of them others commit."""
    account_id = world.account(credits=1_000_000)

    async def traffic() -> None:
        for _ in range(40):
            job = await store.run(jobs.submit, new_job(account_id), TIERS, KEY_SECONDS)
            await store.run(jobs.cancel, job.id, account_id, NOW)

    busy = [asyncio.create_task(traffic()) for _ in range(3)]
    audits = 0
    while not all(task.done() for task in busy):
        assert (await store.read(ledger.audit)).faults == ()
        audits += 1
    await asyncio.gather(*busy)
    assert audits > 3
