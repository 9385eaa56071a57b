"""Accounts, their keys and their credits; lanes as a user sees them."""

from __future__ import annotations

import asyncio
import hashlib
import math
import secrets
from dataclasses import dataclass

from comfygate.domain.credits import CREDITS_MAX
from comfygate.domain.errors import Forbidden, InvalidRequest, RateLimited, Unauthorized
from comfygate.domain.job import JobState
from comfygate.domain.order import tier_named
from comfygate.gate.context import Context
from comfygate.store import accounts as accounts_store
from comfygate.store import jobs as jobs_store
from comfygate.store import ledger
from comfygate.store.engine import Connection
from comfygate.store.rows import AccountRow, EntryRow

KEY_PREFIX = "cgk_"
NAME_CHARS_MAX = 100
REASON_CHARS_MAX = 500


def digest_of(api_key: str) -> str:
    """What is stored of a key. A key has 256 random bits, so a plain SHA-256 cannot be searched."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def new_key() -> str:
    """A fresh API key; it is shown once and never stored."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class NewAccount:
    """An account just made, with its one and only showing of the key."""

    account: AccountRow
    api_key: str

    def __repr__(self) -> str:
        return f"NewAccount(account={self.account!r})"


async def add_account(ctx: Context, name: str, *, tier: str = "regular", credits: int = 0) -> NewAccount:
    """Make an account. Raises InvalidRequest (name, tier, credits) and Conflict (name taken)."""
    if not 0 < len(name) <= NAME_CHARS_MAX or not name.isprintable() or name != name.strip():
        raise InvalidRequest(
            f"name must have 1 to {NAME_CHARS_MAX} printable characters and no space at its ends",
            details={"field": "name"},
        )
    _check_tier(ctx, tier)
    if not 0 <= credits <= CREDITS_MAX:
        raise InvalidRequest(
            f"credits is {credits}: it must be from 0 to {CREDITS_MAX}", details={"field": "credits"}
        )
    key = new_key()
    account = await ctx.store.run(
        accounts_store.add_account, ctx.new_id(), name, tier, digest_of(key), credits, ctx.now_ms()
    )
    return NewAccount(account, key)


def _check_tier(ctx: Context, tier: str) -> None:
    if tier not in ctx.rules.tiers:
        known = ", ".join(sorted(ctx.rules.tiers))
        raise InvalidRequest(f"tier is {tier!r}: it must be one of {known}", details={"field": "tier"})


async def set_tier(ctx: Context, account: str, tier: str) -> AccountRow:
    """Move an account, given by id or name, to another tier. Jobs it has keep their places and prices.

    Raises NotFound and InvalidRequest.
    """
    _check_tier(ctx, tier)
    return await ctx.store.run(accounts_store.set_tier, account, tier)


async def add_key(ctx: Context, account: str) -> NewAccount:
    """One more API key for an account, given by id or name. Raises NotFound."""
    key = new_key()
    return NewAccount(await ctx.store.run(_add_key, account, digest_of(key), ctx.now_ms()), key)


def _add_key(conn: Connection, account: str, digest: str, now_ms: int) -> AccountRow:
    found = accounts_store.get_account(conn, account)
    accounts_store.add_key(conn, found.id, digest, now_ms)
    return found


async def authenticate(ctx: Context, api_key: str) -> AccountRow:
    """The account a key belongs to; the request counts towards its tier's requests a minute.

    Raises Unauthorized, Forbidden when the account is disabled, and RateLimited.
    """
    account = await ctx.keys.ask(
        digest_of(api_key), lambda digests: ctx.store.read(accounts_store.accounts_of_keys, digests)
    )
    if account is None:
        raise Unauthorized("this API key is not valid")
    admit(ctx, account)
    return account


def admit(ctx: Context, account: AccountRow) -> None:
    """Let a known account's request in. Raises Forbidden when it is disabled, and RateLimited."""
    if account.disabled_at_ms is not None:
        raise Forbidden("this account is disabled")
    _keep_pace(ctx, account)


