"""Signing in on the web: a one-time code, or an API key, becomes a session that can be ended.

The address of a link carries its code behind `#`, which a browser sends to no server: it is in no log of a
proxy, and a chat that fetches the page for a preview uses nothing up.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import Final

from comfygate.domain.errors import Forbidden, NotFound, Unauthorized
from comfygate.gate import accounts
from comfygate.gate.context import Context
from comfygate.gate.joining import OneTimeCode
from comfygate.store import joining
from comfygate.store import sessions as sessions_store
from comfygate.store.rows import AccountRow

PAGE: Final = "/sign-in"
"""Where the page is that takes the code, below the service's public address."""
SECRET_BYTES: Final = 32
ID_CHARS: Final = 16
"""Of a session's digest, as many name it to its account."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody signed in. The token is shown this once; `expires_at_ms` is since 1970."""

    account: AccountRow
    token: str = field(repr=False)
    expires_at_ms: int


def _digest(kind: str, secret: str) -> str:
    """What is kept of a secret of ours; with 256 random bits a plain SHA-256 cannot be searched."""
    return hashlib.sha256(f"{kind} {secret}".encode()).hexdigest()


async def make_code(ctx: Context, account_id: str) -> OneTimeCode:
    """A code that signs in as this account, once, for `code_seconds`. A new one ends the one before."""
    code, now_ms = secrets.token_urlsafe(SECRET_BYTES), ctx.now_ms()
    expires_at_ms = now_ms + ctx.rules.code_seconds * 1000
    await ctx.store.run(
        joining.add_code, _digest("code", code), sessions_store.SIGN_IN, account_id, expires_at_ms, now_ms
    )
    return OneTimeCode(code, expires_at_ms)


def link_of(base_url: str, code: OneTimeCode) -> str:
    """The address that a person opens to sign in."""
    return f"{base_url}{PAGE}#{code.code}"


async def by_code(ctx: Context, code: str) -> Session:
    """Sign in with a one-time code.

    Raises NotFound (the code is not good, whatever the reason) and Forbidden (the account is disabled).
    """
    token, expires_at_ms, now_ms = _fresh(ctx)
    account_id = await ctx.store.run(
        sessions_store.open_by_code, _digest("code", code), _digest("session", token), expires_at_ms, now_ms
    )
    if account_id is None:
        raise NotFound("this link was used before or has run out; ask for a new one")
    return Session(await _able(ctx, account_id), token, expires_at_ms)


async def by_key(ctx: Context, api_key: str) -> Session:
    """Sign in with an API key. Raises as `accounts.authenticate`."""
    account = await accounts.authenticate(ctx, api_key)
    token, expires_at_ms, now_ms = _fresh(ctx)
    await ctx.store.run(sessions_store.add, _digest("session", token), account.id, expires_at_ms, now_ms)
    return Session(account, token, expires_at_ms)


def _fresh(ctx: Context) -> tuple[str, int, int]:
    now_ms = ctx.now_ms()
    return secrets.token_urlsafe(SECRET_BYTES), now_ms + ctx.rules.session_seconds * 1000, now_ms


async def _able(ctx: Context, account_id: str) -> AccountRow:
    account = await accounts.get_account(ctx, account_id)
    if account.disabled_at_ms is not None:
        raise Forbidden("this account is disabled")
    return account


async def account_of(ctx: Context, token: str) -> AccountRow:
    """The account of a session; the request counts towards its tier's requests a minute.

    Raises Unauthorized (no such session, ended or run out), Forbidden when the account is disabled, and
    RateLimited.
    """
    account = await ctx.store.read(sessions_store.account_of, _digest("session", token), ctx.now_ms())
    if account is None:
        raise Unauthorized("this session has ended; sign in again")
    accounts.admit(ctx, account)
    return account


@dataclass(frozen=True, slots=True)
class OpenSession:
    """One of an account's sessions. `id` names it to its account and says nothing of its token."""

    id: str
    created_at_ms: int
    expires_at_ms: int
    this: bool


async def sessions_of(ctx: Context, account_id: str, token: str) -> list[OpenSession]:
    """The sessions in force of an account, newest first; `this` is the one of the token."""
    rows = await ctx.store.read(sessions_store.in_force, account_id, ctx.now_ms())
    own = _digest("session", token)
    return [
        OpenSession(row.digest[:ID_CHARS], row.created_at_ms, row.expires_at_ms, row.digest == own)
        for row in rows
    ]


async def is_in_force(ctx: Context, token: str, account_id: str) -> bool:
    """Whether a session still stands for this account, for who follows along; counts towards nothing."""
    account = await ctx.store.read(sessions_store.account_of, _digest("session", token), ctx.now_ms())
    return account is not None and account.id == account_id and account.disabled_at_ms is None


async def end_session(ctx: Context, account_id: str, session_id: str) -> None:
    """End one of the account's sessions. Raises NotFound, alike for unknown, ended and another's."""
    for row in await ctx.store.read(sessions_store.in_force, account_id, ctx.now_ms()):
        if row.digest[:ID_CHARS] == session_id:
            await ctx.store.run(sessions_store.revoke, row.digest, ctx.now_ms())
            return
    raise NotFound(f"no session with the id {session_id[:ID_CHARS]!r}")


async def sign_out(ctx: Context, token: str) -> None:
    """End a session. One that has ended stays so."""
    await ctx.store.run(sessions_store.revoke, _digest("session", token), ctx.now_ms())


async def sign_out_everywhere(ctx: Context, account_id: str) -> int:
    """End every session of an account. Returns how many."""
    return await ctx.store.run(sessions_store.revoke_all, account_id, ctx.now_ms())
