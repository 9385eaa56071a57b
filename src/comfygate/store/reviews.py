"""Outputs held for review: for the operator alone, then released to their account, rejected or expired."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Row, insert, select, update

from comfygate.domain.errors import Conflict, NotFound
from comfygate.store.assets import keep_blob, record_output
from comfygate.store.jobs import get_job
from comfygate.store.rows import BlobRow, HeldOutput, JobRow, NewOutput, ReviewRow
from comfygate.store.screening_tables import WAITING, held_outputs, reviews
from comfygate.store.tables import blobs, jobs


def hold(
    conn: Connection,
    job: JobRow,
    outputs: Sequence[NewOutput],
    score: float,
    expires_at_ms: int,
    now_ms: int,
) -> None:
    """Keep a failed job's outputs for the operator to look at, until the given time."""
    conn.execute(
        insert(reviews).values(
            job_id=job.id,
            account_id=job.account_id,
            state="waiting",
            score=score,
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )
    )
    for position, output in enumerate(outputs):
        keep_blob(conn, output.blob, now_ms)
        conn.execute(
            insert(held_outputs).values(
                job_id=job.id,
                position=position,
                asset_id=output.asset_id,
                hash=output.blob.hash,
                size_bytes=output.blob.size_bytes,
                content_type=output.content_type,
                node_id=output.node_id,
                name=output.name,
                output_type=output.output_type,
            )
        )


def list_reviews(conn: Connection, state: str | None, limit: int) -> list[ReviewRow]:
    """The newest reviews, of one state or (None) of all."""
    query = select(reviews).order_by(reviews.c.created_at_ms.desc(), reviews.c.job_id).limit(limit)
    if state is not None:
        query = query.where(reviews.c.state == state)
    return [_review(row) for row in conn.execute(query)]


def get_review(conn: Connection, job_id: str) -> ReviewRow:
    """The review of a job. Raises NotFound when its outputs were never held."""
    row = conn.execute(select(reviews).where(reviews.c.job_id == job_id)).one_or_none()
    if row is None:
        raise NotFound(f"nothing of job {job_id!r} is or was held for review")
    return _review(row)


def _review(row: Row[tuple[object, ...]]) -> ReviewRow:
    return ReviewRow(
        row.job_id,
        row.account_id,
        row.state,
        row.score,
        row.created_at_ms,
        row.expires_at_ms,
        row.decided_at_ms,
    )


def outputs_held(conn: Connection, job_id: str) -> list[HeldOutput]:
    """What is or was held of a job, in order; `key` is None once the bytes are gone."""
    query = (
        select(held_outputs, blobs.c.key)
        .outerjoin(blobs, blobs.c.hash == held_outputs.c.hash)
        .where(held_outputs.c.job_id == job_id)
        .order_by(held_outputs.c.position)
    )
    return [
        HeldOutput(
            row.asset_id,
            row.hash,
            row.key,
            row.size_bytes,
            row.content_type,
            row.node_id,
            row.name,
            row.output_type,
        )
        for row in conn.execute(query)
    ]


def release(conn: Connection, job_id: str, keep_ms: int, now_ms: int) -> None:
    """Make what is held of a job its account's outputs, for `keep_ms` from now. The job stays failed and
    refunded. Raises NotFound and Conflict (decided already)."""
    _decide(conn, job_id, "released", now_ms)
    job = get_job(conn, job_id)
    for position, held in enumerate(outputs_held(conn, job_id)):
        if held.key is None:
            raise Conflict(f"the bytes of {held.name!r} of job {job_id} are no longer there; reject it")
        blob = BlobRow(held.hash, held.key, held.size_bytes)
        output = NewOutput(held.asset_id, blob, held.node_id, held.name, held.output_type, held.content_type)
        record_output(conn, job, output, position, now_ms, now_ms + keep_ms)
    # Its user must be able to look at it for as long.
    conn.execute(
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.expires_at_ms < now_ms + keep_ms)
        .values(expires_at_ms=now_ms + keep_ms)
    )


def reject(conn: Connection, job_id: str, now_ms: int) -> None:
    """Let go of what is held of a job; its bytes are deleted soon. Raises NotFound and Conflict."""
    _decide(conn, job_id, "rejected", now_ms)


def _decide(conn: Connection, job_id: str, state: str, now_ms: int) -> None:
    found = get_review(conn, job_id)
    decided = conn.execute(
        update(reviews)
        .where(reviews.c.job_id == job_id, WAITING, reviews.c.expires_at_ms > now_ms)
        .values(state=state, decided_at_ms=now_ms)
    )
    if not decided.rowcount:
        state = "expired" if found.state == "waiting" else found.state
        raise Conflict(f"the review of job {job_id} is {state}: nothing of it is held any more")


def expire_reviews(conn: Connection, now_ms: int) -> int:
    """Let go of what nobody decided in time. Returns of how many jobs."""
    return conn.execute(
        update(reviews)
        .where(WAITING, reviews.c.expires_at_ms <= now_ms)
        .values(state="expired", decided_at_ms=now_ms)
    ).rowcount