def _keep_pace(ctx: Context, account: AccountRow) -> None:
    tier = ctx.rules.tiers.get(account.tier)
    if tier is None or not tier.requests_per_minute:
        return
    now = asyncio.get_running_loop().time()
    wait = ctx.pace.wait_seconds(account.id, tier.requests_per_minute, now)
    if wait > 0:
        raise RateLimited(
            f"this account sends more than {tier.requests_per_minute} requests a minute, the most that tier"
            f" {tier.name} may; the next one may come in {math.ceil(wait)} s",
            details={"limit": "requests_per_minute", "value": tier.requests_per_minute},
            retry_after_seconds=math.ceil(wait),
        )


async def get_account(ctx: Context, account: str) -> AccountRow:
    """An account by id or name. Raises NotFound."""
    return await ctx.store.read(accounts_store.get_account, account)


async def list_accounts(ctx: Context) -> list[AccountRow]:
    """All accounts, by name."""
    return await ctx.store.read(accounts_store.list_accounts)


async def grant(
    ctx: Context, account: str, amount: int, reason: str, reference: str | None = None
) -> AccountRow:
    """Add credits to an account, given by id or name. Raises NotFound and InvalidRequest.

    `reference` says what they are for, an order's number say: the second grant with it changes nothing.
    """
    if reference is not None and not (0 < len(reference) <= REASON_CHARS_MAX and reference.isprintable()):
        raise InvalidRequest(
            f"reference must have 1 to {REASON_CHARS_MAX} printable characters",
            details={"field": "reference"},
        )
    if not 0 < len(reason) <= REASON_CHARS_MAX:
        raise InvalidRequest(
            f"reason must have 1 to {REASON_CHARS_MAX} characters: it is kept in the ledger",
            details={"field": "reason"},
        )
    granted = await ctx.store.run(_grant, account, amount, reason, reference, ctx.now_ms())
    ctx.live.stir(granted.id, None)
    return granted


def _grant(
    conn: Connection, account: str, amount: int, reason: str, reference: str | None, now_ms: int
) -> AccountRow:
    found = accounts_store.get_account(conn, account)
    if reference is None:
        ledger.grant(conn, found.id, amount, reason, now_ms)
    else:
        ledger.grant_once(conn, found.id, amount, reason, now_ms, f"operator {reference}")
    return accounts_store.get_account(conn, found.id)


async def entries(
    ctx: Context, account: str, *, limit: int, before_id: int | None = None
) -> tuple[AccountRow, list[EntryRow]]:
    """An account and its newest entries, newest first. Raises NotFound and InvalidRequest."""
    if not 1 <= limit <= ctx.rules.limits.page_limit_max:
        raise InvalidRequest(
            f"limit is {limit}: it must be from 1 to {ctx.rules.limits.page_limit_max}",
            details={"field": "limit"},
        )
    return await ctx.store.read(_entries, account, limit, before_id)


def _entries(
    conn: Connection, account: str, limit: int, before_id: int | None
) -> tuple[AccountRow, list[EntryRow]]:
    found = accounts_store.get_account(conn, account)
    return found, ledger.list_entries(conn, found.id, limit, before_id)


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane as an account sees it: its depth, its price, the account's own places in it."""

    name: str
    price: int
    depth: int
    servers_up: int
    positions: dict[str, int]


async def lanes(ctx: Context, account: AccountRow) -> list[LaneView]:
    """Every lane. Others' jobs count in the depth and show nowhere else."""
    tier_named(ctx.rules.tiers, account.tier)
    depths, own = await ctx.store.read(_lanes, ctx, account.id)
    return [
        LaneView(
            name=lane.name,
            price=lane.price,
            depth=depths.get(lane.name, 0),
            servers_up=sum(s.up and lane.name in s.lanes for s in ctx.fleet.status.values()),
            positions=own.get(lane.name, {}),
        )
        for lane in ctx.rules.lanes.values()
    ]


def _lanes(
    conn: Connection, ctx: Context, account_id: str
) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    mine = jobs_store.list_jobs(
        conn,
        account_id=account_id,
        states=[JobState.QUEUED],
        limit=ctx.rules.limits.page_limit_max,
        before_ticket=None,
        unexpired_at_ms=None,
    )
    own: dict[str, dict[str, int]] = {}
    places = jobs_store.positions(conn, mine, ctx.rules.limits.position_cap)
    for job in mine:
        place = places[job.id]
        if place is not None:
            own.setdefault(job.lane, {})[job.id] = place
    return jobs_store.lane_depths(conn), own
