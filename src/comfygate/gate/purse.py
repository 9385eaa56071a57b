"""Credits that come from outside: codes that the operator makes, payments in Telegram Stars, gifts."""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from dataclasses import dataclass
from typing import Any, Final

from comfygate.domain.credits import checked_amount
from comfygate.domain.errors import InvalidRequest, NotFound, RateLimited
from comfygate.gate.context import Context
from comfygate.store import accounts as accounts_store
from comfygate.store import ledger, purse, telegram_users
from comfygate.store.engine import Connection
from comfygate.store.purse import Code, Payment
from comfygate.store.rows import AccountRow

ALPHABET: Final = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
"""No 0 O 1 I L: they are mistaken for each other."""
CODE_CHARS: Final = 13
"""64 random bits: a plain digest of it cannot be searched."""
CODES_MAX: Final = 1000
DAYS_MAX: Final = 3650
NOTE_CHARS_MAX: Final = 200
HINT_CHARS: Final = 4
TRIES_PER_MINUTE: Final = 10
"""Codes that one account may try in a minute, counted by each process."""
DAY_MS: Final = 86_400_000

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Redeemed:
    """What a code brought, to whom; `again` if it had been redeemed by the same account before."""

    credits: int
    account: AccountRow
    again: bool


def _digest(code: str) -> str:
    plain = "".join(one for one in code.upper() if one in ALPHABET)
    return hashlib.sha256(plain.encode()).hexdigest()


def _fresh() -> str:
    plain = "".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARS))
    return f"{plain[:4]}-{plain[4:8]}-{plain[8:]}"


async def codes_make(ctx: Context, credits: int, count: int = 1, note: str = "", days: int = 0) -> Json:
    """Make codes that bring credits, once each, to whoever redeems one; they are in this answer only.

    `days`: how long they are good; 0: for ever. Raises InvalidRequest.
    """
    checked_amount(credits, field="credits")
    for name, value, low, high in (("count", count, 1, CODES_MAX), ("days", days, 0, DAYS_MAX)):
        if not low <= value <= high:
            raise InvalidRequest(
                f"{name} is {value}: it must be from {low} to {high}", details={"field": name}
            )
    if len(note) > NOTE_CHARS_MAX or not (note.isprintable() or not note):
        raise InvalidRequest(
            f"note must have at most {NOTE_CHARS_MAX} printable characters", details={"field": "note"}
        )
    codes, now_ms = [_fresh() for _ in range(count)], ctx.now_ms()
    digests = [(_digest(code), code[-HINT_CHARS:]) for code in codes]
    expires_at_ms = now_ms + days * DAY_MS if days else None
    await ctx.store.run(purse.add_codes, digests, credits, note, expires_at_ms, now_ms)
    return {"codes": codes, "credits": credits, "expires_at_ms": expires_at_ms}


async def codes_list(ctx: Context, limit: int = 50) -> Json:
    """The newest codes, by their last characters, and what became of them."""
    _check_limit(ctx, limit)
    found = await ctx.store.read(purse.list_codes, limit)
    return {"codes": [{**_fields(code), "state": _state(code, ctx.now_ms())} for code in found]}


def _state(code: Code, now_ms: int) -> str:
    if code.used_at_ms is not None:
        return "used"
    if code.revoked_at_ms is not None:
        return "revoked"
    return "expired" if code.expires_at_ms is not None and code.expires_at_ms <= now_ms else "open"


async def codes_revoke(ctx: Context, code: str) -> Json:
    """Make a code worthless that nobody redeemed yet. Raises NotFound."""
    await ctx.store.run(purse.revoke, _digest(code), ctx.now_ms())
    return {"revoked": True}


async def redeem(ctx: Context, account_id: str, code: str) -> Redeemed:
    """Bring a code's credits to the account. Raises NotFound, alike for every code that is not good, and
    RateLimited for who guesses."""
    now = asyncio.get_running_loop().time()
    wait = ctx.pace.wait_seconds(f"redeem {account_id}", TRIES_PER_MINUTE, now)
    if wait > 0:
        raise RateLimited(
            f"at most {TRIES_PER_MINUTE} codes a minute; the next one may come in {math.ceil(wait)} s",
            retry_after_seconds=math.ceil(wait),
        )
    found, account = await ctx.store.run(_redeem, account_id, _digest(code), ctx.now_ms())
    if found is None:
        raise NotFound("this code is not good: it is misspelt, used, expired or was withdrawn")
    credits, fresh = found
    ctx.live.stir(account_id, None)
    return Redeemed(credits, account, again=not fresh)


def _redeem(
    conn: Connection, account_id: str, digest: str, now_ms: int
) -> tuple[tuple[int, bool] | None, AccountRow]:
    found = purse.redeem(conn, account_id, digest, now_ms)
    return found, accounts_store.get_account(conn, account_id)


async def paid(
    ctx: Context, *, charge_id: str, telegram_id: int, account_id: str, stars: int, credits: int
) -> bool:
    """A payment came in: its credits are granted, once however often it is told. False if it was known.

    A disabled account gets them too: money that came is never lost.
    """
    return await ctx.store.run(purse.pay_in, charge_id, telegram_id, account_id, stars, credits, ctx.now_ms())


async def payments_list(ctx: Context, account: str | None = None, limit: int = 50) -> Json:
    """The newest payments, of one account or of all. Raises NotFound and InvalidRequest."""
    _check_limit(ctx, limit)
    found = await ctx.store.read(_payments, account, limit)
    return {"payments": [_fields(one) for one in found]}


def _payments(conn: Connection, account: str | None, limit: int) -> list[Payment]:
    account_id = accounts_store.get_account(conn, account).id if account is not None else None
    return purse.list_payments(conn, account_id, limit)


async def payments_refund(ctx: Context, charge: str) -> Json:
    """Take a payment's credits back and have Telegram give back its stars, which the running bot asks for.

    Raises NotFound, Conflict (asked already) and InsufficientCredits (they were spent).
    """
    return _fields(await ctx.store.run(purse.ask_refund, charge, ctx.now_ms()))


async def check_in(ctx: Context, account_id: str, credits: int) -> bool:
    """Give today's credits (UTC). False if the account had them."""
    now_ms = ctx.now_ms()
    reference = f"checkin {account_id} {now_ms // DAY_MS}"
    return await ctx.store.run(ledger.grant_once, account_id, credits, "daily check-in", now_ms, reference)


async def referral(ctx: Context, telegram_id: int, credits: int) -> str | None:
    """Thank whoever brought this person, once: the account that was thanked."""
    return await ctx.store.run(_referral, telegram_id, credits, ctx.now_ms())


def _referral(conn: Connection, telegram_id: int, credits: int, now_ms: int) -> str | None:
    person = telegram_users.find(conn, telegram_id)
    if person is None or person.invited_by in {None, telegram_id}:
        return None
    by = telegram_users.find(conn, person.invited_by or 0)
    if by is None or by.account_id == person.account_id:
        return None
    reference = f"referral {telegram_id}"
    given = ledger.grant_once(conn, by.account_id, credits, "brought a friend", now_ms, reference)
    return by.account_id if given else None


def _check_limit(ctx: Context, limit: int) -> None:
    most = ctx.rules.limits.page_limit_max
    if not 1 <= limit <= most:
        raise InvalidRequest(f"limit is {limit}: it must be from 1 to {most}", details={"field": "limit"})


def _fields(row: Code | Payment) -> Json:
    return {name: getattr(row, name) for name in type(row).__slots__}
