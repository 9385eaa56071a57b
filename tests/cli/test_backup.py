"""Backup while the service runs, and restore when none does: whole, checked, and paid once."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from comfygate.cli.gateway import gateway
from comfygate.simulator import Simulator
from tests.cli.conftest import Invoke
from tests.cli.rig import PATIENCE_SECONDS, command, private_mode, serving

BLANK = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "blank"}},
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL to send")
@pytest.mark.parametrize("ended_meanwhile", [False, True])
async def test_a_backup_of_a_running_service_is_restored_elsewhere_and_its_jobs_are_paid_once(
    base: Path, tmp_path: Path, sim: Simulator, *, ended_meanwhile: bool
) -> None:
    assert (await command(base, "servers", "add", "one", sim.url, "--lanes", "image")).code == 0
    made = await command(base, "accounts", "add", "ann", "--credits", "20", "--json")
    key, copy, other = str(made.json()["api_key"]), tmp_path / "copies" / "monday.db", tmp_path / "other"
    other.mkdir()
    sim.hold()
    async with serving(base) as service, gateway(service.url, key) as gate:
        jobs = [(await gate.submit(BLANK, key=f"k{n}", lane=None))["id"] for n in range(3)]
        await service.logged("attempt.started")
        backup = (await command(base, "backup", str(copy), "--json")).json()
        assert (backup["file"], backup["jobs_open"]) == (str(copy), 3)
        after = (await gate.submit(BLANK, key="after", lane=None))["id"]
        if ended_meanwhile:
            sim.release()
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert (await gate.follow(jobs[0], lambda _event: None))["status"] == "succeeded"
        service.tell(signal.SIGKILL)
        assert await service.ended() == -signal.SIGKILL
    assert private_mode(copy)
    restored = (await command(other, "restore", str(copy), "--json")).json()
    assert (restored["kept"], restored["jobs_open"]) == (None, 3)
    assert (restored["audit"]["balanced"], restored["audit"]["held"]) == (True, 3)
    async with serving(other) as service, gateway(service.url, key) as gate:
        await service.logged("service.ready")
        sim.release()
        async with asyncio.timeout(PATIENCE_SECONDS):
            ends = [(await gate.follow(job, lambda _event: None))["status"] for job in jobs]
        service.tell(signal.SIGTERM)
        assert await service.ended() == 0
    assert ends == ["succeeded"] * 3
    if not ended_meanwhile:
        assert len(sim.executed) == 3, "the running one was adopted, not run again"
    books = (await command(other, "ledger", "audit", "--json")).json()
    assert (books["balanced"], books["held"], books["revenue"]) == (True, 0, 3)
    entries = (await command(other, "ledger", "show", "ann", "--json")).json()["entries"]
    assert sorted((e["job_id"], e["kind"]) for e in entries if e["job_id"]) == sorted(
        (job, kind) for job in jobs for kind in ("hold", "capture")
    )
    assert (await command(other, "jobs", "show", after)).code == 5, "what came after the backup is not in it"
    (row,) = (await command(other, "audit", "list", "--json", "--limit", "1")).json()["audit"]
    assert (row["actor"], row["operation"], row["result"]) == ("cli", "restore", "ok")


async def test_restore_is_refused_while_a_service_runs(base: Path, tmp_path: Path) -> None:
    async with serving(base):
        assert (await command(base, "backup", str(tmp_path / "copy.db"))).code == 0
        refused = await command(base, "restore", str(tmp_path / "copy.db"), "--force")
    assert refused.code == 4
    assert "another process uses" in refused.err
    assert "stop it first" in refused.err


def _accounts(invoke: Invoke) -> list[str]:
    return [account["name"] for account in invoke("accounts", "list", "--json").json()["accounts"]]


def test_restore_keeps_the_database_that_was_there(base: Path, tmp_path: Path, invoke: Invoke) -> None:
    invoke("accounts", "add", "ann", "--credits", "5")
    assert invoke("backup", str(tmp_path / "copy.db")).code == 0
    invoke("accounts", "add", "ben")
    refused = invoke("restore", str(tmp_path / "copy.db"))
    assert (refused.code, "--force" in refused.err) == (4, True)
    assert _accounts(invoke) == ["ann", "ben"]
    done = invoke("restore", str(tmp_path / "copy.db"), "--force")
    assert done.code == 0, done.err
    assert "The ledger balances" in done.out
    assert _accounts(invoke) == ["ann"]
    (kept,) = (base / "data").glob("comfygate.db.before-restore-*Z")
    assert str(kept) in done.out
    assert invoke("restore", str(kept), "--force").code == 0
    assert _accounts(invoke) == ["ann", "ben"]


def test_what_a_crash_left_in_the_log_of_the_old_database_stays_with_it(
    base: Path, tmp_path: Path, invoke: Invoke
) -> None:
    invoke("accounts", "add", "ann")
    invoke("backup", str(tmp_path / "copy.db"))
    data, crashed = base / "data", tmp_path / "crashed"
    with sqlite3.connect(data / "comfygate.db") as conn:
        conn.execute("PRAGMA wal_autocheckpoint=0")
        conn.execute("UPDATE accounts SET name = 'in the log'")
        conn.commit()
        shutil.copytree(data, crashed)
    conn.close()
    assert (crashed / "comfygate.db-wal").stat().st_size > 0
    shutil.rmtree(data)
    crashed.replace(data)
    assert invoke("restore", str(tmp_path / "copy.db"), "--force").code == 0
    assert _accounts(invoke) == ["ann"], "the old log was not taken for the new database's"
    (kept,) = data.glob("comfygate.db.before-restore-*Z")
    assert invoke("restore", str(kept), "--force").code == 0
    assert _accounts(invoke) == ["in the log"]


def test_a_damaged_database_can_be_replaced(base: Path, tmp_path: Path, invoke: Invoke) -> None:
    invoke("accounts", "add", "ann")
    invoke("backup", str(tmp_path / "copy.db"))
    (base / "data" / "comfygate.db").write_bytes(b"no database at all" * 1000)
    assert invoke("backup", str(tmp_path / "second.db")).code == 6
    assert not (tmp_path / "second.db").exists()
    assert invoke("restore", str(tmp_path / "copy.db"), "--force").code == 0
    assert _accounts(invoke) == ["ann"]


def test_what_is_no_backup_is_refused_and_changes_nothing(base: Path, tmp_path: Path, invoke: Invoke) -> None:
    invoke("accounts", "add", "ann")
    good = tmp_path / "copy.db"
    invoke("backup", str(good))
    missing = invoke("restore", str(tmp_path / "none.db"), "--force")
    assert (missing.code, "there is no file" in missing.err) == (5, True)
    for name, spoil, said in (
        ("text", lambda path: path.write_text("hello" * 1000), "not a database"),
        ("cut", lambda path: path.write_bytes(good.read_bytes()[:-8192]), "damaged"),
        ("other", lambda path: _sql(path, "DROP TABLE entries"), "no database of comfygate"),
        ("newer", lambda path: _sql(path, "UPDATE alembic_version SET version_num = '9999'"), "'9999'"),
    ):
        spoiled = tmp_path / f"{name}.db"
        shutil.copy(good, spoiled)
        spoil(spoiled)
        refused = invoke("restore", str(spoiled), "--force", "--json")
        assert (refused.code, refused.error()["code"]) == (4, "invalid_request"), name
        assert said in refused.error()["message"] or "malformed" in refused.error()["message"], name
    assert _accounts(invoke) == ["ann"]
    assert not list((base / "data").glob("*before-restore*"))
    itself = invoke("restore", str(base / "data" / "comfygate.db"), "--force")
    assert (itself.code, "itself" in itself.err) == (4, True)


def _sql(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as conn:
        conn.execute("PRAGMA foreign_keys=OFF")
        conn.execute(statement)
    conn.close()


def test_backup_never_writes_over_a_file_and_needs_a_database(tmp_path: Path, invoke: Invoke) -> None:
    target = tmp_path / "copy.db"
    nothing = invoke("backup", str(target))
    assert (nothing.code, "no database" in nothing.err) == (5, True)
    invoke("accounts", "add", "ann")
    target.write_text("mine")
    assert (invoke("backup", str(target)).code, target.read_text()) == (4, "mine")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["copy.db"]


def test_on_postgresql_both_name_its_own_tools(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYGATE_DATABASE_URL", "postgresql://gate:sesame@127.0.0.1:1/gate")
    for what in ("backup", "restore"):
        refused = invoke(what, str(tmp_path / "copy.db"))
        assert (refused.code, "pg_dump" in refused.err) == (4, True)
        assert "sesame" not in refused.err
