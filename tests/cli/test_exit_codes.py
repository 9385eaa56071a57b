"""Each exit code, reached by what it stands for; and what a bug looks like."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from comfygate.app.main import SERVICES
from comfygate.app.wiring import LOCK_FILE
from comfygate.cli import refusals
from comfygate.cli.exit_codes import MEANINGS, Exit, exit_of
from comfygate.domain.errors import GateError, InsufficientCredits, NotFound, QueueFull, SettingsError
from comfygate.settings import Settings
from tests.cli.conftest import Invoke
from tests.cli.rig import graph_file, photo


def every_error() -> list[type[GateError]]:
    found = [GateError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return found


def test_every_exit_code_has_its_meaning() -> None:
    assert set(MEANINGS) == set(Exit)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("x"), Exit.SETTINGS),
        (NotFound("x"), Exit.NOT_FOUND),
        (QueueFull("x"), Exit.REFUSED),
        (InsufficientCredits("x"), Exit.REFUSED),
    ],
)
def test_refusals_of_the_gate_have_exit_codes(error: GateError, code: Exit) -> None:
    assert refusals.of_gate(error).exit is code


def test_no_refusal_looks_like_success_or_like_a_bug() -> None:
    codes = {exit_of(kind.code) for kind in every_error()}
    assert codes.isdisjoint({Exit.OK, Exit.BUG, Exit.USAGE, Exit.FAULTS, Exit.INTERRUPTED})


def test_unknown_settings_key_is_3_and_one_line(base: Path, invoke: Invoke) -> None:
    (base / "comfygate.toml").write_text("porrt = 1\n", encoding="utf-8")
    for words in (("serve",), ("accounts", "list"), ("run", "graph.json")):
        ended = invoke(*words)
        assert (ended.code, ended.out) == (3, "")
        assert ended.err == (
            f"comfygate: {base}/comfygate.toml: porrt is not a setting; did you mean port?\n"
        )
    error = invoke("accounts", "list", "--json").error()
    assert error["code"] == "settings_invalid"


def test_a_placeholder_secret_is_3_and_not_shown(
    base: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYGATE_SIGNING_SECRET", "your-secret-here")
    ended = invoke("serve")
    assert ended.code == 3
    assert "COMFYGATE_SIGNING_SECRET" in ended.err
    assert "your-secret-here" not in ended.err


def test_a_database_that_cannot_be_opened_is_3(
    base: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYGATE_DATABASE_URL", "postgresql://ann:s3cr3t-word@127.0.0.1:1/none")
    ended = invoke("accounts", "list")
    assert ended.code == 3
    assert "127.0.0.1:1" in ended.err
    assert "s3cr3t-word" not in ended.err
    assert "Traceback" not in ended.err


def test_a_file_that_is_no_database_is_3(base: Path, invoke: Invoke) -> None:
    (base / "data").mkdir()
    (base / "data" / "comfygate.db").write_bytes(b"no database at all" * 100)
    ended = invoke("accounts", "list")
    assert ended.code == 3
    assert "file is not a database" in ended.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("accounts", "add", "ann", "--tier", "gold"), 4, "tier is 'gold': it must be one of black_gold"),
        (("accounts", "add", "ann", "--credits", "-1"), 4, "credits is -1"),
        (("servers", "add", "gpu1", "http://127.0.0.1:1", "--lanes", "sound"), 4, "lanes is 'sound'"),
        (
            ("servers", "add", "gpu1", "http://127.0.0.1:1", "--lanes", "image", "--slots", "0"),
            4,
            "slots is 0",
        ),
        (("credits", "grant", "nobody", "5", "--reason", "x"), 5, "nobody"),
        (("keys", "add", "nobody"), 5, "nobody"),
        (("ledger", "show", "nobody"), 5, "nobody"),
        (("jobs", "show", "nothing"), 5, "'nothing'"),
        (("jobs", "cancel", "nothing"), 5, "'nothing'"),
        (("jobs", "list", "--status", "sleeping"), 4, "status is 'sleeping'"),
    ],
)
def test_refused_is_4_and_not_found_is_5(
    words: tuple[str, ...], code: int, says: str, invoke: Invoke
) -> None:
    ended = invoke(*words)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)
    assert says in ended.err
    as_json = invoke(*words, "--json")
    assert (as_json.code, as_json.out) == (code, "")
    assert says in as_json.error()["message"]


def test_another_process_at_the_data_is_4_and_says_so(base: Path, invoke: Invoke) -> None:
    (base / "data").mkdir()
    with FileLock(base / "data" / LOCK_FILE):
        ended = invoke("accounts", "add", "ann")
    assert (ended.code, ended.err.count("\n")) == (4, 1)
    assert "control channel does not answer" in ended.err


def test_a_gateway_out_of_reach_is_6(base: Path, tmp_path: Path, invoke: Invoke) -> None:
    graph, picture = graph_file(tmp_path / "graph.json"), photo(tmp_path / "photo.png")
    words = ("run", str(graph), "--input", str(picture), "--api-key", "cgk_none")
    nowhere = invoke(*words)
    assert nowhere.code == 6
    assert "comfygate serve" in nowhere.err
    closed = invoke(*words, "--url", "http://127.0.0.1:1")
    assert (closed.code, closed.err.count("\n")) == (6, 1)
    assert "http://127.0.0.1:1 cannot be reached" in closed.err
    assert "cgk_none" not in closed.err + nowhere.err


def test_a_ledger_that_does_not_balance_is_8(base: Path, invoke: Invoke) -> None:
    assert invoke("accounts", "add", "ann", "--credits", "5").code == 0
    assert invoke("ledger", "audit").code == 0
    with sqlite3.connect(base / "data" / "comfygate.db") as conn:
        conn.execute("UPDATE accounts SET available = available + 1")
    conn.close()
    ended = invoke("ledger", "audit")
    assert ended.code == 8
    assert "does NOT balance" in ended.out
    assert invoke("ledger", "audit", "--json").code == 8


def test_a_bug_is_1_with_its_traceback(invoke: Invoke) -> None:
    async def broken(_settings: Settings, _name: str, _arguments: Mapping[str, Any]) -> dict[str, Any]:
        message = "not expected by anyone"
        raise RuntimeError(message)

    ended = invoke("accounts", "list", services=dataclasses.replace(SERVICES, perform=broken))
    assert ended.code == 1
    assert "RuntimeError: not expected by anyone" in ended.err


def test_ctrl_c_is_130(invoke: Invoke) -> None:
    async def interrupted(_settings: Settings, _name: str, _arguments: Mapping[str, Any]) -> dict[str, Any]:
        raise KeyboardInterrupt

    ended = invoke("accounts", "list", services=dataclasses.replace(SERVICES, perform=interrupted))
    assert (ended.code, ended.out, ended.err) == (130, "", "")
