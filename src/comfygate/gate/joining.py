"""One account for Telegram, HTTP and the web: a code made here and presented there joins the two."""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from dataclasses import dataclass
from typing import Final

from comfygate.domain.errors import InvalidRequest, NotFound, RateLimited
from comfygate.domain.order import tier_named
from comfygate.gate.context import Context
from comfygate.gate.purse import ALPHABET
from comfygate.store import accounts as accounts_store
from comfygate.store import joining
from comfygate.store.engine import Connection
from comfygate.store.rows import AccountRow

CODE_CHARS: Final = 10
"""49 random bits: with few tries a minute and few minutes to live there is no guessing it."""
TRIES_PER_MINUTE: Final = 5
"""Codes that one account may present in a minute, counted by each process."""


@dataclass(frozen=True, slots=True)
class OneTimeCode:
    """A code to be presented elsewhere, and when it ends, in ms since 1970."""

    code: str
    expires_at_ms: int

    def __repr__(self) -> str:
        return f"OneTimeCode(expires_at_ms={self.expires_at_ms})"


@dataclass(frozen=True, slots=True)
class Joined:
    """The account that both are now, and how many credits came to it."""

    account: AccountRow
    moved: int


def digest_of(code: str) -> str:
    """What is kept of a code; letter case, spaces and dashes do not matter."""
    plain = "".join(one for one in code.upper() if one in ALPHABET)
    return hashlib.sha256(f"one-time {plain}".encode()).hexdigest()


async def link_code(ctx: Context, account_id: str) -> OneTimeCode:
    """A code that joins to this account whichever presents it. A new one ends the one before."""
    plain = "".join(secrets.choice(ALPHABET) for _ in range(CODE_CHARS))
    code, now_ms = f"{plain[:5]}-{plain[5:]}", ctx.now_ms()
    expires_at_ms = now_ms + ctx.rules.code_seconds * 1000
    await ctx.store.run(joining.add_code, digest_of(code), joining.LINK, account_id, expires_at_ms, now_ms)
    return OneTimeCode(code, expires_at_ms)


async def join(ctx: Context, account_id: str, code: str) -> Joined:
    """Join the account that presents a code to the one that made it: all or nothing, once.

    Raises NotFound (the code is not good, whatever the reason), InvalidRequest (one's own code), RateLimited,
    and Forbidden and Conflict as `store.joining.join`; after any of them nothing was changed.
    """
    now = asyncio.get_running_loop().time()
    wait = ctx.pace.wait_seconds(f"join {account_id}", TRIES_PER_MINUTE, now)
    if wait > 0:
        raise RateLimited(
            f"at most {TRIES_PER_MINUTE} codes a minute; the next one may come in {math.ceil(wait)} s",
            retry_after_seconds=math.ceil(wait),
        )
    account, moved = await ctx.store.run(_join, ctx, account_id, digest_of(code), ctx.now_ms())
    return Joined(account, moved)


def _join(
    conn: Connection, ctx: Context, account_id: str, digest: str, now_ms: int
) -> tuple[AccountRow, int]:
    maker = joining.use_code(conn, digest, joining.LINK, now_ms)
    if maker is None:
        raise NotFound("this code is not good: it is misspelt, used or has run out; make a new one")
    if maker == account_id:
        raise InvalidRequest(
            "this is the code of the same account: present it with the other one", details={"field": "code"}
        )
    tiers = [accounts_store.get_account(conn, one).tier for one in (maker, account_id)]
    # The better place in line is kept.
    better = min(tiers, key=lambda name: tier_named(ctx.rules.tiers, name).priority)
    return joining.join(conn, maker, account_id, better, now_ms)
