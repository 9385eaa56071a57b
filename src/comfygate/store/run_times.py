"""How long workflows run, learnt from those that succeeded.

By workflow the usual time, which the watchdog measures silence by; by workflow, shape and server the newest
times one by one, which estimates are drawn from.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.domain.run_times import Kind, kept_after
from comfygate.domain.watchdog import usual_after
from comfygate.store.eta_tables import run_samples
from comfygate.store.prepared import Prepared
from comfygate.store.tables import run_times

SAMPLE_ROWS_MAX = 128
"""Rows of one lane that an estimate reads at most, and as many again of the workflows it is about."""

USUAL: Final = select(run_times.c.usual_ms).where(run_times.c.workflow == bindparam("workflow"))
"""The usual time of a run of the bound `workflow`, in ms; no row before one succeeded."""

_USUAL = Prepared(USUAL)
_FIRST_RUN = insert(run_times)
_RUN = Prepared(
    update(run_times)
    .where(run_times.c.workflow == bindparam("of_workflow"))
    .values(
        usual_ms=bindparam("usual_ms"), runs=run_times.c.runs + 1, updated_at_ms=bindparam("updated_at_ms")
    )
)
_THESE = (
    run_samples.c.lane == bindparam("of_lane"),
    run_samples.c.workflow == bindparam("of_workflow"),
    run_samples.c.shape == bindparam("of_shape"),
    run_samples.c.server == bindparam("of_server"),
)
_SAMPLES = Prepared(select(run_samples.c.samples).where(*_THESE).with_for_update())
_FIRST_SAMPLE = insert(run_samples)
_SAMPLE = Prepared(
    update(run_samples)
    .where(*_THESE)
    .values(
        samples=bindparam("samples"), runs=run_samples.c.runs + 1, updated_at_ms=bindparam("updated_at_ms")
    )
)


def usual_run_ms(conn: Connection, workflow: str) -> int | None:
    """The usual time of a run, in ms; None for a workflow that has not succeeded yet."""
    found: int | None = _USUAL.scalar(conn, {"workflow": workflow})
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
                first = {"workflow": workflow, "runs": 1, "usual_ms": run_ms, "updated_at_ms": now_ms}
                conn.execute(_FIRST_RUN, first)
        except IntegrityError:
            # Another job of the workflow, settled by another replica, was the first.
            usual = usual_run_ms(conn, workflow)
        else:
            return
    values = {"of_workflow": workflow, "usual_ms": usual_after(usual, run_ms), "updated_at_ms": now_ms}
    _RUN.count(conn, values)


def learn_sample(conn: Connection, kind: Kind, server: str, run_ms: int, now_ms: int) -> None:
    """A job of this kind kept a slot of the server busy for `run_ms` and succeeded."""
    these = {f"of_{name}": value for name, value in kind._asdict().items()} | {"of_server": server}
    known: str | None = _SAMPLES.scalar(conn, these)
    if known is None:
        samples = json.dumps(kept_after((), run_ms))
        first = {**kind._asdict(), "server": server, "samples": samples, "runs": 1, "updated_at_ms": now_ms}
        try:
            with conn.begin_nested():
                conn.execute(_FIRST_SAMPLE, first)
        except IntegrityError:
            # Another such job, settled by another replica, was the first.
            known = _SAMPLES.one(conn, these).samples
        else:
            return
    samples = json.dumps(kept_after(json.loads(known), run_ms))
    _SAMPLE.count(conn, {**these, "samples": samples, "updated_at_ms": now_ms})


def measured(conn: Connection, lane: str, workflows: Collection[str]) -> dict[tuple[Kind, str], list[int]]:
    """What was measured in the lane of these workflows, and the newest of all others: at most
    SAMPLE_ROWS_MAX rows of each."""
    newest = (
        select(run_samples)
        .where(run_samples.c.lane == lane)
        .order_by(run_samples.c.updated_at_ms.desc())
        .limit(SAMPLE_ROWS_MAX)
    )
    rows = list(conn.execute(newest))
    if len(rows) == SAMPLE_ROWS_MAX and workflows:
        rows += conn.execute(newest.where(run_samples.c.workflow.in_(sorted(workflows))))
    return {(Kind(row.lane, row.workflow, row.shape), row.server): json.loads(row.samples) for row in rows}


def forget_runs(conn: Connection, before_ms: int) -> int:
    """Drop what last succeeded before then. Returns of how many workflows."""
    conn.execute(delete(run_samples).where(run_samples.c.updated_at_ms < before_ms))
    return conn.execute(delete(run_times).where(run_times.c.updated_at_ms < before_ms)).rowcount
