"""How long workflows usually run, learnt from those that succeeded: what the watchdog measures silence by."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.domain.watchdog import usual_after
from comfygate.store.tables import run_times


def usual_run_ms(conn: Connection, workflow: str) -> int | None:
    """The usual time of a run, in ms; None for a workflow that has not succeeded yet."""
    found: int | None = conn.execute(
        select(run_times.c.usual_ms).where(run_times.c.workflow == workflow)
    ).scalar()
    return found


def learn_run(conn: Connection, workflow: str, run_ms: int, now_ms: int) -> None:
    """A run of `workflow` took `run_ms` and succeeded."""
    if not workflow:
        return
    usual = usual_run_ms(conn, workflow)
    run_ms = max(run_ms, 0)
    if usual is None:
        try:
            with conn.begin_nested():
                conn.execute(
                    insert(run_times).values(workflow=workflow, runs=1, usual_ms=run_ms, updated_at_ms=now_ms)
                )
        except IntegrityError:
            # Another job of the workflow, settled by another replica, was the first.
            usual = usual_run_ms(conn, workflow)
        else:
            return
    conn.execute(
        update(run_times)
        .where(run_times.c.workflow == workflow)
        .values(usual_ms=usual_after(usual, run_ms), runs=run_times.c.runs + 1, updated_at_ms=now_ms)
    )


def forget_runs(conn: Connection, before_ms: int) -> int:
    """Drop workflows that last succeeded before then. Returns how many."""
    return conn.execute(delete(run_times).where(run_times.c.updated_at_ms < before_ms)).rowcount
