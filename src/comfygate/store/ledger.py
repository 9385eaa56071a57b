"""Credits move here and nowhere else: an entry and the balance it changes, in the caller's transaction.

Every debit is one conditional UPDATE, never a read followed by a write: sixteen processes that read first
overdrew an account 1,500 times where this way exactly the affordable number won.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import BigInteger, Connection, bindparam, case, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.domain.credits import CREDITS_MAX, HOUSE, MOVES, EntryKind, Side, checked_amount
from comfygate.domain.errors import InsufficientCredits, InvalidRequest, LedgerViolation, NotFound
from comfygate.store import buckets
from comfygate.store.prepared import Prepared
from comfygate.store.rows import EntryRow
from comfygate.store.tables import accounts, entries, jobs

_MINE = accounts.c.id == bindparam("account_id")
_AMOUNT = bindparam("amount", type_=BigInteger)
_DEBIT = Prepared(
    update(accounts)
    .where(_MINE, accounts.c.available >= _AMOUNT)
    .values(available=accounts.c.available - _AMOUNT, held=accounts.c.held + _AMOUNT)
)
_HELD = update(accounts).where(_MINE, accounts.c.held >= _AMOUNT).values(held=accounts.c.held - _AMOUNT)
_SETTLE = {
    EntryKind.CAPTURE: Prepared(_HELD),
    EntryKind.RELEASE: Prepared(_HELD.values(available=accounts.c.available + _AMOUNT)),
}
_ENTRY = Prepared(
    insert(entries).inline(),
    [
        "kind", "account_id", "from_side", "to_side", "amount", "job_id", "reason", "created_at_ms",
        "reference",
    ],
)  # fmt: skip


def grant(
    conn: Connection,
    account_id: str,
    amount: int,
    reason: str,
    now_ms: int,
    *,
    reference: str | None = None,
    kind: EntryKind = EntryKind.GRANT,
) -> None:
    """Add credits. Raises InvalidRequest for an impossible amount and NotFound for an unknown account.

    What is held counts towards the largest balance, so that a refund always finds room. For a `reference`
    there is one entry of a kind: ask `referred` first, in the same transaction.
    """
    checked_amount(amount)
    changed = conn.execute(
        update(accounts)
        .where(accounts.c.id == account_id, accounts.c.available + accounts.c.held <= CREDITS_MAX - amount)
        .values(available=accounts.c.available + amount)
    )
    if changed.rowcount != 1:
        if conn.execute(select(accounts.c.id).where(accounts.c.id == account_id)).scalar() is None:
            raise NotFound(f"no account has the id {account_id!r}")
        raise InvalidRequest(
            f"amount is {amount}: with it the account would have more than {CREDITS_MAX} credits",
            details={"field": "amount"},
        )
    _write_entry(conn, kind, account_id, amount, None, reason, now_ms, reference)
    _count_later(conn, account_id)


def _count_later(conn: Connection, account_id: str) -> None:
    """Have the entry that was just written added to the aggregates. Those of jobs are, when they end.

    It is the account's newest: its row is locked since its balance was changed.
    """
    newest = conn.execute(select(func.max(entries.c.id)).where(entries.c.account_id == account_id)).scalar()
    buckets.to_be_counted(conn, buckets.ENTRY, [str(newest)])


def grant_once(
    conn: Connection, account_id: str, amount: int, reason: str, now_ms: int, reference: str
) -> bool:
    """Add credits for a reference; False, and nothing is done, where that was done before.

    Of two at the same moment the database lets one be. Raises as `grant`.
    """
    if referred(conn, reference):
        return False
    try:
        with conn.begin_nested():
            grant(conn, account_id, amount, reason, now_ms, reference=reference)
    except IntegrityError:
        return False
    return True


def referred(conn: Connection, reference: str, kind: EntryKind = EntryKind.GRANT) -> bool:
    """Whether there is an entry of the kind for this reference already."""
    query = select(entries.c.id).where(entries.c.kind == kind.value, entries.c.reference == reference)
    return conn.execute(query).first() is not None


def take(
    conn: Connection, kind: EntryKind, account_id: str, amount: int, reason: str, now_ms: int, reference: str
) -> None:
    """Take available credits off an account for something that is no job. Raises InsufficientCredits."""
    changed = conn.execute(
        update(accounts)
        .where(accounts.c.id == account_id, accounts.c.available >= amount)
        .values(available=accounts.c.available - amount)
    )
    if changed.rowcount != 1:
        available = conn.execute(select(accounts.c.available).where(accounts.c.id == account_id)).scalar()
        raise InsufficientCredits(
            f"{amount} credits are to be taken off and {available or 0} are available",
            details={"amount": amount, "available": available or 0},
        )
    _write_entry(conn, kind, account_id, amount, None, reason, now_ms, reference)
    _count_later(conn, account_id)


def debit(conn: Connection, account_id: str, amount: int) -> None:
    """Move `amount` from available to held, if it is there. Raises InsufficientCredits and changes nothing.

    The caller writes the entry with `record_hold` once the job's row exists.
    """
    if _DEBIT.count(conn, {"account_id": account_id, "amount": amount}) != 1:
        available = conn.execute(select(accounts.c.available).where(accounts.c.id == account_id)).scalar()
        raise InsufficientCredits(
            f"this job costs {amount} credits and {available or 0} are available",
            details={"price": amount, "available": available or 0},
        )


def record_hold(conn: Connection, account_id: str, job_id: str, amount: int, now_ms: int) -> None:
    """Write the entry of a hold that `debit` made room for."""
    _write_entry(conn, EntryKind.HOLD, account_id, amount, job_id, "", now_ms)


def settle_hold(
    conn: Connection, kind: EntryKind, account_id: str, job_id: str, amount: int, reason: str, now_ms: int
) -> None:
    """Capture or release a job's hold, once: the database refuses a second time."""
    if _SETTLE[kind].count(conn, {"account_id": account_id, "amount": amount}) != 1:
        raise LedgerViolation(f"job {job_id}: {kind} of {amount} credits finds less than that held")
    _write_entry(conn, kind, account_id, amount, job_id, reason, now_ms)


