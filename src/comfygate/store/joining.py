"""One-time codes, and two accounts becoming one."""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from comfygate.domain.credits import CREDITS_MAX, EntryKind
from comfygate.domain.errors import Conflict, Forbidden
from comfygate.domain.job import TERMINAL
from comfygate.domain.staff import Role
from comfygate.store import accounts as accounts_store
from comfygate.store import ledger, staff
from comfygate.store.people_tables import one_time_codes, sessions, telegram_users
from comfygate.store.rows import AccountRow
from comfygate.store.screening_tables import reviews, suspicions
from comfygate.store.tables import accounts, api_keys, assets, jobs

LINK = "link"


def add_code(
    conn: Connection, digest: str, purpose: str, account_id: str, expires_at_ms: int, now_ms: int
) -> None:
    """Write a code down; the account's older ones for the same purpose are good no longer."""
    conn.execute(
        delete(one_time_codes).where(
            one_time_codes.c.account_id == account_id,
            one_time_codes.c.purpose == purpose,
            one_time_codes.c.used_at_ms.is_(None),
        )
    )
    conn.execute(
        insert(one_time_codes).values(
            digest=digest,
            purpose=purpose,
            account_id=account_id,
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )
    )


def use_code(conn: Connection, digest: str, purpose: str, now_ms: int) -> str | None:
    """Use a code up: the account that made it. None for one that is not good, whatever the reason."""
    changed = conn.execute(
        update(one_time_codes)
        .where(
            one_time_codes.c.digest == digest,
            one_time_codes.c.purpose == purpose,
            one_time_codes.c.used_at_ms.is_(None),
            one_time_codes.c.expires_at_ms > now_ms,
        )
        .values(used_at_ms=now_ms)
    )
    if changed.rowcount != 1:
        return None
    maker: str = conn.execute(
        select(one_time_codes.c.account_id).where(one_time_codes.c.digest == digest)
    ).scalar_one()
    return maker


def prune_codes(conn: Connection, before_ms: int) -> int:
    """Forget codes that ended before the given time. Returns how many."""
    return conn.execute(delete(one_time_codes).where(one_time_codes.c.expires_at_ms < before_ms)).rowcount


def join(conn: Connection, survivor_id: str, loser_id: str, tier: str, now_ms: int) -> tuple[AccountRow, int]:
    """Make two accounts one, with the given tier: the survivor, and how many credits came to it.

    Credits move by a pair of entries; keys, Telegram users, sessions, jobs, files and suspicions go over. The
    other account is closed for good. Raises Forbidden (one of them is suspended, was joined before, or
    operates) and Conflict (the one that goes has jobs that have not ended, or the credits do not fit).
    """
    # In one order, whoever joins whom, so that two joins at once cannot wait for each other.
    for account_id in sorted((survivor_id, loser_id)):
        conn.execute(select(accounts.c.id).where(accounts.c.id == account_id).with_for_update())
    survivor = accounts_store.get_account(conn, survivor_id)
    loser = accounts_store.get_account(conn, loser_id)
    for one in (survivor, loser):
        if one.disabled_at_ms is not None:
            raise Forbidden(f"account {one.name!r} is suspended or was joined before: it cannot be joined")
        if (role := staff.role_of(conn, one.id)) is not Role.USER:
            # Keys and sessions go over: a user's would be an operator's with them.
            raise Forbidden(f"account {one.name!r} is {role.value}: make it a user before it is joined")
    _check_ended(conn, loser)
    amount = loser.balance.available
    if survivor.balance.available + survivor.balance.held > CREDITS_MAX - amount:
        raise Conflict(f"together they would have more than {CREDITS_MAX} credits")
    if amount:
        reference = f"merge {loser.id}"
        ledger.take(
            conn, EntryKind.MERGE_OUT, loser.id, amount, f"joined to {survivor.name}", now_ms, reference
        )
        ledger.grant(
            conn,
            survivor.id,
            amount,
            f"joined from {loser.name}",
            now_ms,
            reference=reference,
            kind=EntryKind.MERGE_IN,
        )
    _move(conn, survivor.id, loser.id)
    conn.execute(update(accounts).where(accounts.c.id == survivor.id).values(tier=tier))
    conn.execute(
        update(accounts)
        .where(accounts.c.id == loser.id)
        .values(disabled_at_ms=now_ms, merged_into=survivor.id)
    )
    conn.execute(update(accounts).where(accounts.c.merged_into == loser.id).values(merged_into=survivor.id))
    return accounts_store.get_account(conn, survivor.id), amount


def _check_ended(conn: Connection, loser: AccountRow) -> None:
    ended = [state.value for state in TERMINAL]
    query = select(func.count()).select_from(jobs)
    open_jobs = conn.execute(
        query.where(jobs.c.account_id == loser.id, jobs.c.state.not_in(ended))
    ).scalar_one()
    if open_jobs or loser.balance.held:
        raise Conflict(
            f"account {loser.name!r} has {open_jobs} jobs that have not ended: wait for them or cancel them,"
            " then join the accounts",
            details={"open_jobs": open_jobs},
        )


def _move(conn: Connection, survivor_id: str, loser_id: str) -> None:
    """What was the one's is the other's. Entries stay where they are: they are never changed."""
    for table in (api_keys, telegram_users, sessions, jobs, assets, reviews):
        conn.execute(update(table).where(table.c.account_id == loser_id).values(account_id=survivor_id))
    same = suspicions.alias()
    # The same picture counts once against one account.
    known = exists().where(
        same.c.account_id == survivor_id, same.c.hash == suspicions.c.hash, suspicions.c.kind == "input"
    )
    conn.execute(
        update(suspicions).where(suspicions.c.account_id == loser_id, ~known).values(account_id=survivor_id)
    )
