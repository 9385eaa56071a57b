"""Servers, accounts, keys, credits, ledger and jobs, with nobody serving."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from tests.cli.conftest import Invoke

KEY = re.compile(r"cgk_[\w-]{43}")


def test_init_writes_a_file_that_the_settings_accept(base: Path, invoke: Invoke) -> None:
    assert invoke("init", "--json").json() == {"path": str(base / "comfygate.toml")}
    assert invoke("accounts", "list").code == 0
    (base / "comfygate.toml").write_text("# mine\n", encoding="utf-8")
    again = invoke("init")
    assert again.code == 4
    assert "--force" in again.err
    assert (base / "comfygate.toml").read_text(encoding="utf-8") == "# mine\n"
    assert invoke("init", "--force").code == 0


def test_accounts_add_json_is_the_id_and_the_key_and_nothing_else(base: Path, invoke: Invoke) -> None:
    made = invoke("accounts", "add", "ann", "--tier", "vip", "--credits", "7", "--json")
    answer = made.json()
    assert set(answer) == {"id", "api_key"}
    assert made.err == ""
    assert made.out.count("\n") == 1
    assert KEY.fullmatch(answer["api_key"])
    (account,) = invoke("accounts", "list", "--json").json()["accounts"]
    assert account == {
        "id": answer["id"],
        "name": "ann",
        "tier": "vip",
        "available": 7,
        "held": 0,
        "role": "user",
        "suspicions": 0,
        "disabled_at_ms": None,
    }


def test_a_key_is_shown_once_and_kept_nowhere(base: Path, invoke: Invoke) -> None:
    first = KEY.search(invoke("accounts", "add", "ann").out)
    second = KEY.search(invoke("keys", "add", "ann").out)
    assert first is not None
    assert second is not None
    assert first[0] != second[0]
    for words in (("accounts", "list"), ("ledger", "show", "ann"), ("doctor",)):
        ended = invoke(*words)
        assert not KEY.search(ended.out + ended.err)
    for path in (base / "data").iterdir():
        content = path.read_bytes()
        assert first[0].encode() not in content
        assert second[0].encode() not in content


def test_credits_and_the_ledger(invoke: Invoke) -> None:
    invoke("accounts", "add", "ann", "--credits", "5")
    granted = invoke("credits", "grant", "ann", "20", "--reason", "invoice 17", "--json").json()
    assert granted["available"] == 25
    shown = invoke("ledger", "show", "ann")
    assert "invoice 17" in shown.out
    assert "ann has 25 credits, 0 held" in shown.out
    entries = invoke("ledger", "show", "ann", "--limit", "1", "--json").json()["entries"]
    assert [entry["amount"] for entry in entries] == [20]
    audit = invoke("ledger", "audit", "--json").json()
    assert (audit["balanced"], audit["total"], audit["available"]) == (True, 0, 25)
    assert "The ledger balances" in invoke("ledger", "audit").out


@pytest.mark.parametrize("amount", ["0", "-3"])
def test_only_more_credits_can_be_granted(amount: str, invoke: Invoke) -> None:
    invoke("accounts", "add", "ann")
    refused = invoke("credits", "grant", "--reason", "x", "--", "ann", amount)
    assert refused.code == 4
    assert amount in refused.err


def test_servers_are_added_changed_and_listed(invoke: Invoke) -> None:
    assert "No servers yet" in invoke("servers", "list").out
    added = invoke("servers", "add", "gpu1", "http://127.0.0.1:1/comfy/", "--lanes", "image, video")
    assert added.out == "Server gpu1 at http://127.0.0.1:1/comfy takes jobs of image, video.\n"
    invoke("servers", "add", "gpu1", "http://127.0.0.1:2", "--lanes", "video", "--slots", "2")
    (server,) = invoke("servers", "list", "--json").json()["servers"]
    assert (server["url"], server["lanes"], server["slots"]) == ("http://127.0.0.1:2", ["video"], 2)
    assert server["state"] == "unknown"
    assert "http://127.0.0.1:2" in invoke("servers", "list").out


def test_a_server_s_password_in_its_address_is_refused_and_not_shown(base: Path, invoke: Invoke) -> None:
    ended = invoke("servers", "add", "gpu1", "http://ann:s3cr3t-word@127.0.0.1:1", "--lanes", "image")
    assert ended.code == 4
    assert "[server_secrets.gpu1]" in ended.err
    assert "s3cr3t-word" not in ended.err


def test_no_jobs_yet(invoke: Invoke) -> None:
    assert invoke("jobs", "list", "--json").json() == {"jobs": [], "next_cursor": None}
    assert invoke("jobs", "list").out == "Jobs: none\n"


def test_names_from_elsewhere_cannot_draw_on_the_terminal(base: Path, invoke: Invoke) -> None:
    invoke("accounts", "add", "[bold]ann[/bold]")
    assert "[bold]ann[/bold]" in invoke("accounts", "list").out
    invoke("servers", "add", "gpu1", "http://127.0.0.1:1", "--lanes", "image")
    with sqlite3.connect(base / "data" / "comfygate.db") as conn:
        conn.execute("UPDATE servers SET url = 'http://x/' || char(27) || '[2J'")
    conn.close()
    assert "\x1b" not in invoke("servers", "list").out
