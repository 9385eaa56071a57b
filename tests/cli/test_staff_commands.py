"""Roles, suspensions and keys from the command line, with nobody serving."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Invoke


def test_a_role_is_given_shown_and_taken(base: Path, invoke: Invoke) -> None:
    invoke("accounts", "add", "ann")
    assert invoke("accounts", "role", "ann", "operator", "--json").json()["role"] == "operator"
    assert "operator" in invoke("accounts", "list").out
    assert invoke("accounts", "role", "ann", "user").out == "The role of ann is user.\n"
    (account,) = invoke("accounts", "list", "--json").json()["accounts"]
    assert account["role"] == "user"
    refused = invoke("accounts", "role", "ann", "god")
    assert refused.code != 0
    assert "role is 'god': it must be one of user, operator, admin" in refused.err


def test_an_account_is_suspended_and_restored(base: Path, invoke: Invoke) -> None:
    invoke("accounts", "add", "ann")
    assert invoke("accounts", "suspend", "ann").out.startswith("ann is suspended since ")
    (account,) = invoke("accounts", "list", "--json").json()["accounts"]
    assert account["disabled_at_ms"] is not None
    assert invoke("accounts", "restore", "ann").out == "ann may submit again.\n"
    assert invoke("accounts", "sign-out", "ann").out == "Sessions of ann that were ended: 0.\n"
    assert invoke("accounts", "suspend", "nobody").code != 0


def test_keys_are_listed_by_their_marks_and_ended(base: Path, invoke: Invoke) -> None:
    key = invoke("accounts", "add", "ann", "--json").json()["api_key"]
    (kept,) = invoke("keys", "list", "ann", "--json").json()["keys"]
    assert kept["key"] not in key
    assert kept["revoked_at_ms"] is None
    assert invoke("keys", "revoke", "ann", kept["key"]).out == f"Key {kept['key']} of ann is ended.\n"
    (ended,) = invoke("keys", "list", "ann", "--json").json()["keys"]
    assert ended["revoked_at_ms"] is not None
    again = invoke("keys", "revoke", "ann", kept["key"])
    assert again.code != 0
    assert kept["key"] in invoke("keys", "list", "ann").out
