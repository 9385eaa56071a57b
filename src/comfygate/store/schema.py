"""Brings a database to the schema this version needs, and says so when it cannot.

Migrations run in one transaction on both engines; on PostgreSQL an advisory lock lets one replica do it while
the others wait.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from comfygate.domain.errors import SettingsError
from comfygate.store.engine import schema_engine

_MIGRATIONS = Path(__file__).parent / "migrations"
# Any constant does; it only has to be the same in every replica.
_MIGRATION_LOCK = 0x636F6D66


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, in code: there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


@cache
def newest_revision() -> str:
    """The revision this version of comfygate needs."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise SettingsError("no migrations are installed: reinstall comfygate")
    return head


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database at `url` to `revision`.

    Raises SettingsError for a database that a newer comfygate has already changed.
    """
    engine = schema_engine(url)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            if revision == "head" and current_revision(connection) == newest_revision():
                return
            _refuse_unknown(connection)
            command.upgrade(alembic_config(connection), revision)
    finally:
        engine.dispose()


def downgrade(url: str, revision: str) -> None:
    """Take the database at `url` back to `revision` ('base': nothing), for tests and operators in need."""
    engine = schema_engine(url)
    try:
        with engine.begin() as connection:
            command.downgrade(alembic_config(connection), revision)
    finally:
        engine.dispose()


def current_revision(connection: Connection) -> str | None:
    """The revision a database is at; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def known_revisions() -> frozenset[str]:
    """Every revision that this version of comfygate can begin from."""
    scripts = ScriptDirectory.from_config(alembic_config()).walk_revisions()
    return frozenset(script.revision for script in scripts)


def _refuse_unknown(connection: Connection) -> None:
    current = current_revision(connection)
    if current is not None and current not in known_revisions():
        raise SettingsError(
            f"the database is at schema {current!r}, which this version does not know: "
            "it belongs to a newer comfygate; install that version again"
        )
