"""The store runs intents whole: durable before the answer, alone in their failure, and never after close."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError

from comfygate.domain.errors import InvalidRequest, ServerTrouble, StoreTrouble
from comfygate.store import accounts, ledger
from comfygate.store.engine import CONFLICT_TRIES_MAX, Store, open_store
from tests.store.world import NOW, WAIT_SECONDS_MAX, Waiter, World, fresh


def add(conn: Connection, name: str) -> str:
    return accounts.add_account(conn, name, name, "regular", f"digest of {name}", 5, NOW).id


def add_then_fail(conn: Connection, name: str) -> None:
    add(conn, name)
    raise InvalidRequest(f"no to {name}")


def names(world: World) -> list[str]:
    return [account.name for account in world.run(accounts.list_accounts)]


class Gate:
    """An intent that holds the store's writer until the test opens it, so that others gather behind it."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def hold(self, _conn: Connection) -> None:
        self.reached.set()
        assert self.opened.wait(WAIT_SECONDS_MAX)


async def together(store: Store, *intents: Any) -> list[Any]:
    """Run intents behind a closed gate: on SQLite they are then one commit. Give what each came to."""
    gate = Gate()
    first = asyncio.create_task(store.run(gate.hold))
    await asyncio.to_thread(gate.reached.wait, WAIT_SECONDS_MAX)
    rest = [asyncio.create_task(store.run(*intent)) for intent in intents]
    await asyncio.gather(*(asyncio.to_thread(lambda: None) for _ in rest))  # every task has begun
    gate.opened.set()
    # On SQLite it shares their fate.
    await asyncio.gather(first, return_exceptions=True)
    return list(await asyncio.gather(*rest, return_exceptions=True))


async def test_what_was_answered_is_durable(world: World, store: Store) -> None:
    assert await store.run(add, "one") == "one"
    assert names(world) == ["one"]


async def test_arguments_and_results_pass_through(store: Store) -> None:
    def echo(_conn: Connection, /, *args: int, **kwargs: int) -> tuple[tuple[int, ...], dict[str, int]]:
        return args, kwargs

    assert await store.run(echo, 1, 2, three=3) == ((1, 2), {"three": 3})
    assert await store.read(echo, 1, 2, three=3) == ((1, 2), {"three": 3})


async def test_a_refused_intent_does_not_undo_its_neighbours(world: World, store: Store) -> None:
    results = await together(store, (add, "a"), (add_then_fail, "b"), (add, "c"), (add_then_fail, "d"))
    assert [str(result) for result in results] == ["a", "no to b", "c", "no to d"]
    assert names(world) == ["a", "c"]
    world.assert_books_balance()


async def test_a_broken_statement_does_not_undo_its_neighbours(world: World, store: Store) -> None:
    def broken(conn: Connection) -> None:
        add(conn, "b")
        conn.execute(text("SELECT nothing FROM nowhere"))

    results = await together(store, (add, "a"), (broken,), (add, "a"), (add, "c"))
    assert isinstance(results[1], DBAPIError)
    assert results[3] == "c"
    # On PostgreSQL either of the two may come first.
    first, second = sorted(map(str, (results[0], results[2])))
    assert first == "a"
    assert "exists already" in second
    assert names(world) == ["a", "c"]


async def test_many_more_than_one_batch_all_arrive(world: World, store: Store) -> None:
    expected = [fresh("many") for _ in range(150)]
    assert await together(store, *((add, name) for name in expected)) == expected
    assert sorted(names(world)) == sorted(expected)


async def test_what_comes_while_others_write_waits_for_no_commit_of_its_own(sqlite_url: str) -> None:
    world, store = World(sqlite_url), open_store(sqlite_url)
    commits: list[str] = []

    def counted(conn: Connection) -> None:
        driver = conn.connection.dbapi_connection
        assert driver is not None
        driver.set_trace_callback(lambda said: commits.append(said) if said == "COMMIT" else None)

    await store.run(counted)
    commits.clear()
    results = await together(store, (add, "a"), (add_then_fail, "b"), (add, "c"))
    assert [str(result) for result in results] == ["a", "no to b", "c"]
    assert (names(world), len(commits)) == (["a", "c"], 1)
    await store.close()


