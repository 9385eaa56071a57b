"""The tree of commands: help, examples, the reference page, usage errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfygate.cli.command import build
from comfygate.version import VERSION
from tests.cli import reference
from tests.cli.conftest import Invoke

COMMANDS = dict(reference.commands())
WANTED = {
    "init", "serve", "simulate", "doctor", "demo", "run", "servers add", "servers list", "accounts add",
    "accounts list", "keys add", "credits grant", "ledger show", "ledger audit", "jobs list", "jobs show",
    "jobs cancel", "servers drain", "servers resume", "servers remove", "lanes list", "lanes pause",
    "lanes resume", "accounts sign-in", "accounts tier", "workflows list", "workflows show",
    "workflows check", "workflows import", "order", "jobs retry", "audit list", "backup", "restore",
    "review list", "review show", "review release", "review reject", "review suspicions", "review forgive",
    "eta report", "import", "codes make", "codes list", "codes revoke", "payments list", "payments refund",
    "accounts role", "accounts suspend", "accounts restore", "accounts sign-out", "keys list", "keys revoke",
}  # fmt: skip


def test_the_commands_are_those_that_were_promised() -> None:
    assert {name.removeprefix("comfygate ") for name in COMMANDS} == WANTED
    assert build().registered_groups


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_with_an_example_and_json(name: str, invoke: Invoke) -> None:
    words = name.split()[1:]
    shown = invoke(*words, "--help")
    assert shown.code == 0
    assert shown.err == ""
    assert "--json" in shown.out
    assert f"Example: {name}" in " ".join(shown.out.split())


def test_the_reference_page_is_what_the_commands_are() -> None:
    written = reference.PAGE.read_text(encoding="utf-8")
    assert written == reference.page(), "run: python -m tests.cli.reference"


def test_version_and_help(invoke: Invoke) -> None:
    assert invoke("--version").out == f"comfygate {VERSION}\n"
    helped = invoke()
    assert helped.code == 0
    assert "serve" in helped.out
    assert invoke("--help").out == helped.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("bogus",), "No such command 'bogus'"),
        (("servers",), "Missing command"),
        (("servers", "add", "gpu1", "http://127.0.0.1:1"), "Missing option '--lanes'"),
        (("servers", "add", "gpu1"), "Missing argument 'URL'"),
        (
            ("accounts", "add", "ann", "--credits", "many"),
            "unable to parse string as an integer (given: 'many')",
        ),
        (("serve", "--port", "70000"), "(given: '70000')"),
        (("run", "graph.json", "--inputt", "x"), "No such option"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(words: tuple[str, ...], says: str, invoke: Invoke) -> None:
    plain = invoke(*words)
    assert (plain.code, plain.out) == (2, "")
    assert says in plain.err
    assert plain.err.count("\n") == 1
    assert plain.err.startswith("comfygate: ")
    as_json = invoke(*words, "--json")
    error: Any = as_json.error()
    assert (as_json.code, error["code"]) == (2, "usage")
    assert as_json.err == json.dumps(json.loads(as_json.err), ensure_ascii=False) + "\n"