def _write_entry(
    conn: Connection,
    kind: EntryKind,
    account_id: str,
    amount: int,
    job_id: str | None,
    reason: str,
    now_ms: int,
    reference: str | None = None,
) -> None:
    source, target = MOVES[kind]
    _ENTRY.count(
        conn,
        {
            "kind": kind.value,
            "account_id": account_id,
            "from_side": source.value,
            "to_side": target.value,
            "amount": amount,
            "job_id": job_id,
            "reason": reason,
            "created_at_ms": now_ms,
            "reference": reference,
        },
    )


def list_entries(
    conn: Connection, account_id: str, limit: int, before_id: int | None = None
) -> list[EntryRow]:
    """The newest `limit` entries of an account, newest first, older than entry `before_id` if given."""
    query = select(entries).where(entries.c.account_id == account_id)
    if before_id is not None:
        query = query.where(entries.c.id < before_id)
    return [
        EntryRow(
            id=row.id,
            kind=EntryKind(row.kind),
            amount=row.amount,
            job_id=row.job_id,
            reason=row.reason,
            created_at_ms=row.created_at_ms,
        )
        for row in conn.execute(query.order_by(entries.c.id.desc()).limit(limit))
    ]


@dataclass(frozen=True, slots=True)
class Audit:
    """What recomputing the whole ledger found. `faults` is empty when the books are right."""

    accounts: int
    entries: int
    issued: int
    revenue: int
    available: int
    held: int
    faults: tuple[str, ...]

    @property
    def total(self) -> int:
        """Sum over all accounts, the house's included: 0 when the books balance."""
        return self.available + self.held + self.issued + self.revenue


def audit(conn: Connection) -> Audit:
    """Recompute every balance from its entries and compare, and match holds with jobs (I1, I2, I10)."""
    moved = {side: _sum_moved(side) for side in Side}
    per_account = {
        row.account_id: row
        for row in conn.execute(
            select(
                entries.c.account_id,
                *(column.label(side.value) for side, column in moved.items()),
            ).group_by(entries.c.account_id)
        )
    }
    faults: list[str] = []
    totals = dict.fromkeys(Side, 0)
    account_rows = conn.execute(select(accounts.c.id, accounts.c.available, accounts.c.held)).all()
    for account in account_rows:
        replayed = per_account.get(account.id)
        for side, stored in ((Side.AVAILABLE, account.available), (Side.HELD, account.held)):
            computed = int(getattr(replayed, side.value)) if replayed else 0
            totals[side] += stored
            if computed != stored:
                faults.append(f"account {account.id}: {side} is {stored}, its entries say {computed}")
        for side in HOUSE:
            totals[side] += int(getattr(replayed, side.value)) if replayed else 0
    known = {account.id for account in account_rows}
    faults.extend(
        f"account {account_id}: it has entries and is not there"
        for account_id in sorted(per_account.keys() - known)
    )
    faults.extend(_hold_faults(conn))
    if sum(totals.values()) != 0:
        faults.append(f"the ledger's sum is {sum(totals.values())}, not 0")
    return Audit(
        accounts=len(account_rows),
        entries=conn.execute(select(func.count()).select_from(entries)).scalar_one(),
        issued=totals[Side.ISSUED],
        revenue=totals[Side.REVENUE],
        available=totals[Side.AVAILABLE],
        held=totals[Side.HELD],
        faults=tuple(faults),
    )


def _sum_moved(side: Side):  # type: ignore[no-untyped-def]  # the column's type is SQLAlchemy's own affair
    gained = case((entries.c.to_side == side.value, entries.c.amount), else_=0)
    lost = case((entries.c.from_side == side.value, entries.c.amount), else_=0)
    return func.coalesce(func.sum(gained - lost), 0)


_ENTRIES_OF_HOLD = {
    "none": [],
    "placed": ["hold"],
    "captured": ["capture", "hold"],
    "released": ["hold", "release"],
}


def _hold_faults(conn: Connection) -> list[str]:
    """Jobs whose entries are not those that their hold's state calls for."""
    faults: list[str] = []
    known = {
        row.id: row for row in conn.execute(select(jobs.c.id, jobs.c.account_id, jobs.c.hold, jobs.c.price))
    }
    # The jobs of an account that was joined to another are that one's now; entries stay where they were.
    closed = select(accounts.c.id, accounts.c.merged_into).where(accounts.c.merged_into.is_not(None))
    joined = {row.id: row.merged_into for row in conn.execute(closed)}
    found: dict[str, list[str]] = {job_id: [] for job_id in known}
    of_jobs = select(entries).where(entries.c.job_id.is_not(None)).order_by(entries.c.id)
    for row in conn.execute(of_jobs):
        job = known.get(row.job_id)
        if job is None:
            faults.append(f"job {row.job_id}: it has entries and is not there")
            continue
        found[row.job_id].append(row.kind)
        if row.amount != job.price:
            faults.append(f"job {job.id}: {row.kind} of {row.amount}, its price is {job.price}")
        if joined.get(row.account_id, row.account_id) != job.account_id:
            faults.append(
                f"job {job.id}: {row.kind} is in account {row.account_id}, the job is {job.account_id}'s"
            )
    for job in known.values():
        kinds = sorted(found[job.id])
        if kinds != _ENTRIES_OF_HOLD[job.hold]:
            faults.append(f"job {job.id}: hold is {job.hold}, its entries are {kinds}")
    return faults
