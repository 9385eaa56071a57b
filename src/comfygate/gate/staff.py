"""Roles, suspensions and keys of accounts, as an operator steers them."""

from __future__ import annotations

from typing import Any

from comfygate.domain.errors import InvalidRequest
from comfygate.domain.staff import Role
from comfygate.gate import signing_in
from comfygate.gate.context import Context
from comfygate.store import accounts as accounts_store
from comfygate.store import staff as staff_store
from comfygate.store.engine import Connection
from comfygate.store.rows import AccountRow
from comfygate.store.staff import KeyRow

Json = dict[str, Any]


async def accounts_role(ctx: Context, account: str, role: str) -> Json:
    """Make an account a user, an operator or an admin of the pages; in force with its next request.

    Raises InvalidRequest and NotFound.
    """
    if role not in {one.value for one in Role}:
        known = ", ".join(Role)
        raise InvalidRequest(f"role is {role!r}: it must be one of {known}", details={"field": "role"})
    found = await ctx.store.run(staff_store.set_role, account, Role(role), ctx.now_ms())
    return {"id": found.id, "name": found.name, "role": role}


async def accounts_suspend(ctx: Context, account: str) -> Json:
    """Let an account do nothing any more, and sign it out. Its jobs go on. Raises NotFound."""
    return _standing(await ctx.store.run(staff_store.suspend, account, ctx.now_ms()))


async def accounts_restore(ctx: Context, account: str) -> Json:
    """Let a suspended account in again. Raises NotFound, and Conflict for one joined to another."""
    return _standing(await ctx.store.run(staff_store.restore, account))


async def accounts_sign_out(ctx: Context, account: str) -> Json:
    """End every session of an account. Raises NotFound."""
    found = await ctx.store.read(accounts_store.get_account, account)
    ended = await signing_in.sign_out_everywhere(ctx, found.id)
    return {"id": found.id, "name": found.name, "sessions_ended": ended}


async def keys_list(ctx: Context, account: str) -> Json:
    """An account's keys by their marks: the keys themselves are not kept. Raises NotFound."""
    found, keys = await ctx.store.read(_keys, account)
    return {"id": found.id, "name": found.name, "keys": [key_json(key) for key in keys]}


def _keys(conn: Connection, account: str) -> tuple[AccountRow, list[KeyRow]]:
    found = accounts_store.get_account(conn, account)
    return found, staff_store.list_keys(conn, found.id)


async def keys_revoke(ctx: Context, account: str, key: str) -> Json:
    """End a key of an account, given by its mark. Raises NotFound."""
    found = await ctx.store.run(staff_store.revoke_key, account, key, ctx.now_ms())
    return {"id": found.id, "name": found.name, "key": key, "revoked": True}


async def role_of(ctx: Context, account_id: str) -> Role:
    """What the account may do."""
    return await ctx.store.read(staff_store.role_of, account_id)


def key_json(key: KeyRow) -> Json:
    """A key, as the operator reads it."""
    return {"key": key.mark, "created_at_ms": key.created_at_ms, "revoked_at_ms": key.revoked_at_ms}


def _standing(account: AccountRow) -> Json:
    return {"id": account.id, "name": account.name, "disabled_at_ms": account.disabled_at_ms}