async def test_a_failed_commit_reaches_its_callers_and_the_next_one_works(world: World, store: Store) -> None:
    """A foreign key that is only checked at commit: on SQLite the whole batch shares its fate."""

    def fails_at_commit(conn: Connection) -> str:
        if conn.dialect.name == "sqlite":
            conn.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
        else:
            conn.exec_driver_sql("ALTER TABLE api_keys ALTER CONSTRAINT api_keys_account_id_fkey DEFERRABLE")
            conn.exec_driver_sql("SET CONSTRAINTS ALL DEFERRED")
        accounts.add_key(conn, "nobody", "digest", NOW)
        return "done, as far as it knows"

    neighbour, failed = await together(store, (add, "a"), (fails_at_commit,))
    assert isinstance(failed, DBAPIError)
    if world.dialect == "sqlite":
        assert isinstance(neighbour, DBAPIError)
        assert names(world) == []
    else:
        assert names(world) == ["a"]
    assert await store.run(add, "next") == "next"
    assert world.sql("SELECT count(*) FROM api_keys WHERE account_id = 'nobody'")[0][0] == 0


async def test_reading_is_all_that_a_read_may_do(world: World, store: Store) -> None:
    with pytest.raises(DBAPIError, match=r"readonly|read-only"):
        await store.read(add, "sneaky")
    assert names(world) == []
    assert await store.run(add, "honest") == "honest"
    assert (await store.read(accounts.get_account, "honest")).balance.available == 5


async def test_a_read_sees_one_moment(world: World, store: Store) -> None:
    """Two statements of one read give one answer, whatever is committed between them."""
    await store.run(add, "one")
    between, resumed = threading.Event(), threading.Event()

    def look_twice(conn: Connection) -> tuple[int, int]:
        first = accounts.get_account(conn, "one").balance.available
        between.set()
        assert resumed.wait(WAIT_SECONDS_MAX)
        return first, accounts.get_account(conn, "one").balance.available

    reading = asyncio.create_task(store.read(look_twice))
    assert await asyncio.to_thread(between.wait, WAIT_SECONDS_MAX)
    await store.run(ledger.grant, "one", 10, "gift", NOW)
    resumed.set()
    assert await reading == (5, 5)
    assert world.balance("one").available == 15


async def test_reads_do_not_wait_for_the_writer(world: World, store: Store) -> None:
    world.run(add, "one")
    gate = Gate()
    writing = asyncio.create_task(store.run(gate.hold))
    await asyncio.to_thread(gate.reached.wait, WAIT_SECONDS_MAX)
    assert (await asyncio.wait_for(store.read(accounts.get_account, "one"), WAIT_SECONDS_MAX)).name == "one"
    gate.opened.set()
    await writing


async def test_closing_finishes_what_waits_and_refuses_what_comes(world: World) -> None:
    store = open_store(world.url)
    gate = Gate()
    holding = asyncio.create_task(store.run(gate.hold))
    await asyncio.to_thread(gate.reached.wait, WAIT_SECONDS_MAX)
    waiting = [asyncio.create_task(store.run(add, name)) for name in ("a", "b")]
    await asyncio.gather(*(asyncio.to_thread(lambda: None) for _ in waiting))
    closing = asyncio.create_task(store.close())
    gate.opened.set()
    await asyncio.wait_for(closing, WAIT_SECONDS_MAX)
    await holding
    assert await asyncio.gather(*waiting) == ["a", "b"]
    for late in (store.run(add, "late"), store.read(accounts.list_accounts)):
        with pytest.raises(ServerTrouble, match="the store is closed"):
            await late
    assert names(world) == ["a", "b"]


async def test_an_intent_given_up_before_its_turn_is_not_run(world: World, store: Store) -> None:
    """Only SQLite has a queue to leave; on PostgreSQL a pool of eight takes it at once."""
    gate = Gate()
    holding = asyncio.create_task(store.run(gate.hold))
    await asyncio.to_thread(gate.reached.wait, WAIT_SECONDS_MAX)
    given_up = asyncio.create_task(store.run(add, "given up"))
    await asyncio.to_thread(lambda: None)
    given_up.cancel()
    # The writer hears of it by a callback of the loop, which must have had its turn.
    await asyncio.gather(given_up, return_exceptions=True)
    gate.opened.set()
    await holding
    assert await store.run(add, "after") == "after"
    if world.dialect == "sqlite":
        assert names(world) == ["after"]


async def test_sqlites_own_rollback_reaches_the_whole_batch(sqlite_url: str) -> None:
    """On a full disk SQLite may end the transaction under us; then nobody may be told that it is done."""
    world, store = World(sqlite_url), open_store(sqlite_url)

    def disk_full(conn: Connection) -> None:
        add(conn, "b")
        conn.exec_driver_sql("ROLLBACK")
        raise OperationalError("INSERT", {}, Exception("database or disk is full"))

    results = await together(store, (add, "a"), (disk_full,), (add, "c"))
    told = [result for result in results if isinstance(result, StoreTrouble)]
    assert len(told) == 3, results
    assert all("disk is full" in trouble.message for trouble in told)
    assert names(world) == []
    assert await store.run(add, "next") == "next"
    assert names(world) == ["next"]
    await store.close()


