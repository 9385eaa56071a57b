"""What pictures scored, and what counts against the accounts that sent or made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from comfygate.domain.screening import Suspicion
from comfygate.store import audit_log, reviews
from comfygate.store.prepared import Prepared
from comfygate.store.rows import AccountRow, JobRow, JobScore, Screening, SuspicionRow
from comfygate.store.screening_tables import COUNTING, OF_INPUT, job_scores, scores, suspicions
from comfygate.store.tables import accounts

_KEEP: Final = {
    dialect: Prepared(
        make(scores).on_conflict_do_nothing(index_elements=[scores.c.hash, scores.c.model]).inline(),
        ["hash", "model", "score", "at_ms"],
    )
    for dialect, make in (("sqlite", sqlite_insert), ("postgresql", postgresql_insert))
}
_KNOWN = Prepared(
    select(scores.c.score).where(scores.c.hash == bindparam("blob_hash"), scores.c.model == bindparam("by"))
)
_SCREENED = Prepared(
    insert(job_scores).inline(),
    ["job_id", "position", "name", "content_type", "hash", "score", "finding", "at_ms"],
)

ACTOR = "screening"
"""Who suspended an account, in the audit log."""


def known_scores(conn: Connection, hashes: Sequence[str], model: str) -> dict[str, float]:
    """The scores of these bytes by this model, as far as they are known."""
    looked_up = {one: _KNOWN.one(conn, {"blob_hash": one, "by": model}) for one in hashes}
    return {blob_hash: row.score for blob_hash, row in looked_up.items() if row is not None}


def keep_score(conn: Connection, blob_hash: str, model: str, score: float, now_ms: int) -> None:
    """Remember a score. Of two that looked at the same bytes at once the first one counts."""
    values = {"hash": blob_hash, "model": model, "score": score, "at_ms": now_ms}
    _KEEP[conn.dialect.name].count(conn, values)


def forget_scores(conn: Connection, before_ms: int) -> None:
    """Drop scores from before the given time; whoever needs one again looks again."""
    conn.execute(delete(scores).where(scores.c.at_ms < before_ms))


def record_screening(
    conn: Connection, job: JobRow, screening: Screening, expires_at_ms: int, now_ms: int, *, failed: bool
) -> None:
    """Write down what a job's outputs screened as, in the transaction that ends the job: the scores, what is
    held for review (only if the job `failed` for it), and what counts against the account."""
    for one in screening.scores:
        row = {
            "job_id": job.id,
            "position": one.position,
            "name": one.name,
            "content_type": one.content_type,
            "hash": one.hash,
            "score": one.score,
            "finding": one.finding.value,
            "at_ms": now_ms,
        }
        _SCREENED.count(conn, row)
        if screening.model:
            keep_score(conn, one.hash, screening.model, one.score, now_ms)
    if screening.suspicion is None:
        return
    worst = max(screening.scores, key=lambda one: one.score)
    if failed and screening.held:
        reviews.hold(conn, job, screening.held, worst.score, expires_at_ms, now_ms)
    suspect(
        conn,
        job.account_id,
        screening.suspicion,
        worst.hash,
        worst.score,
        screening.suspicions_max,
        now_ms,
        job_id=job.id,
    )


def suspect(
    conn: Connection,
    account_id: str,
    kind: Suspicion,
    blob_hash: str,
    score: float,
    suspicions_max: int,
    now_ms: int,
    *,
    job_id: str | None = None,
) -> bool:
    """Count something against an account, once. True if that suspended it, which the audit log then says."""
    # One at a time for an account, so that each counts all before it.
    conn.execute(select(accounts.c.id).where(accounts.c.id == account_id).with_for_update(key_share=True))
    make = sqlite_insert if conn.dialect.name == "sqlite" else postgresql_insert
    row = make(suspicions).values(
        account_id=account_id, kind=kind.value, job_id=job_id, hash=blob_hash, score=score, at_ms=now_ms
    )
    once = (
        row.on_conflict_do_nothing(index_elements=["account_id", "hash"], index_where=OF_INPUT)
        if job_id is None
        else row.on_conflict_do_nothing(index_elements=["job_id"])
    )
    made = conn.execute(once.returning(suspicions.c.id)).scalar()
    counted = suspicions_counting(conn, account_id)
    if made is None or not suspicions_max or counted < suspicions_max:
        return False
    disabled = conn.execute(
        update(accounts)
        .where(accounts.c.id == account_id, accounts.c.disabled_at_ms.is_(None))
        .values(disabled_at_ms=now_ms)
    )
    if not disabled.rowcount:
        return False
    conn.execute(update(suspicions).where(suspicions.c.id == made).values(suspended=True))
    said = f'{{"account": "{account_id}", "suspicions": {counted}}}'
    audit_log.record(conn, ACTOR, "accounts.suspend", said, "ok", now_ms)
    return True


def suspicions_counting(conn: Connection, account_id: str) -> int:
    """How many suspicions count against the account."""
    query = (
        select(func.count()).select_from(suspicions).where(suspicions.c.account_id == account_id, COUNTING)
    )
    return conn.execute(query).scalar_one()


def suspicion_counts(conn: Connection) -> dict[str, int]:
    """How many suspicions count against each account that has any."""
    query = (
        select(suspicions.c.account_id, func.count().label("n"))
        .where(COUNTING)
        .group_by(suspicions.c.account_id)
    )
    return {row.account_id: row.n for row in conn.execute(query)}


def suspicions_of(conn: Connection, account_id: str, limit: int) -> list[SuspicionRow]:
    """The newest suspicions of an account, those that were forgiven too."""
    query = select(suspicions).where(suspicions.c.account_id == account_id)
    return [
        SuspicionRow(
            row.id, row.kind, row.job_id, row.hash, row.score, row.at_ms, row.suspended, row.forgiven_at_ms
        )
        for row in conn.execute(query.order_by(suspicions.c.id.desc()).limit(limit))
    ]


def forgive(conn: Connection, account: AccountRow, now_ms: int, *, job_id: str | None = None) -> int:
    """Let the account's suspicions, or the one of a job, count no longer; how many did until now.

    A suspension that one of them brought about ends; one by other means stays.
    """
    counting = update(suspicions).where(suspicions.c.account_id == account.id, COUNTING)
    if job_id is not None:
        counting = counting.where(suspicions.c.job_id == job_id)
    forgiven = conn.execute(
        counting.values(forgiven_at_ms=now_ms).returning(suspicions.c.suspended, suspicions.c.at_ms)
    ).all()
    for row in forgiven:
        if row.suspended:
            conn.execute(
                update(accounts)
                .where(accounts.c.id == account.id, accounts.c.disabled_at_ms == row.at_ms)
                .values(disabled_at_ms=None)
            )
    return len(forgiven)


def scores_of_job(conn: Connection, job_id: str) -> list[JobScore]:
    """What the job's outputs screened as, in their order."""
    query = select(job_scores).where(job_scores.c.job_id == job_id).order_by(job_scores.c.position)
    return [
        JobScore(row.position, row.name, row.content_type, row.hash, row.score, row.finding)
        for row in conn.execute(query)
    ]
