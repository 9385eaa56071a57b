"""Migrations, tables and rules say the same, on both engines, and go down and up again."""

import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, inspect, text

from comfygate.domain.credits import MOVES, HoldState
from comfygate.domain.errors import SettingsError
from comfygate.domain.job import TERMINAL, TRANSITIONS, JobState
from comfygate.store import bot_tables, ops_tables, people_tables  # noqa: F401 - their tables join the metadata
from comfygate.store.engine import schema_engine
from comfygate.store.schema import current_revision, downgrade, migrate, newest_revision
from comfygate.store.tables import attempts, entries, jobs, metadata
from comfygate.store.triggers import create_statements
from tests.store.world import World


def schema_of(url: str) -> list[tuple[str, ...]]:
    """Give every table, index, trigger and constraint as the database itself describes it."""
    world = World(url)
    if world.dialect == "sqlite":
        rows = world.sql("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2")
        return [tuple(map(str, row)) for row in rows]
    rows = world.sql(
        "SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace"
        " UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        " UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
        " UNION ALL SELECT 'function', proname, prosrc FROM pg_proc"
        "   WHERE pronamespace = 'public'::regnamespace"
        " UNION ALL SELECT 'table', relname, relkind::text FROM pg_class"
        "   WHERE relnamespace = 'public'::regnamespace ORDER BY 1, 2"
    )
    return [tuple(map(str, row)) for row in rows]


def test_up_down_up_ends_where_it_began(empty_url: str) -> None:
    migrate(empty_url)
    first = schema_of(empty_url)
    downgrade(empty_url, "base")
    left = {row[1] for row in schema_of(empty_url)}
    assert {name for name in left if "alembic" not in name and not name.startswith("sqlite_")} == set()
    migrate(empty_url)
    assert schema_of(empty_url) == first


def test_migrating_twice_changes_nothing(world: World) -> None:
    before = schema_of(world.url)
    migrate(world.url)
    assert schema_of(world.url) == before


def test_the_migrations_make_exactly_the_tables(world: World) -> None:
    with world.engine.connect() as conn:
        # SQLite gives defaults back with its own quotes, which Alembic takes for a difference.
        options = {"compare_type": True, "compare_server_default": world.dialect == "postgresql"}
        context = MigrationContext.configure(conn, opts=options)
        assert compare_metadata(context, metadata) == []
        assert current_revision(conn) == newest_revision()


def test_the_migrations_make_exactly_the_checks(world: World) -> None:
    """Alembic does not compare CHECKs. SQLite keeps their text, so there they compare word for word."""
    with world.engine.connect() as conn:
        found = {
            table.name: {
                check["name"]: check["sqltext"] for check in inspect(conn).get_check_constraints(table.name)
            }
            for table in metadata.sorted_tables
        }
    for table in metadata.sorted_tables:
        checks = [rule for rule in table.constraints if isinstance(rule, CheckConstraint)]
        assert found[table.name].keys() == {str(rule.name) for rule in checks}
        if world.dialect == "sqlite":
            assert found[table.name] == {str(rule.name): str(rule.sqltext) for rule in checks}


def quoted(constraint: str) -> set[str]:
    table, _, name = constraint.partition(".")
    rules = {str(rule.name): rule for rule in metadata.tables[table].constraints}
    rule = rules[f"{table}_{name}_check"]
    assert isinstance(rule, CheckConstraint)
    return set(re.findall(r"'(\w+)'", str(rule.sqltext)))


def test_the_checks_hold_the_domains_own_words() -> None:
    assert quoted("jobs.state") == {str(state) for state in JobState}
    assert quoted("jobs.hold") == {str(hold) for hold in HoldState}
    assert quoted("jobs.completed") == {str(state) for state in TERMINAL}
    assert quoted("attempts.outcome") == {"succeeded", "failed", "canceled", "lost"}
    assert quoted("entries.moves") == {str(word) for kind, sides in MOVES.items() for word in (kind, *sides)}
    assert {jobs.name, attempts.name, entries.name} <= metadata.tables.keys()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_trigger_knows_the_domains_moves(dialect: str) -> None:
    statements = " ".join(create_statements(dialect))
    found = re.findall(r"OLD\.state = '(\w+)' AND NEW\.state NOT IN \(([^)]*)\)", statements)
    allowed = {before: set(re.findall(r"\w+", after)) for before, after in found}
    assert allowed == {str(before): {str(before), *map(str, moves)} for before, moves in TRANSITIONS.items()}


def test_the_installed_trigger_is_the_one_the_code_writes(world: World) -> None:
    """The first migration calls the code, so new TRANSITIONS need a migration that replaces the trigger."""
    installed = " ".join(" ".join(row) for row in schema_of(world.url)).replace("\n", " ")
    for before, moves in TRANSITIONS.items():
        known = ", ".join(f"'{state}'" for state in sorted((before, *moves)))
        assert f"(OLD.state = '{before}' AND NEW.state NOT IN ({known}))" in installed


def test_a_database_of_a_newer_version_is_refused(world: World) -> None:
    world.sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SettingsError, match="'9999', which this version does not know"):
        migrate(world.url)


def test_a_failed_migration_leaves_nothing_behind(empty_url: str) -> None:
    engine = schema_engine(empty_url)
    with engine.begin() as conn:
        conn.execute(text("CREATE TABLE outbox (x int)"))
    with pytest.raises(Exception, match="outbox"):
        migrate(empty_url)
    with engine.connect() as conn:
        assert inspect(conn).get_table_names() == ["outbox"]
        assert current_revision(conn) is None


def test_an_empty_database_has_no_revision(empty_url: str) -> None:
    with schema_engine(empty_url).connect() as conn:
        assert current_revision(conn) is None
