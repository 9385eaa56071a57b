"""Credits that come from outside: payments in Telegram Stars, and codes to redeem. Each counts once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, or_, select, update

from comfygate.domain.credits import EntryKind
from comfygate.domain.errors import Conflict, NotFound
from comfygate.store import ledger
from comfygate.store.people_tables import payments, redeem_codes
from comfygate.store.tables import entries


@dataclass(frozen=True, slots=True)
class Payment:
    """Stars that somebody paid for credits. Times in ms since 1970."""

    charge_id: str
    telegram_id: int
    account_id: str
    stars: int
    credits: int
    paid_at_ms: int
    refund_asked_at_ms: int | None
    refunded_at_ms: int | None
    refund_error: str


def _payment(row: Row[Any]) -> Payment:
    return Payment(
        charge_id=row.charge_id,
        telegram_id=row.telegram_id,
        account_id=row.account_id,
        stars=row.stars,
        credits=row.credits,
        paid_at_ms=row.paid_at_ms,
        refund_asked_at_ms=row.refund_asked_at_ms,
        refunded_at_ms=row.refunded_at_ms,
        refund_error=row.refund_error,
    )


def pay_in(
    conn: Connection,
    charge_id: str,
    telegram_id: int,
    account_id: str,
    stars: int,
    credits: int,
    now_ms: int,
) -> bool:
    """Write a payment down and grant its credits. False, and nothing is done, for a charge that is known."""
    reason = f"{stars} Telegram Stars"
    if not ledger.grant_once(conn, account_id, credits, reason, now_ms, f"stars {charge_id}"):
        return False
    conn.execute(
        insert(payments).values(
            charge_id=charge_id,
            telegram_id=telegram_id,
            account_id=account_id,
            stars=stars,
            credits=credits,
            paid_at_ms=now_ms,
        )
    )
    return True


def get_payment(conn: Connection, charge_id: str) -> Payment:
    """The payment of this charge. Raises NotFound."""
    row = conn.execute(select(payments).where(payments.c.charge_id == charge_id)).one_or_none()
    if row is None:
        raise NotFound(f"no payment has the charge {charge_id!r}; 'comfygate payments list' shows them")
    return _payment(row)


def list_payments(conn: Connection, account_id: str | None, limit: int) -> list[Payment]:
    """The newest payments, of one account or of all."""
    query = select(payments).order_by(payments.c.paid_at_ms.desc(), payments.c.charge_id).limit(limit)
    if account_id is not None:
        query = query.where(payments.c.account_id == account_id)
    return [_payment(row) for row in conn.execute(query)]


def ask_refund(conn: Connection, charge_id: str, now_ms: int) -> Payment:
    """Take a payment's credits back; Telegram is to be asked to give back the stars.

    Raises NotFound, Conflict (asked already) and InsufficientCredits (they were spent).
    """
    found = get_payment(conn, charge_id)
    changed = conn.execute(
        update(payments)
        .where(payments.c.charge_id == charge_id, payments.c.refund_asked_at_ms.is_(None))
        .values(refund_asked_at_ms=now_ms, refund_error="")
    )
    if changed.rowcount != 1:
        done = "was paid back" if found.refunded_at_ms is not None else "is being paid back"
        raise Conflict(f"charge {charge_id!r} {done} already")
    tries = conn.execute(
        select(entries.c.id).where(
            entries.c.kind == EntryKind.WITHDRAW.value,
            entries.c.reference.startswith(f"refund {charge_id} ", autoescape=True),
        )
    ).all()
    reason = f"{found.stars} Telegram Stars paid back"
    reference = f"refund {charge_id} {len(tries) + 1}"
    ledger.take(conn, EntryKind.WITHDRAW, found.account_id, found.credits, reason, now_ms, reference)
    return get_payment(conn, charge_id)


def refunds_waiting(conn: Connection, limit: int) -> list[Payment]:
    """Payments whose stars are to be given back."""
    query = select(payments).where(
        payments.c.refund_asked_at_ms.is_not(None), payments.c.refunded_at_ms.is_(None)
    )
    return [_payment(row) for row in conn.execute(query.order_by(payments.c.refund_asked_at_ms).limit(limit))]


def refunded(conn: Connection, charge_id: str, now_ms: int) -> None:
    """Telegram gave the stars back."""
    conn.execute(
        update(payments)
        .where(payments.c.charge_id == charge_id, payments.c.refund_asked_at_ms.is_not(None))
        .values(refunded_at_ms=now_ms)
    )


def refund_refused(conn: Connection, charge_id: str, words: str, now_ms: int) -> None:
    """Telegram does not give the stars back: the credits are the account's again."""
    found = get_payment(conn, charge_id)
    changed = conn.execute(
        update(payments)
        .where(
            payments.c.charge_id == charge_id,
            payments.c.refund_asked_at_ms.is_not(None),
            payments.c.refunded_at_ms.is_(None),
        )
        .values(refund_asked_at_ms=None, refund_error=words[:500])
    )
    if changed.rowcount == 1:
        reference = f"refund refused {charge_id} {found.refund_asked_at_ms}"
        reason = "Telegram did not pay the stars back"
        ledger.grant(conn, found.account_id, found.credits, reason, now_ms, reference=reference)


