"""Whatever changes something is in the audit log, with what came of it and without a secret."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from comfygate.app import opened
from comfygate.domain.errors import GateError, InvalidRequest, NotFound
from comfygate.gate import operate
from comfygate.gate.audit import scrubbed
from comfygate.gate.context import Context
from comfygate.settings import load_settings


@pytest.fixture
async def ctx(tmp_path: Path, database_url: str) -> AsyncIterator[Context]:
    settings = load_settings(base_dir=tmp_path, environ={}, overrides={"database_url": database_url})
    async with opened(settings) as context:
        yield context


async def _rows(ctx: Context) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await operate.perform(ctx, "audit.list", {}))["audit"]
    return rows


async def test_changes_and_refusals_are_recorded_and_reads_are_not(ctx: Context) -> None:
    given = {"name": "ann", "credits": 5}
    made = await operate.perform(ctx, "accounts.add", given, actor="control")
    with pytest.raises(GateError):
        await operate.perform(ctx, "accounts.add", given, actor="admin")
    await operate.perform(ctx, "accounts.list", {})
    with pytest.raises(NotFound):
        await operate.perform(ctx, "no.such", {})
    newest, oldest = await _rows(ctx)
    assert (oldest["actor"], oldest["operation"], oldest["result"]) == ("control", "accounts.add", "ok")
    assert json.loads(oldest["arguments"]) == given
    assert newest["actor"] == "admin"
    assert newest["result"].startswith("conflict: ")
    assert newest["at_ms"] >= oldest["at_ms"]
    assert made["api_key"] not in json.dumps([newest, oldest])


async def test_a_bug_is_recorded_by_its_name_alone(ctx: Context) -> None:
    with pytest.raises(TypeError):
        await operate.perform(ctx, "accounts.add", {"wrong": 1})
    assert [row["result"] for row in await _rows(ctx)] == ["TypeError"]


async def test_credentials_in_an_address_are_not_kept(ctx: Context) -> None:
    url = "http://ann:sesame@gpu1:8188/?token=open"
    with pytest.raises(InvalidRequest):
        await operate.perform(ctx, "servers.add", {"name": "gpu1", "url": url, "lanes": ["image"]})
    kept = json.dumps(await _rows(ctx))
    assert "sesame" not in kept
    assert "token=open" not in kept
    assert "gpu1" in kept


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"account": "cgk_abc-DEF_1"}', '{"account": "cgk_…"}'),
        ("Bearer s3cret rest", "Bearer … rest"),
        ("http://u:p@h/x", "http://…@h/x"),
        ("see http://h/x?k=v now", "see http://h/x?… now"),
        ("a\x00b\nc", "a b c"),
        ("x" * 5000, "x" * 2000),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str, left: str) -> None:
    assert scrubbed(text) == left


async def test_the_log_comes_in_pages(ctx: Context) -> None:
    for name in ("a1", "a2", "a3"):
        await operate.perform(ctx, "accounts.add", {"name": name})
    first = await operate.perform(ctx, "audit.list", {"limit": 2})
    rest = await operate.perform(ctx, "audit.list", {"limit": 2, "before": first["next_before"]})
    names = [json.loads(row["arguments"])["name"] for row in [*first["audit"], *rest["audit"]]]
    assert names == ["a3", "a2", "a1"]
    assert rest["next_before"] is None
    for wrong in ({"limit": 0}, {"limit": 101}, {"before": 0}, {"before": 2**63}):
        with pytest.raises(InvalidRequest):
            await operate.perform(ctx, "audit.list", wrong)


def test_every_operation_either_reads_or_is_recorded() -> None:
    reads = {"list", "show", "audit", "why", "report"}
    assert {n for n in operate.OPERATIONS if n.split(".")[1] not in reads} == operate.CHANGING
