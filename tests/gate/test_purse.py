"""Credits from outside count once, whoever asks however often at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from comfygate.app import opened
from comfygate.domain.credits import EntryKind
from comfygate.domain.errors import Conflict, InsufficientCredits, InvalidRequest, NotFound, RateLimited
from comfygate.gate import operate, purse
from comfygate.gate.context import Context
from comfygate.settings import load_settings
from comfygate.store import ledger, telegram_users
from comfygate.store import purse as purse_store


@pytest.fixture
async def ctx(tmp_path: Path, database_url: str) -> AsyncIterator[Context]:
    settings = load_settings(base_dir=tmp_path, environ={}, overrides={"database_url": database_url})
    async with opened(settings) as context:
        yield context
        found = await operate.perform(context, "ledger.audit", {})
        assert found["faults"] == []


async def account(ctx: Context, name: str, credits: int = 0) -> str:
    made = await operate.perform(ctx, "accounts.add", {"name": name, "credits": credits})
    account_id: str = made["id"]
    return account_id


async def available(ctx: Context, name: str) -> int:
    shown: int = (await operate.perform(ctx, "ledger.show", {"account": name}))["available"]
    return shown


async def test_a_code_brings_its_credits_once_to_one_of_many(ctx: Context) -> None:
    people = [await account(ctx, f"p{n}") for n in range(16)]
    made = await operate.perform(ctx, "codes.make", {"credits": 30, "note": "fair"})
    (code,) = made["codes"]
    tries = [purse.redeem(ctx, one, code.lower().replace("-", " ")) for one in people]
    done = await asyncio.gather(*tries, return_exceptions=True)
    won = [one for one in done if isinstance(one, purse.Redeemed)]
    assert [(one.credits, one.again) for one in won] == [(30, False)]
    assert sum(isinstance(one, NotFound) for one in done) == 15
    again = await purse.redeem(ctx, won[0].account.id, code)
    assert (again.again, again.account.balance.available) == (True, 30)
    (listed,) = (await operate.perform(ctx, "codes.list", {}))["codes"]
    assert (listed["state"], listed["hint"], listed["used_by"]) == ("used", code[-4:], won[0].account.id)
    assert code not in str(listed)


async def test_codes_that_are_not_good_look_alike(ctx: Context) -> None:
    ann = await account(ctx, "ann")
    (revoked,) = (await operate.perform(ctx, "codes.make", {"credits": 5}))["codes"]
    await operate.perform(ctx, "codes.revoke", {"code": revoked})
    words = set()
    for code in (revoked, "ABCD-EFGH-JKMNP", "", "💥"):
        with pytest.raises(NotFound) as refusal:
            await purse.redeem(ctx, ann, code)
        words.add(refusal.value.message)
    assert len(words) == 1
    tries = [purse.redeem(ctx, ann, "ABCD-EFGH-JKMNP") for _ in range(20)]
    refused = [type(one) for one in await asyncio.gather(*tries, return_exceptions=True)]
    assert set(refused) == {NotFound, RateLimited}
    assert refused.count(NotFound) == purse.TRIES_PER_MINUTE - 4
    with pytest.raises(NotFound):
        await operate.perform(ctx, "codes.revoke", {"code": revoked})


async def test_a_payment_told_many_times_at_once_is_one_payment(ctx: Context) -> None:
    ann = await account(ctx, "ann")
    told = [
        purse.paid(ctx, charge_id="c1", telegram_id=7, account_id=ann, stars=50, credits=40) for _ in range(8)
    ]
    assert sorted(await asyncio.gather(*told)) == [False] * 7 + [True]
    assert await available(ctx, "ann") == 40
    assert len((await operate.perform(ctx, "payments.list", {"account": "ann"}))["payments"]) == 1


async def test_a_refund_takes_the_credits_back_or_says_what_is_missing(ctx: Context) -> None:
    ann = await account(ctx, "ann")
    await purse.paid(ctx, charge_id="c%1", telegram_id=7, account_id=ann, stars=50, credits=40)
    await operate.perform(ctx, "payments.refund", {"charge": "c%1"})
    assert await available(ctx, "ann") == 0
    with pytest.raises(Conflict):
        await operate.perform(ctx, "payments.refund", {"charge": "c%1"})
    # Telegram refuses: the credits are the account's again, and it can be tried once more.
    await ctx.store.run(purse_store.refund_refused, "c%1", "CHARGE_NOT_FOUND", ctx.now_ms())
    await ctx.store.run(purse_store.refund_refused, "c%1", "CHARGE_NOT_FOUND", ctx.now_ms())
    assert await available(ctx, "ann") == 40
    await operate.perform(ctx, "payments.refund", {"charge": "c%1"})
    await ctx.store.run(purse_store.refunded, "c%1", ctx.now_ms())
    assert await available(ctx, "ann") == 0
    await purse.paid(ctx, charge_id="c2", telegram_id=7, account_id=ann, stars=50, credits=40)
    await ctx.store.run(ledger.take, EntryKind.WITHDRAW, ann, 1, "x", 1, "spent")
    with pytest.raises(InsufficientCredits, match="40 credits are to be taken off and 39 are available"):
        await operate.perform(ctx, "payments.refund", {"charge": "c2"})
    with pytest.raises(NotFound):
        await operate.perform(ctx, "payments.refund", {"charge": "none"})


async def test_gifts_come_once(ctx: Context) -> None:
    ann = await account(ctx, "ann")
    assert await purse.check_in(ctx, ann, 3)
    assert not await purse.check_in(ctx, ann, 3)
    assert await available(ctx, "ann") == 3
    await ctx.store.run(telegram_users.add, 1, ctx.new_id(), "regular", 0, 1)
    await ctx.store.run(_invited, 2, ctx.new_id(), 1)
    await ctx.store.run(_invited, 3, ctx.new_id(), 3)
    assert await purse.referral(ctx, 2, 5) is not None
    assert await purse.referral(ctx, 2, 5) is None
    assert await purse.referral(ctx, 3, 5) is None
    assert await available(ctx, "tg-1") == 5


def _invited(conn: Any, telegram_id: int, account_id: str, by: int) -> None:
    telegram_users.add(conn, telegram_id, account_id, "regular", 0, 1, invited_by=by)


async def test_a_grant_with_a_reference_is_done_once(ctx: Context) -> None:
    await account(ctx, "ann")
    given = {"account": "ann", "amount": 7, "reason": "order", "reference": "order 17"}
    await asyncio.gather(*(operate.perform(ctx, "credits.grant", given) for _ in range(4)))
    assert await available(ctx, "ann") == 7
    with pytest.raises(InvalidRequest, match="reference must have"):
        await operate.perform(ctx, "credits.grant", {**given, "reference": ""})