@dataclass(frozen=True, slots=True)
class Code:
    """A code that brings credits once; `hint` are its last characters."""

    hint: str
    credits: int
    note: str
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None
    used_at_ms: int | None
    used_by: str | None


def add_codes(
    conn: Connection,
    digests: list[tuple[str, str]],
    credits: int,
    note: str,
    expires_at_ms: int | None,
    now_ms: int,
) -> None:
    """Write codes down, as (digest, hint)."""
    for digest, hint in digests:
        conn.execute(
            insert(redeem_codes).values(
                digest=digest,
                hint=hint,
                credits=credits,
                note=note,
                created_at_ms=now_ms,
                expires_at_ms=expires_at_ms,
            )
        )


def list_codes(conn: Connection, limit: int) -> list[Code]:
    """The newest codes."""
    query = select(redeem_codes).order_by(redeem_codes.c.created_at_ms.desc(), redeem_codes.c.hint)
    return [
        Code(
            row.hint,
            row.credits,
            row.note,
            row.created_at_ms,
            row.expires_at_ms,
            row.revoked_at_ms,
            row.used_at_ms,
            row.used_by,
        )
        for row in conn.execute(query.limit(limit))
    ]


def revoke(conn: Connection, digest: str, now_ms: int) -> None:
    """Make a code worthless that nobody used. Raises NotFound."""
    changed = conn.execute(
        update(redeem_codes)
        .where(
            redeem_codes.c.digest == digest,
            redeem_codes.c.used_at_ms.is_(None),
            redeem_codes.c.revoked_at_ms.is_(None),
        )
        .values(revoked_at_ms=now_ms)
    )
    if changed.rowcount != 1:
        raise NotFound("no such code is open: it is unknown, used or revoked")


def redeem(conn: Connection, account_id: str, digest: str, now_ms: int) -> tuple[int, bool] | None:
    """Bring a code's credits to the account: how many, and whether that was done just now.

    None for a code that is not good, whatever the reason. The account that used it gets the same answer
    again, and no credits.
    """
    changed = conn.execute(
        update(redeem_codes)
        .where(
            redeem_codes.c.digest == digest,
            redeem_codes.c.used_at_ms.is_(None),
            redeem_codes.c.revoked_at_ms.is_(None),
            or_(redeem_codes.c.expires_at_ms.is_(None), redeem_codes.c.expires_at_ms > now_ms),
        )
        .values(used_at_ms=now_ms, used_by=account_id)
    )
    row = conn.execute(select(redeem_codes).where(redeem_codes.c.digest == digest)).one_or_none()
    if row is None or row.used_by != account_id:
        return None
    if changed.rowcount == 1:
        reason = f"code …{row.hint}"
        ledger.grant(conn, account_id, row.credits, reason, now_ms, reference=f"code {digest}")
    return row.credits, changed.rowcount == 1
