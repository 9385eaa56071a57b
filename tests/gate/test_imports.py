"""Accounts from elsewhere are taken in once, all or nothing, after a look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from comfygate.app import opened
from comfygate.domain.errors import Conflict, InvalidRequest
from comfygate.gate import operate
from comfygate.gate.context import Context
from comfygate.settings import load_settings

FILE = "telegram_id,tier,credits\n7,vip,30\n8,regular,0\n9,black_gold,5\n"


@pytest.fixture
async def ctx(tmp_path: Path, database_url: str) -> AsyncIterator[Context]:
    settings = load_settings(base_dir=tmp_path, environ={}, overrides={"database_url": database_url})
    async with opened(settings) as context:
        yield context


async def take(ctx: Context, content: str = FILE, **more: Any) -> dict[str, Any]:
    given = {"content": content, "file_name": "old bot.csv", **more}
    return await operate.perform(ctx, "accounts.import", given)


async def accounts(ctx: Context) -> dict[str, tuple[str, int]]:
    found = (await operate.perform(ctx, "accounts.list", {}))["accounts"]
    return {one["name"]: (one["tier"], one["available"]) for one in found}


async def test_a_look_changes_nothing_and_the_import_comes_once(ctx: Context) -> None:
    looked = await take(ctx, dry_run=True)
    assert await accounts(ctx) == {}
    taken = await take(ctx)
    assert {**looked, "dry_run": False} == taken
    assert (taken["new_accounts"], taken["known_accounts"], taken["credits"]) == (3, 0, 35)
    people = {"tg-7": ("vip", 30), "tg-8": ("regular", 0), "tg-9": ("black_gold", 5)}
    assert await accounts(ctx) == people
    for again in (take(ctx), take(ctx, dry_run=True)):
        with pytest.raises(Conflict, match=r"taken in before, as 'old bot\.csv'"):
            await again
    assert await accounts(ctx) == people
    entries = (await operate.perform(ctx, "ledger.show", {"account": "tg-7"}))["entries"]
    assert [one["reason"] for one in entries] == ["opening credits from old bot.csv"]
    assert (await operate.perform(ctx, "ledger.audit", {}))["faults"] == []


async def test_who_is_known_keeps_the_account(ctx: Context) -> None:
    await take(ctx)
    taken = await take(ctx, "telegram_id,tier,credits\n7,regular,1\n10,vip,2\n")
    assert (taken["new_accounts"], taken["known_accounts"]) == (1, 1)
    found = await accounts(ctx)
    assert (found["tg-7"], found["tg-10"]) == (("regular", 31), ("vip", 2))


async def test_two_at_once_are_one(ctx: Context) -> None:
    done = await asyncio.gather(*(take(ctx) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(one, dict) for one in done) == 1
    assert (await accounts(ctx))["tg-7"] == ("vip", 30)
    assert (await operate.perform(ctx, "ledger.audit", {}))["faults"] == []


async def test_an_unknown_tier_stops_all_of_it(ctx: Context) -> None:
    with pytest.raises(InvalidRequest, match="tier 'emperor', which is none of black_gold, regular, vip"):
        await take(ctx, FILE + "11,emperor,1\n")
    assert await accounts(ctx) == {}
