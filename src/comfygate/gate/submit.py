"""Submit, cancel: the two things a user does to a job."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from comfygate.domain.errors import Busy, InvalidRequest, InvalidWorkflow, PayloadTooLarge, StoreTrouble
from comfygate.domain.fit import models_digest
from comfygate.domain.graph import (
    FileReference,
    Graph,
    lane_candidates,
    parse_graph,
    workflow_digest,
)
from comfygate.domain.job import JobState
from comfygate.domain.order import Lane
from comfygate.domain.safety import UNTRUSTED, Trust
from comfygate.domain.shape import shape_digest
from comfygate.gate.context import CANCEL, OUTBOX, Context, lane_bell
from comfygate.gate.guard import guarded
from comfygate.gate.happenings import Submitted
from comfygate.gate.screen import check_inputs
from comfygate.gate.views import JobView, get_job, place_of
from comfygate.store import assets as assets_store
from comfygate.store import jobs as jobs_store
from comfygate.store import submissions
from comfygate.store.admission import missing_asset
from comfygate.store.engine import Connection
from comfygate.store.rows import JobInput, JobRow, NewJob

IDEMPOTENCY_KEY_CHARS_MAX = 255

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Listed:
    """What the catalogue says of a submission that was ordered from it: see `NewJob`."""

    workflow: str
    style: str
    price: int
    tiers: tuple[frozenset[str], ...] = ()
    deliver: tuple[str, ...] = ()
    classes: frozenset[str] = frozenset()
    chosen: frozenset[tuple[str, str]] = frozenset()
    """The only places (node id, input) where its user wrote what stands there."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a caller asks for. `lane` overrides what the graph's save nodes say.

    `extra_data` goes to the server with the prompt and is kept in memory only.
    """

    account_id: str
    workflow: Any
    lane: str | None = None
    idempotency_key: str | None = None
    extra_data: Mapping[str, str] | None = None
    listed: Listed | None = None


async def submit(ctx: Context, wanted: Submission) -> JobView:
    """Check a graph and accept it as a job, paid and queued in one transaction.

    Raises InvalidWorkflow, WorkflowFormatUi, MissingAsset, PayloadTooLarge, InvalidRequest, QueueFull,
    InsufficientCredits, IdempotencyKeyReuse, Forbidden, Screened, ScreeningUnavailable, UnreadablePicture.
    After any of them nothing was queued or charged.
    """
    rules, began_at = ctx.rules, asyncio.get_running_loop().time()
    text = _encoded(wanted.workflow)
    size_bytes = len(text.encode())
    if size_bytes > rules.limits.graph_bytes_max:
        raise PayloadTooLarge(
            f"workflow has {size_bytes} bytes of JSON; the limit is {rules.limits.graph_bytes_max}",
            details={"field": "workflow", "limit": "graph_bytes_max"},
        )
    graph = parse_graph(wanted.workflow, nodes_max=rules.limits.graph_nodes_max)
    lane = _lane(ctx, graph, wanted.lane)
    listed = wanted.listed
    trust = UNTRUSTED if listed is None else Trust(listed.classes, listed.chosen)
    references = guarded(ctx, graph, lane.name, trust)
    references = await check_inputs(ctx, wanted.account_id, graph, references)
    new = _new_job(ctx, wanted, lane, text, graph)
    if wanted.extra_data:
        ctx.secrets_of_jobs[new.id] = dict(wanted.extra_data)
    try:
        job = await _accepted(ctx, new, references)
    except Busy as refusal:
        ctx.secrets_of_jobs.pop(new.id, None)
        refusal.retry_after_seconds = rules.retry_after_seconds
        raise
    except BaseException:
        ctx.secrets_of_jobs.pop(new.id, None)
        # Perhaps it was committed and only not heard of; who waited for it may have been cancelled, too.
        ctx.bells.ring(lane_bell(new.lane))
        raise
    ctx.bells.ring(lane_bell(job.lane), place=job.place)
    ctx.bells.ring(OUTBOX)
    if job.id == new.id:
        # Else an idempotency key gave the job that was made with it before.
        ctx.happened(Submitted(job, asyncio.get_running_loop().time() - began_at))
    return JobView(job, await place_of(ctx, job), None, ())


_written = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _encoded(workflow: object) -> str:
    try:
        text = _written(workflow)
        # JSON can spell half a surrogate pair, which no UTF-8 text can hold.
        text.encode()
    except UnicodeEncodeError:
        raise InvalidWorkflow("workflow holds half a surrogate pair, which is no character") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidWorkflow(f"workflow cannot be written as JSON: {error}") from error
    return text


def _new_job(ctx: Context, wanted: Submission, lane: Lane, text: str, graph: Graph) -> NewJob:
    key = wanted.idempotency_key
    if key is not None and not (0 < len(key) <= IDEMPOTENCY_KEY_CHARS_MAX and key.isprintable()):
        raise InvalidRequest(
            f"Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable characters",
            details={"field": "Idempotency-Key"},
        )
    now_ms, listed = ctx.now_ms(), wanted.listed
    return NewJob(
        id=ctx.new_id(),
        account_id=wanted.account_id,
        lane=lane.name,
        graph=text,
        inputs=(),
        price=listed.price if listed else raw_price(ctx, lane, graph),
        depth_max=lane.depth_max,
        now_ms=now_ms,
        queue_deadline_at_ms=now_ms + lane.queue_seconds_max * 1000,
        expires_at_ms=now_ms + (lane.queue_seconds_max + ctx.rules.results_seconds) * 1000,
        idempotency_key=key,
        workflow=workflow_digest(graph),
        workflow_name=listed.workflow if listed else "",
        style=listed.style if listed else "",
        tiers=listed.tiers if listed else (),
        raw=listed is None,
        deliver=listed.deliver if listed else (),
        fair_share=lane.fair_share,
        models=models_digest(graph),
        shape=shape_digest(graph),
        request_hash=hashlib.sha256(f"{lane.name}\n{text}".encode()).hexdigest(),
    )


def raw_price(ctx: Context, lane: Lane, graph: Graph) -> int:
    """What a graph of the caller's own costs: its lane's price, and what the settings add for its nodes."""
    return lane.price + sum(ctx.rules.node_prices.get(node.class_type, 0) for node in graph.nodes.values())


def _lane(ctx: Context, graph: Graph, asked: str | None) -> Lane:
    """The asked-for lane, else the dearest of those that the graph's save nodes belong to."""
    lanes = ctx.rules.lanes
    if asked is not None:
        if asked not in lanes:
            known = ", ".join(sorted(lanes))
            raise InvalidRequest(f"lane is {asked!r}: it must be one of {known}", details={"field": "lane"})
        return lanes[asked]
    found = [lanes[name] for name in lane_candidates(graph, ctx.rules.output_nodes) if name in lanes]
    if found:
        return max(found, key=lambda lane: (lane.price, lane.name))
    return next(iter(lanes.values()))


