"""Triggers, written for each engine from the domain's own tables.

They refuse a move that the state machine does not know, and any change to an entry of the ledger.
"""

from __future__ import annotations

from comfygate.domain.job import TRANSITIONS, JobState


def _unknown_from(before: JobState) -> str:
    known = ", ".join(f"'{state}'" for state in sorted((before, *TRANSITIONS[before])))
    return f"(OLD.state = '{before}' AND NEW.state NOT IN ({known}))"


_ILLEGAL_MOVE = " OR ".join(map(_unknown_from, TRANSITIONS))


def create_statements(dialect: str) -> tuple[str, ...]:
    """The statements that create the triggers on `dialect` ('sqlite' or 'postgresql')."""
    return _sqlite() if dialect == "sqlite" else _postgresql()


def drop_statements(dialect: str) -> tuple[str, ...]:
    """The statements that undo `create_statements`."""
    if dialect == "sqlite":
        return (
            "DROP TRIGGER jobs_known_moves",
            "DROP TRIGGER entries_no_update",
            "DROP TRIGGER entries_no_delete",
        )
    return (
        "DROP TRIGGER jobs_known_moves ON jobs",
        "DROP TRIGGER entries_frozen ON entries",
        "DROP FUNCTION comfygate_jobs_known_moves()",
        "DROP FUNCTION comfygate_entries_frozen()",
    )


def _sqlite() -> tuple[str, ...]:
    return (
        f"""CREATE TRIGGER jobs_known_moves BEFORE UPDATE OF state ON jobs WHEN {_ILLEGAL_MOVE}
            BEGIN SELECT RAISE(ABORT, 'jobs: no such move between states'); END""",
        """CREATE TRIGGER entries_no_update BEFORE UPDATE ON entries
            BEGIN SELECT RAISE(ABORT, 'entries are never changed'); END""",
        """CREATE TRIGGER entries_no_delete BEFORE DELETE ON entries
            BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END""",
    )


def _postgresql() -> tuple[str, ...]:
    return (
        f"""CREATE FUNCTION comfygate_jobs_known_moves() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF {_ILLEGAL_MOVE} THEN RAISE EXCEPTION USING ERRCODE = 'check_violation',
            MESSAGE = 'jobs: no such move between states: ' || OLD.state || ' to ' || NEW.state; END IF;
            RETURN NEW; END $$""",
        """CREATE TRIGGER jobs_known_moves BEFORE UPDATE OF state ON jobs
            FOR EACH ROW EXECUTE FUNCTION comfygate_jobs_known_moves()""",
        """CREATE FUNCTION comfygate_entries_frozen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION USING ERRCODE = 'check_violation',
            MESSAGE = 'entries are never changed'; END $$""",
        """CREATE TRIGGER entries_frozen BEFORE UPDATE OR DELETE OR TRUNCATE ON entries
            FOR EACH STATEMENT EXECUTE FUNCTION comfygate_entries_frozen()""",
    )
