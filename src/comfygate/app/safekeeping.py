"""Backup and restore of this service's SQLite database, as the command line asks for them."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from comfygate.app.wiring import only_process
from comfygate.domain.errors import Conflict, InvalidRequest
from comfygate.gate.operate import audit_json
from comfygate.settings import Settings
from comfygate.store import backup as copies
from comfygate.store.backup import Copy

SQLITE = "sqlite:///"


async def back_up(settings: Settings, file: Path) -> dict[str, Any]:
    """Copy the database to `file`, a running service or not. Raises as `comfygate.store.backup.back_up`, and
    InvalidRequest on PostgreSQL."""
    database = _database(settings, "backup")
    found = await asyncio.to_thread(copies.back_up, database, file)
    return {"file": str(file), **_copy(found)}


async def restore(settings: Settings, file: Path, *, force: bool) -> dict[str, Any]:
    """Put a backup in the database's place, and recompute the books.

    Raises InvalidRequest (PostgreSQL, no backup that can be restored), NotFound, and Conflict: a process
    uses the data directory, or there is a database and `force` was not given.
    """
    return await asyncio.to_thread(_restore, settings, file, force=force)


def _restore(settings: Settings, file: Path, *, force: bool) -> dict[str, Any]:
    database = _database(settings, "restore")
    copies.check(file)
    settings.data_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_process(settings):
        kept = None
        if database.exists():
            if file.samefile(database):
                raise Conflict(f"{file} is the database itself; give the name of a backup")
            if not force:
                raise Conflict(
                    f"there is a database at {database}: all that happened since the backup would be undone; "
                    "add --force to put the backup in its place (the present one is kept under another name)"
                )
            kept = _name_for_kept(database)
        found = copies.restore(file, database, kept)
        kept_name = None if kept is None else str(kept)
        now_ms = time.time_ns() // 1_000_000
        books = copies.settle_in(settings.sqlalchemy_url(), str(file), kept_name, now_ms)
    return {
        "database": str(database),
        "file": str(file),
        "kept": kept_name,
        **_copy(found),
        "audit": audit_json(books),
    }


def _copy(found: Copy) -> dict[str, Any]:
    return {"revision": found.revision, "size_bytes": found.size_bytes, "jobs_open": found.jobs_open}


def _name_for_kept(database: Path) -> Path:
    """A name that nothing has yet."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    name, number = f"{database.name}.before-restore-{now}", 1
    while database.with_name(name).exists():
        number += 1
        name = f"{database.name}.before-restore-{now}-{number}"
    return database.with_name(name)


def _database(settings: Settings, what: str) -> Path:
    url = settings.sqlalchemy_url()
    if not url.startswith(SQLITE):
        raise InvalidRequest(
            f"'comfygate {what}' is for SQLite, and this service's data is in PostgreSQL: use pg_dump and "
            "pg_restore, or point-in-time recovery",
            details={"field": "database_url"},
        )
    return Path(url.removeprefix(SQLITE))
