"""Copies of a SQLite database: taken while a service writes it, checked, and put back.

A copy is made by SQLite's own online backup: one snapshot, whatever is committed meanwhile. It is one file,
without a write-ahead log beside it. PostgreSQL has its own tools for this.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import structlog

from comfygate.domain.errors import Conflict, InvalidRequest, NotFound, ServerTrouble
from comfygate.store import audit_log, ledger
from comfygate.store.engine import schema_engine
from comfygate.store.ledger import Audit
from comfygate.store.schema import known_revisions, migrate

BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a database, by what follows its name."""
MODE = 0o600

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Copy:
    """A checked copy: its schema's revision, its size, and its jobs that have not ended."""

    revision: str
    size_bytes: int
    jobs_open: int


def back_up(database: Path, target: Path) -> Copy:
    """Copy the database to a file that is not there yet; it appears whole and checked, or not at all.

    Raises NotFound (no database), Conflict (the file is there), InvalidRequest (it cannot be written),
    ServerTrouble (the database cannot be read, or is damaged).
    """
    if not database.is_file():
        raise NotFound(f"there is no database at {database}; nothing was ever kept here")
    if target.exists():
        raise Conflict(f"{target} is there already; give another name, or remove it first")
    fresh = _beside(target)
    try:
        return _kept(database, fresh, target)
    except sqlite3.Error as error:
        raise ServerTrouble(f"the database {database} cannot be copied: {error}") from error
    finally:
        _forget(fresh)


def _kept(database: Path, fresh: Path, target: Path) -> Copy:
    _copy(database, fresh)
    found = _checked(fresh, of=database)
    _replace(fresh, target)
    return found


def check(file: Path) -> Copy:
    """Look whether a file is a backup that this version can restore. Raises NotFound and InvalidRequest."""
    if not file.is_file():
        raise NotFound(f"there is no file {file}")
    try:
        return _checked(file, of=file)
    except (sqlite3.Error, ServerTrouble) as error:
        raise InvalidRequest(
            f"{file} cannot be restored: {error}; nothing was changed", details={"field": "file"}
        ) from error


def restore(file: Path, database: Path, kept: Path | None) -> Copy:
    """Put a checked copy of `file` in the database's place; the one that is there is kept as `kept`.

    For whoever holds the data directory: nobody else has the database open. At no moment is there neither
    the old database nor the new one. Raises as `check` does, and ServerTrouble.
    """
    found = check(file)
    fresh = _beside(database)
    try:
        _copy(file, fresh)
        _checked(fresh, of=file)
        if kept is not None:
            _keep(database, kept)
        _replace(fresh, database)
    except sqlite3.Error as error:
        raise ServerTrouble(f"{file} cannot be copied: {error}") from error
    finally:
        _forget(fresh)
    return found


def settle_in(url: str, file: str, kept: str | None, now_ms: int) -> Audit:
    """After a restore: bring the database to today's schema, note it in the audit log, recompute the books.

    Raises SettingsError as `migrate` does.
    """
    migrate(url)
    engine = schema_engine(url)
    try:
        with engine.begin() as conn:
            arguments = json.dumps({"file": file, "kept": kept}, sort_keys=True)
            audit_log.record(conn, "cli", "restore", arguments, "ok", now_ms)
            return ledger.audit(conn)
    finally:
        engine.dispose()


def _keep(database: Path, kept: Path) -> None:
    """Another name for the present database, with all that is in its write-ahead log."""
    try:
        with contextlib.closing(sqlite3.connect(database)) as conn:
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.DatabaseError as error:
        # Damage may be why it is replaced: its parts are kept as they are.
        log.warning("restore.present_database_is_damaged", error=str(error), kept=str(kept))
    # A log left in place would be taken for the new database's.
    for part in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            database.with_name(database.name + part).replace(kept.with_name(kept.name + part))
    try:
        os.link(database, kept)
    except OSError:
        # A file system without links.
        shutil.copyfile(database, kept)


def _copy(source: Path, target: Path) -> None:
    """Copy in one snapshot; readable by its owner alone from the first byte on."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE))
    except OSError as error:
        raise InvalidRequest(
            f"{target.parent} cannot be written ({error.strerror}); choose another folder",
            details={"field": "file"},
        ) from error
    with (
        contextlib.closing(_read_only(source)) as there,
        contextlib.closing(sqlite3.connect(target)) as here,
    ):
        there.backup(here)
        # One file is easier to carry: the log comes back when a service opens it.
        here.execute("PRAGMA journal_mode=DELETE")


def _checked(file: Path, *, of: Path) -> Copy:
    """Raises ServerTrouble unless the file is whole and of a schema that this version knows."""
    with contextlib.closing(_read_only(file)) as conn:
        damage = [str(row[0]) for row in conn.execute("PRAGMA integrity_check(3)")]
        if damage != ["ok"]:
            raise ServerTrouble(f"{of} is damaged: {damage[0]}")
        tables = {row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"alembic_version", "jobs", "entries"} <= tables:
            raise ServerTrouble(f"{of} is no database of comfygate")
        (revision,) = conn.execute("SELECT version_num FROM alembic_version").fetchone() or ("none",)
        if revision not in known_revisions():
            raise ServerTrouble(f"{of} is at schema {revision!r}, which this version does not know")
        (jobs_open,) = conn.execute("SELECT count(*) FROM jobs WHERE completed_at_ms IS NULL").fetchone()
    return Copy(str(revision), file.stat().st_size, int(jobs_open))


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(path.absolute().as_posix())}?mode=ro", uri=True, timeout=30.0)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def _replace(fresh: Path, target: Path) -> None:
    """Put the file in place for good: it and its name are on the disk when this returns."""
    with fresh.open("rb+") as file:
        os.fsync(file.fileno())
    fresh.replace(target)
    if os.name == "posix":
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _forget(fresh: Path) -> None:
    for part in ("", "-journal", *BESIDE):
        fresh.with_name(fresh.name + part).unlink(missing_ok=True)
