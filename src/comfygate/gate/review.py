"""What the operator does about screening: look at what is held, release or reject it, forgive an account."""

from __future__ import annotations

from typing import Any

from comfygate.domain.errors import InvalidRequest, NotFound
from comfygate.gate.context import Context
from comfygate.store import accounts as accounts_store
from comfygate.store import reviews as reviews_store
from comfygate.store import screening as screening_store
from comfygate.store.engine import Connection
from comfygate.store.rows import AccountRow, AssetRow, HeldOutput, ReviewRow
from comfygate.store.screening_tables import STATES

SUSPICIONS_SHOWN = 50

Json = dict[str, Any]


async def review_list(ctx: Context, state: str | None = "waiting", limit: int = 50) -> Json:
    """Jobs whose outputs are held, newest first; another `state` for those decided.

    Raises InvalidRequest for an unknown state or a limit outside 1 to `page_limit_max`.
    """
    most = ctx.rules.limits.page_limit_max
    if not 1 <= limit <= most:
        raise InvalidRequest(f"limit is {limit}: it must be from 1 to {most}", details={"field": "limit"})
    if state is not None and state not in STATES:
        raise InvalidRequest(
            f"state is {state!r}: it must be one of {', '.join(STATES)}", details={"field": "state"}
        )
    found = await ctx.store.read(reviews_store.list_reviews, state, limit)
    return {"reviews": [_json(review) for review in found]}


async def review_show(ctx: Context, job: str) -> Json:
    """What is held of a job, and where its bytes lie on this machine. Raises NotFound."""
    return await ctx.store.read(_shown, ctx, job)


def _shown(conn: Connection, ctx: Context, job_id: str) -> Json:
    review = reviews_store.get_review(conn, job_id)
    outputs = reviews_store.outputs_held(conn, job_id)
    scores = {one.position: one.score for one in screening_store.scores_of_job(conn, job_id)}
    return {
        **_json(review),
        "outputs": [
            _output(ctx, output, scores.get(number), waiting=review.state == "waiting")
            for number, output in enumerate(outputs)
        ],
    }


def _output(ctx: Context, output: HeldOutput, score: float | None, *, waiting: bool) -> Json:
    there = waiting and output.key is not None
    return {
        "name": output.name,
        "content_type": output.content_type,
        "size_bytes": output.size_bytes,
        "score": score,
        "file": str(ctx.blobs.file_of(output.key)) if there and output.key else None,
    }


async def held_output(ctx: Context, job: str, number: int) -> AssetRow:
    """A held result with its bytes, for the operator, the first being 0.

    Raises NotFound, also once the review is decided.
    """
    review = await ctx.store.read(reviews_store.get_review, job)
    held = await ctx.store.read(reviews_store.outputs_held, job)
    if review.state != "waiting" or not 0 <= number < len(held) or held[number].key is None:
        raise NotFound(f"nothing of job {job!r} is held under the number {number}")
    one = held[number]
    return AssetRow(
        id=one.asset_id,
        account_id=review.account_id,
        hash=one.hash,
        key=one.key or "",
        size_bytes=one.size_bytes,
        content_type=one.content_type,
        file_path=None,
        created_at_ms=review.created_at_ms,
        expires_at_ms=review.expires_at_ms,
        job_id=job,
        name=one.name,
    )


async def review_release(ctx: Context, job: str) -> Json:
    """Give a job's held outputs to its account, without charge, and let them count against it no longer.

    The job stays failed and refunded. Raises NotFound and Conflict (decided already).
    """
    await ctx.store.run(_release, job, ctx.rules.results_seconds * 1000, ctx.now_ms())
    return await review_show(ctx, job)


def _release(conn: Connection, job_id: str, keep_ms: int, now_ms: int) -> None:
    reviews_store.release(conn, job_id, keep_ms, now_ms)
    account = accounts_store.get_account(conn, reviews_store.get_review(conn, job_id).account_id)
    screening_store.forgive(conn, account, now_ms, job_id=job_id)


async def review_reject(ctx: Context, job: str) -> Json:
    """Let go of a job's held outputs for good. Raises NotFound and Conflict (decided already)."""
    await ctx.store.run(reviews_store.reject, job, ctx.now_ms())
    return await review_show(ctx, job)


async def review_suspicions(ctx: Context, account: str) -> Json:
    """What counts, and counted, against an account, newest first. Raises NotFound."""
    found, counted, rows = await ctx.store.read(_suspicions, account)
    return {
        **_standing(found, counted),
        "entries": [{name: getattr(row, name) for name in type(row).__slots__} for row in rows],
    }


def _suspicions(conn: Connection, account: str) -> tuple[AccountRow, int, list[Any]]:
    found = accounts_store.get_account(conn, account)
    counted = screening_store.suspicions_counting(conn, found.id)
    return found, counted, list(screening_store.suspicions_of(conn, found.id, SUSPICIONS_SHOWN))


async def review_forgive(ctx: Context, account: str) -> Json:
    """Let an account's suspicions count no longer; a suspension that they brought about ends. Raises
    NotFound."""
    forgiven = await ctx.store.run(_forgive, account, ctx.now_ms())
    shown = await review_suspicions(ctx, account)
    return {**shown, "forgiven": forgiven}


def _forgive(conn: Connection, account: str, now_ms: int) -> int:
    return screening_store.forgive(conn, accounts_store.get_account(conn, account), now_ms)


def _standing(account: AccountRow, counted: int) -> Json:
    return {
        "id": account.id,
        "name": account.name,
        "suspicions": counted,
        "disabled_at_ms": account.disabled_at_ms,
    }


def _json(review: ReviewRow) -> Json:
    return {
        "job_id": review.job_id,
        "account_id": review.account_id,
        "state": review.state,
        "score": review.score,
        "created_at_ms": review.created_at_ms,
        "expires_at_ms": review.expires_at_ms,
        "decided_at_ms": review.decided_at_ms,
    }
