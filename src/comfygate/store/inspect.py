"""Looks at a database without changing anything: for `comfygate doctor`."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.exc import DBAPIError

from comfygate.domain.errors import ServerTrouble
from comfygate.store.engine import schema_engine
from comfygate.store.schema import current_revision


@dataclass(frozen=True, slots=True)
class DatabaseLook:
    """What a database is: its engine's version, its schema's revision, and damage, if SQLite finds any."""

    version: str
    revision: str | None
    damage: tuple[str, ...] = ()


def look_at_sqlite(path: Path) -> DatabaseLook:
    """Open the file read-only: a service may be writing it. Raises ServerTrouble when it cannot be read."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(path.as_posix())}?mode=ro", uri=True)) as conn:
            checked = [str(row[0]) for row in conn.execute("PRAGMA quick_check(3)")]
            has_schema = conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
            row = conn.execute("SELECT version_num FROM alembic_version").fetchone() if has_schema else None
    except sqlite3.Error as error:
        raise ServerTrouble(str(error)) from error
    damage = () if checked == ["ok"] else tuple(checked)
    return DatabaseLook(sqlite3.sqlite_version, row[0] if row else None, damage)


def look_at_postgresql(url: str) -> DatabaseLook:
    """Ask the server. Raises ServerTrouble, without address or password, when it does not answer."""
    engine = schema_engine(url)
    try:
        with engine.connect() as conn:
            version = str(conn.exec_driver_sql("SHOW server_version").scalar_one())
            return DatabaseLook(version, current_revision(conn))
    except DBAPIError as error:
        raise ServerTrouble(str(error.orig).strip().splitlines()[0]) from error
    finally:
        engine.dispose()
