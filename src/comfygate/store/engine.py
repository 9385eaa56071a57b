"""Opens the database and runs store functions: one intent, one transaction, off the event loop.

A store function is plain and synchronous: `fn(conn, *args)`. `await store.run(fn, …)` gives it a transaction
that is committed, durably, before the call returns; `await store.read(fn, …)` gives it a snapshot to read.

SQLite: one thread owns the only writing connection and commits the intents that wait together, each in a
savepoint of its own, so one refused intent does not undo its neighbours. PostgreSQL: a small pool; conflicts
between replicas are retried.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

import structlog
from sqlalchemy import Connection as Connection  # noqa: PLC0414  # for those who write store functions
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as SQLTimeoutError
from sqlalchemy.pool import NullPool

from comfygate.domain.errors import ServerTrouble, StoreTrouble
from comfygate.store.prepared import say
from comfygate.store.threads import Crew, Intent, Intents

P = ParamSpec("P")
R = TypeVar("R")
StoreFunction = Callable[Concatenate[Connection, P], R]
_Call = Callable[[Connection], Any]

BATCH_MAX = 64
"""Most intents committed together on SQLite."""
READERS = 4
"""Threads that read beside the writer on SQLite."""
POOL_SIZE = 8
"""Connections of one replica on PostgreSQL."""
POOL_SECONDS = 10
"""How long an intent waits for a connection on PostgreSQL."""
CONNECT_SECONDS = 5
"""How long a connection to PostgreSQL may take; whole seconds, 2 or more (libpq)."""
CONFLICT_TRIES_MAX = 6
"""How often an intent is tried when PostgreSQL reports a deadlock or a serialization failure."""
_CLOSED = "the store is closed"
_OUR_OWN_FAULT = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_READONLY})
_CONFLICT_CODES = frozenset({"40001", "40P01"})

log = structlog.get_logger(__name__)


class Store(Protocol):
    """A database that runs store functions."""

    @property
    def dialect(self) -> str: ...

    async def run(self, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...

    async def read(self, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R: ...

    async def close(self) -> None: ...


def open_store(url: str) -> Store:
    """Open the store at `url` (`sqlite:///…` or `postgresql+psycopg://…`). The schema must be there."""
    parsed = make_url(url)
    return SqliteStore(parsed) if parsed.get_backend_name() == "sqlite" else PostgresStore(parsed)


def schema_engine(url: str) -> Engine:
    """A plain engine for migrations and checks, holding no connection between uses."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_engine(parsed, begin="BEGIN IMMEDIATE")
    return create_engine(parsed, poolclass=NullPool, hide_parameters=True)


def _sqlite_engine(url: URL, *, begin: str = "", query_only: bool = False) -> Engine:
    engine = create_engine(
        url,
        poolclass=NullPool,
        # What users sent and keys' digests have no place in a log.
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": 30.0},
    )

    @event.listens_for(engine, "connect")
    def _configure(dbapi_connection: Any, _record: Any) -> None:
        # BEGIN is said by us, below or in the store, instead of the driver's own implicit one.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        if query_only:
            cursor.execute("PRAGMA query_only=ON")
            cursor.execute("PRAGMA wal_autocheckpoint=0")
        cursor.close()

    if begin:

        @event.listens_for(engine, "begin")
        def _begin(conn: Connection) -> None:
            conn.exec_driver_sql(begin)

    return engine