async def _accepted(ctx: Context, new: NewJob, references: tuple[FileReference, ...]) -> JobRow:
    """The job, accepted with others that come at the same time, or by itself where that is not possible."""
    if not references and not new.fair_share:

        async def write(news: Sequence[NewJob]) -> list[JobRow | None]:
            return await _accepted_together(ctx, news)

        job = await ctx.arriving.put(new, len(new.graph), write)
        if job is not None:
            return job
    _knock(ctx, (new,))
    return await ctx.store.run(_accept, ctx, new, references)


def _knock(ctx: Context, news: Sequence[NewJob]) -> None:
    """Have a server that is free claim as soon as the submission is handed to the store: SQLite writes in the
    order of asking. If that comes too early nothing is lost: it rings once the job is there."""
    if ctx.store.dialect == "sqlite":
        for lane in {new.lane for new in news}:
            asyncio.get_running_loop().call_soon(ctx.bells.rota.knock, lane_bell(lane))


async def _accepted_together(ctx: Context, news: Sequence[NewJob]) -> list[JobRow | None]:
    _knock(ctx, news)
    try:
        found = await ctx.store.run(submissions.submit_all, news, ctx.rules.tiers, ctx.depths)
    except StoreTrouble:
        raise
    except Exception:
        # Nothing of it was kept. Each by itself shows whose fault it was.
        log.exception("submit.not_together", jobs=len(news))
        return [None] * len(news)
    return [found.get(new.id) for new in news]


def _accept(conn: Connection, ctx: Context, new: NewJob, references: tuple[FileReference, ...]) -> JobRow:
    inputs = tuple(_resolve(conn, new, reference) for reference in references)
    accepted = replace(new, inputs=inputs) if inputs else new
    return jobs_store.submit(conn, accepted, ctx.rules.tiers, ctx.rules.idempotency_seconds, ctx.depths)


def _resolve(conn: Connection, new: NewJob, reference: FileReference) -> JobInput:
    """The asset that a reference means: by id, or the newest upload of that file name."""
    if reference.asset_id is not None:
        return JobInput(reference.node_id, reference.path, reference.asset_id)
    name = reference.name or ""
    # No upload has an unprintable name, and PostgreSQL takes no NUL even to compare.
    asset = assets_store.find_by_path(conn, new.account_id, name, new.now_ms) if name.isprintable() else None
    if asset is None:
        raise missing_asset(reference.node_id, reference.field, name)
    return JobInput(reference.node_id, reference.path, asset.id)


async def cancel(ctx: Context, job_id: str, account_id: str | None) -> JobView:
    """Ask for a job to be canceled: at once with refund while queued, else as soon as its server lets go.

    A job that ended already stays as it is. Raises NotFound.
    """
    await get_job(ctx, job_id, account_id)
    job = await ctx.store.run(jobs_store.cancel, job_id, account_id, ctx.now_ms())
    # It may have been made ready somewhere.
    ctx.bells.ring(lane_bell(job.lane))
    if job.state is JobState.CANCELING:
        if (signal := ctx.cancels.get(job_id)) is not None:
            signal.set()
        else:
            ctx.bells.ring(f"{CANCEL}{job_id}")
    ctx.bells.ring(OUTBOX)
    return await get_job(ctx, job_id, account_id)
