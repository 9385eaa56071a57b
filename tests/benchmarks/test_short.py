"""Every measure in its shortest form yields rows; how fast anything was is asserted nowhere."""

from __future__ import annotations

from pathlib import Path

from benchmarks import backlog, dispatch, fleet, submit, utilisation
from benchmarks.engines import Engine
from benchmarks.figures import Figure, compared
from benchmarks.results import Run, compare, read
from comfygate.app import opened
from comfygate.settings import load_settings
from comfygate.store import ledger


async def test_utilisation(engine: Engine) -> None:
    size = utilisation.Size(jobs=((0.003, 2),), rounds=1, polled_jobs=2, poll_seconds=0.05)
    found = await utilisation.measure_utilisation(engine, size)
    assert [one.name for one in found][:2] == ["jobs of 3 ms: rate", "jobs of 3 ms: gap, median"]
    assert all(one.value > 0 for one in found)


async def test_dispatch(engine: Engine) -> None:
    found = await dispatch.measure_dispatch(engine, dispatch.Size(jobs=2))
    assert len(found) == 4
    assert all(one.ratio for one in found)


def test_a_run_is_kept_and_compared(tmp_path: Path) -> None:
    before, after = Run.now(), Run.now()
    before.add("m", 1.0, [Figure("rate", "sqlite", 10, "jobs/s", 0.5, "own", (0.4, 0.6), "higher")])
    after.add("m", 1.0, [compared("rate", "sqlite", "jobs/s", "higher", [(8, 10), (9, 10)], "own")])
    after.add("words", 1.0, [("a", "b", "c", "d")])
    before.write(tmp_path / "before.json")
    after.write(tmp_path / "after.json")
    after.add("words", 2.0, [("a", "b", "e", "d")])
    after.write(tmp_path / "after.json")
    found = read(tmp_path / "after.json")
    assert found.rows == after.rows
    assert compare(read(tmp_path / "before.json"), found) == [
        ("m", "rate", "sqlite", "0.5", "0.85", "x 1.7 better")
    ]


async def test_submit(engine: Engine) -> None:
    found = await submit.measure_submit(engine, submit.Size(clients=(2,), seconds=0.1, warm_seconds=0.05))
    assert len(found) == 8
    assert all(one.value > 0 for one in found)


async def test_backlog_leaves_the_books_right(engine: Engine) -> None:
    found = await backlog.measure_backlog(engine, backlog.Size((0, 300), times=2, watch_seconds=0.05))
    assert [one.ratio is not None for one in found[:10]] == [False] * 5 + [True] * 5
    async with opened(load_settings(base_dir=engine.folder / "backlog-sqlite", environ={})) as ctx:
        assert (await ctx.store.read(ledger.audit)).faults == ()


async def test_fleet(engine: Engine) -> None:
    size = fleet.Size(servers=(2, 3), seconds=0.5, job_seconds=0.02, jobs=40)
    found = await fleet.measure_fleet(engine, size)
    assert len(found) == 12
    assert found[0].value > 0