@contextlib.contextmanager
def _trouble_told() -> Iterator[None]:
    """The database's own trouble as StoreTrouble: callers wait and try again, without knowing SQLAlchemy."""
    try:
        yield
    except (OperationalError, InterfaceError, SQLTimeoutError) as error:
        # SQLite calls a wrong statement operational too; that is ours, and waiting does not mend it.
        if getattr(getattr(error, "orig", None), "sqlite_errorcode", -1) & 0xFF in _OUR_OWN_FAULT:
            raise
        raise StoreTrouble(f"the database is in trouble: {_reason(error)}") from error
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise StoreTrouble(f"the database's connection was lost: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """The database's own words, without the address and credentials that SQLAlchemy appends."""
    lines = str(getattr(error, "orig", None) or type(error).__name__).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _first(error: BaseException) -> str:
    """The words of the first error of those that led to this one: what came after is about the savepoint."""
    words = _reason(error)
    while (error.__context__) is not None:
        error = error.__context__
        words = _reason(error) if isinstance(error, DBAPIError) else words
    return words


class SqliteStore:
    """SQLite in WAL mode with synchronous=FULL; the process that opens it must be the only writer.

    To SQLAlchemy each connection is in one transaction for all its life. The true ones are begun and ended by
    the driver, which takes a fortieth of the time.
    """

    dialect = "sqlite"

    def __init__(self, url: URL) -> None:
        self._engine = _sqlite_engine(url)
        self._reader_engine = _sqlite_engine(url, query_only=True)
        self._intents: Intents[_Call] = Intents()
        self._closed = False
        self._local = threading.local()
        self._reader_connections: list[Connection] = []
        self._readers: Crew[_Call] = Crew(READERS, "comfygate-read", self._read)
        self._writer = threading.Thread(target=self._write_loop, name="comfygate-write", daemon=True)
        self._writer.start()

    async def run(self, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` in the next commit. Raises what `fn` raises, with nothing of it written.

        Raises StoreTrouble when the disk is full or broken; nothing was written then either.
        """
        if self._closed:
            raise ServerTrouble(_CLOSED)
        with _trouble_told():
            found: R = await self._intents.put(lambda conn: fn(conn, *args, **kwargs))
        return found

    async def read(self, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on a snapshot; writing fails."""
        if self._closed:
            raise ServerTrouble(_CLOSED)
        with _trouble_told():
            found: R = await self._readers.put(lambda conn: fn(conn, *args, **kwargs))
        return found

    async def close(self) -> None:
        """Finish what is waiting, then close every connection."""
        self._closed = True
        self._intents.end()
        await asyncio.to_thread(self._writer.join)
        await self._readers.close()
        for connection in self._reader_connections:
            connection.close()
        self._reader_engine.dispose()
        self._engine.dispose()

    def _read(self, call: _Call) -> Any:
        connection: Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._reader_engine.connect()
            connection.begin()
            self._local.connection = connection
            self._reader_connections.append(connection)
        say(connection, "BEGIN")
        try:
            return call(connection)
        finally:
            if _in_transaction(connection):
                say(connection, "ROLLBACK")

    def _write_loop(self) -> None:
        with self._engine.connect() as connection, connection.begin():
            while batch := self._intents.take(BATCH_MAX):
                _commit_together(connection, batch, self._intents.take_more)


def _commit_together(
    connection: Connection,
    batch: list[Intent[_Call]],
    take_more: Callable[[int], list[Intent[_Call]]] = lambda _: [],
) -> None:
    """One commit for the batch and for what came while it was done; each intent's caller hears only after it.

    A claim that follows a submission waits for no commit of its own.
    """
    answers: list[tuple[Any, BaseException | None]] = []
    try:
        say(connection, "BEGIN IMMEDIATE")
        _do(connection, batch, answers)
        more = take_more(BATCH_MAX - len(batch))
        batch += more
        _do(connection, more, answers)
        say(connection, "COMMIT")
    except Exception as error:  # noqa: BLE001 - every caller gets it
        # The commit itself failed: nobody's intent is durable.
        log.error("store.commit_failed", intents=len(batch), error=str(error))
        answers = [(None, error)] * len(batch)
        # SQLite keeps a transaction open whose COMMIT failed, and the next BEGIN would fail for ever.
        _driver(connection).rollback()
    for intent, (result, failure) in zip(batch, answers, strict=True):
        intent.answer(result, failure)


def _do(
    connection: Connection, batch: list[Intent[_Call]], answers: list[tuple[Any, BaseException | None]]
) -> None:
    """Do intents in the transaction that is begun, each whole or not at all."""
    for intent in batch:
        say(connection, "SAVEPOINT intent")
        try:
            answers.append((intent.work(connection), None))
        except Exception as error:
            answers.append((None, error))
            if not _in_transaction(connection):
                # SQLite itself rolled back (a full disk, say): what came before is gone, and what comes
                # after would be committed piece by piece.
                raise StoreTrouble(f"SQLite ended the transaction: {_first(error)}") from error
            say(connection, "ROLLBACK TO intent")
        say(connection, "RELEASE intent")


def _driver(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def _in_transaction(connection: Connection) -> bool:
    return _driver(connection).in_transaction


class PostgresStore:
    """PostgreSQL through psycopg 3, READ COMMITTED; any number of processes may share it."""

    dialect = "postgresql"

    def __init__(self, url: URL) -> None:
        self._engine = create_engine(
            url,
            pool_size=POOL_SIZE,
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            pool_recycle=1800,
            hide_parameters=True,
            connect_args={
                "options": "-c idle_in_transaction_session_timeout=60000",
                "connect_timeout": CONNECT_SECONDS,
                # A server whose machine vanished must not hold an intent for hours.
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,
            },
        )
        event.listen(self._engine, "connect", _transactions_by_hand)
        self._closed = False
        self._threads: Crew[Callable[[], Any]] = Crew(POOL_SIZE, "comfygate-pg", _called)

    async def run(self, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` in a transaction of its own. Raises what `fn` raises, with nothing of it written.

        Raises StoreTrouble when the connection fails; whether the commit was done is then not known.
        """
        if self._closed:
            raise ServerTrouble(_CLOSED)
        with _trouble_told():
            found: R = await self._threads.put(lambda: self._transact(lambda conn: fn(conn, *args, **kwargs)))
        return found

    async def read(self, fn: StoreFunction[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on a snapshot; writing fails."""
        if self._closed:
            raise ServerTrouble(_CLOSED)
        with _trouble_told():
            found: R = await self._threads.put(lambda: self._read(lambda conn: fn(conn, *args, **kwargs)))
        return found

    async def close(self) -> None:
        """Let running intents finish and close the pool."""
        self._closed = True
        await self._threads.close()
        self._engine.dispose()

    def _transact(self, call: Callable[[Connection], R]) -> R:
        for tries in range(1, CONFLICT_TRIES_MAX + 1):
            try:
                with self._begun("BEGIN") as conn, conn.begin():
                    return call(conn)
            except DBAPIError as error:
                code = getattr(error.orig, "sqlstate", None)
                if code not in _CONFLICT_CODES or tries == CONFLICT_TRIES_MAX:
                    raise
                log.info("store.conflict_retried", sqlstate=code, tries=tries)
        raise AssertionError("unreachable: the loop returns or raises")

    def _read(self, call: Callable[[Connection], R]) -> R:
        with self._begun("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as conn, conn.begin():
            return call(conn)

    def _begun(self, begin: str) -> Connection:
        """A connection in a transaction. The pool's may have died since they were used, at a restart of the
        server all of them: of those BEGIN fails, and with it nothing is lost but another try."""
        for others in range(POOL_SIZE, -1, -1):
            conn = self._engine.connect()
            try:
                say(conn, begin)
            except BaseException as error:
                conn.close()
                lost = isinstance(error, DBAPIError) and error.connection_invalidated
                if not (lost and others):
                    raise
            else:
                return conn
        raise AssertionError("unreachable: the loop returns or raises")


def _transactions_by_hand(dbapi_connection: Any, _record: Any) -> None:
    # BEGIN is said by the store; the driver's own would come unseen with the first statement.
    dbapi_connection.autocommit = True


def _called(work: Callable[[], Any]) -> Any:
    return work()