async def test_an_error_does_not_show_what_was_written(store: Store) -> None:
    def broken(conn: Connection) -> None:
        conn.execute(text("SELECT :value FROM nowhere"), {"value": "secret"})

    for call in (store.run(broken), store.read(broken)):
        with pytest.raises(DBAPIError) as error:
            await call
        assert "secret" not in str(error.value)


@pytest.mark.postgresql
async def test_a_deadlock_is_retried_and_both_intents_happen(pg_world: World, pg_store: Store) -> None:
    for name in ("a", "b"):
        pg_world.run(add, name)
    met = threading.Barrier(2)
    tries: list[str] = []

    def cross(conn: Connection, first: str, second: str) -> None:
        tries.append(first)
        ledger.grant(conn, first, 1, "gift", NOW)
        if len(tries) <= 2:  # the first time both hold one row before they ask for the other's
            met.wait(WAIT_SECONDS_MAX)
        ledger.grant(conn, second, 1, "gift", NOW)

    await asyncio.gather(pg_store.run(cross, "a", "b"), pg_store.run(cross, "b", "a"))
    assert len(tries) >= 3, "at least one of the two was tried again"
    assert [pg_world.balance(name).available for name in ("a", "b")] == [7, 7]
    pg_world.assert_books_balance()


@pytest.mark.postgresql
async def test_a_serialization_failure_is_retried(pg_world: World, pg_store: Store) -> None:
    pg_world.run(add, "a")
    tries: list[int] = []

    def increment(conn: Connection) -> int:
        tries.append(1)
        conn.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        seen = accounts.get_account(conn, "a").balance.available
        if len(tries) == 1:
            pg_world.run(ledger.grant, "a", 1, "from beside", NOW)
        ledger.grant(conn, "a", 1, "gift", NOW)
        return seen

    assert await pg_store.run(increment) == 6, "the second try saw what the first ran into"
    assert len(tries) == 2
    assert pg_world.balance("a").available == 7


@pytest.mark.postgresql
async def test_conflicts_without_end_are_given_up_and_nothing_stays(pg_world: World, pg_store: Store) -> None:
    tries: list[int] = []

    def never(conn: Connection) -> None:
        tries.append(1)
        add(conn, "a")
        conn.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40001'; END $$")

    with pytest.raises(StoreTrouble):
        await pg_store.run(never)
    assert len(tries) == CONFLICT_TRIES_MAX
    assert names(pg_world) == []


@pytest.mark.postgresql
async def test_other_errors_are_not_retried(pg_world: World, pg_store: Store) -> None:
    tries: list[int] = []

    def broken(conn: Connection) -> None:
        tries.append(1)
        conn.exec_driver_sql("SELECT nothing FROM nowhere")

    with pytest.raises(DBAPIError):
        await pg_store.run(broken)
    assert len(tries) == 1
    assert names(pg_world) == []


@pytest.mark.postgresql
def test_a_waiter_shows_that_it_waits(pg_world: World) -> None:
    """The tool that the tests of locks stand on."""
    pg_world.run(add, "a")
    with pg_world.open() as one:
        ledger.grant(one, "a", 1, "gift", NOW)
        beside = Waiter(pg_world, lambda conn: ledger.grant(conn, "a", 1, "gift", NOW))
        beside.until_blocked()
        one.commit()
    beside.done()
    assert pg_world.balance("a").available == 7


async def test_the_sqlite_settings_that_durability_needs(sqlite_url: str) -> None:
    store = open_store(sqlite_url)

    def pragmas(conn: Connection) -> dict[str, Any]:
        return {
            name: conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    assert await store.run(pragmas) == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert store.dialect == "sqlite"
    await store.close()


async def test_an_unreachable_database_is_told_without_its_address(tmp_path: Path) -> None:
    store = open_store(f"postgresql+psycopg://user:secret@/nothing?host={tmp_path.as_posix()}")
    with pytest.raises(StoreTrouble) as error:
        await store.read(accounts.get_account, "one")
    assert "in trouble" in error.value.message
    assert "secret" not in error.value.message
    await store.close()


@pytest.mark.postgresql
async def test_connections_that_postgresql_ends_are_told_and_replaced(
    pg_world: World, pg_store: Store
) -> None:
    """In the middle of an intent the caller hears of it, and nothing stays; the next intent works."""

    def cut(conn: Connection) -> None:
        add(conn, "a")
        mine = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
        pg_world.sql("SELECT pg_terminate_backend(:pid)", pid=mine)
        add(conn, "b")

    with pytest.raises(StoreTrouble):
        await pg_store.run(cut)
    assert names(pg_world) == []
    assert await pg_store.run(add, "next") == "next"
    pg_world.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert await pg_store.run(add, "after") == "after", "a pooled connection is looked at before it is used"
