"""Every measure in its shortest form yields rows; how fast anything was is asserted nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import (
    backlog,
    dispatch,
    document,
    fleet,
    followers,
    operations,
    outputs,
    pages,
    real,
    start,
    submit,
    utilisation,
)
from benchmarks.engines import Engine
from benchmarks.figures import Figure, compared
from benchmarks.goals import NOT_MEASURED, goals
from benchmarks.page_reads import GROWS, PAGES
from benchmarks.plots import PLOTS
from benchmarks.results import Run, compare, read
from comfygate.app import opened
from comfygate.settings import load_settings
from comfygate.simulator import Simulator
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


def test_goals_are_told_beside_what_was_found() -> None:
    run = Run.now()
    rate = Figure("submit, 128 clients: rate", "sqlite", 1200, "jobs/s", 0.5, "own")
    run.add("submit", 1.0, [rate, *(_submit(name, ms) for name, ms in (("median", 10), ("p99", 101)))])
    run.add("utilisation", 1.0, [Figure("jobs of 100 ms: rate", "postgresql", 9, "jobs/s", 0.981, "own")])
    found = {line[:2]: line[2:] for line in goals(run)}
    assert found["submit at 128 clients", "sqlite"] == ("≥ 1,000 jobs/s", "1,200 jobs/s", "yes")
    assert found["submit at 128 clients: p99 over median", "sqlite"] == ("≤ 10", "10.1", "no")
    of_100 = "jobs of 100 ms: part of the own queue's rate"
    assert found[of_100, "postgresql"] == ("≥ 0.98", "0.981", "yes")
    assert found[of_100, "sqlite"] == ("≥ 0.98", "", NOT_MEASURED)


def _submit(name: str, ms: float) -> Figure:
    return Figure(f"submit, 128 clients: {name}", "sqlite", ms, "ms")


async def test_submit(engine: Engine) -> None:
    found = await submit.measure_submit(engine, submit.Size((2,), (1,), seconds=0.1, warm_seconds=0.05))
    assert len(found) == 8
    assert all(one.value > 0 for one in found)


async def test_backlog_leaves_the_books_right(engine: Engine) -> None:
    found = await backlog.measure_backlog(engine, backlog.Size((0, 300), times=2, watch_seconds=0.05))
    assert [one.ratio is not None for one in found[:10]] == [False] * 5 + [True] * 5
    async with opened(load_settings(base_dir=engine.folder / "backlog-sqlite", environ={})) as ctx:
        assert (await ctx.store.read(ledger.audit)).faults == ()


async def test_operations(engine: Engine) -> None:
    size = operations.Size(few=20, many=200, accounts=40, times=1, ends=20)
    found = await operations.measure_operations(engine, size)
    opened = len(PAGES) + len(GROWS)
    assert [one.ratio is not None for one in found] == [True] * (opened + 2) + [False] * 2
    assert found[opened].value == max(one.value for one in found[: len(PAGES)])


async def test_fleet(engine: Engine) -> None:
    size = fleet.Size(servers=(2, 3), seconds=0.5, job_seconds=0.02, jobs=40)
    found = await fleet.measure_fleet(engine, size)
    assert len(found) == 20
    assert found[0].value > 0


async def test_followers(engine: Engine) -> None:
    size = followers.Size(clients=(2, 6), jobs=2, servers=1, job_seconds=0.01)
    found = await followers.measure_followers(engine, size)
    assert [one.value for one in found if one.name.endswith("missed")] == [0, 0]


async def test_pages(engine: Engine) -> None:
    size = pages.Size(
        accounts=3,
        operators=2,
        slow_each=3,
        servers=2,
        job_seconds=0.05,
        steps=1,
        rate=20.0,
        turns=1,
        seconds=0.3,
    )
    found = await pages.measure_pages(engine, size)
    assert len(found) == 32
    missed = [one.value for one in found if "missed" in one.name]
    assert missed == [0] * 4
    (wait,) = [
        one for one in found if one.name == "2 of 5 pages never read: submit to start on a server, median"
    ]
    assert wait.ratio


async def test_outputs(engine: Engine) -> None:
    size = outputs.Size(files=((1, 2),), other_seconds=0.01, other_jobs=2)
    found = await outputs.measure_outputs(engine, size)
    assert found[0].ratio


async def test_a_real_server_is_measured_from_outside(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMFYUI_URL", raising=False)
    assert await real.measure_real(engine) == []
    async with Simulator() as simulator:
        monkeypatch.setenv("COMFYUI_URL", simulator.url)
        rate, empty = await real.measure_real(engine, real.Size(jobs=3, rounds=1))
    assert rate.ratio
    assert 0 < empty.value < 1


def test_tables_and_plots_are_written_from_a_run() -> None:
    run = Run.now()
    for measure in ("utilisation", "submit", "backlog", "fleet", "followers"):
        run.add(measure, 1.0, [Figure(f"<a> {measure}: rate, gap, median, end heard", "sqlite", 2.0, "ms")])
    page = "x\n<!-- bench fleet -->\nold\n<!-- end -->\ny\n<!-- bench machine -->\n<!-- end -->\n"
    once = document.filled(page, run)
    assert "| <a> fleet: rate, gap, median, end heard | sqlite | 2 ms |  |" in once
    assert "old" not in once
    assert document.filled(once, run) == once
    for draw in PLOTS.values():
        assert "&lt;a&gt;" in draw(run)


async def test_start(engine: Engine) -> None:
    (found,) = await start.measure_start(engine, start.Size(starts=1, jobs=0, demo=False))
    assert found.ratio
