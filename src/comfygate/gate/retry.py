"""Runs a job once more that ended without success: as a new job, paid anew."""

from __future__ import annotations

import asyncio
import json

from comfygate.domain.errors import Conflict
from comfygate.domain.graph import Graph, parse_graph
from comfygate.domain.order import Lane
from comfygate.domain.safety import UNTRUSTED, Trust
from comfygate.gate.context import OUTBOX, Context, lane_bell
from comfygate.gate.guard import guarded
from comfygate.gate.happenings import Submitted
from comfygate.gate.submit import raw_price
from comfygate.gate.views import JobView, place_of
from comfygate.store import jobs as jobs_store
from comfygate.store import retries
from comfygate.store.engine import Connection
from comfygate.store.rows import JobRow, NewJob


async def retry(ctx: Context, job_id: str) -> JobView:
    """Submit a copy: same account, lane, graph and inputs. What came along in `extra_data` is not kept
    anywhere and does not come along again.

    Raises NotFound; Conflict (not ended, succeeded, retried already, its lane is gone); and as a submission
    does: MissingAsset, QueueFull, InsufficientCredits, Forbidden. After any of them nothing was done.
    """
    began_at = asyncio.get_running_loop().time()
    try:
        job = await ctx.store.run(_retry, ctx, job_id)
    except asyncio.CancelledError:
        for lane in ctx.rules.lanes:
            # Perhaps it was committed.
            ctx.bells.ring(lane_bell(lane))
        raise
    ctx.happened(Submitted(job, asyncio.get_running_loop().time() - began_at))
    ctx.bells.ring(lane_bell(job.lane))
    ctx.bells.ring(OUTBOX)
    return JobView(job, await place_of(ctx, job), None, ())


def _retry(conn: Connection, ctx: Context, job_id: str) -> JobRow:
    ended = retries.may_retry(conn, job_id)
    lane = ctx.rules.lanes.get(ended.lane)
    if lane is None:
        raise Conflict(f"job {ended.id} was of lane {ended.lane}, which is no longer in the settings")
    now_ms, text = ctx.now_ms(), jobs_store.get_graph(conn, ended.id)
    graph = parse_graph(json.loads(text), nodes_max=ctx.rules.limits.graph_nodes_max)
    # What may be run is decided anew: settings and servers may be others than when it was submitted.
    guarded(ctx, graph, lane.name, _trust(ctx, ended))
    new = NewJob(
        id=ctx.new_id(),
        account_id=ended.account_id,
        lane=lane.name,
        graph=text,
        inputs=jobs_store.inputs_of(conn, ended.id),
        price=_price(ctx, ended, lane, graph),
        depth_max=lane.depth_max,
        now_ms=now_ms,
        queue_deadline_at_ms=now_ms + lane.queue_seconds_max * 1000,
        expires_at_ms=now_ms + (lane.queue_seconds_max + ctx.rules.results_seconds) * 1000,
        workflow=ended.workflow,
        retry_of=ended.id,
        workflow_name=ended.workflow_name,
        style=ended.style,
        deliver=ended.deliver,
        fair_share=lane.fair_share,
        models=ended.models,
        shape=ended.shape,
    )
    return jobs_store.submit(conn, new, ctx.rules.tiers, ctx.rules.idempotency_seconds, ctx.depths)


def _trust(ctx: Context, ended: JobRow) -> Trust:
    """What was ordered was checked when it was; the catalogue vouches for it as long as it is in it."""
    if not ended.workflow_name:
        return UNTRUSTED
    workflow = ctx.shelf.now().workflows.get(ended.workflow_name)
    return Trust(workflow.classes if workflow else frozenset(), chosen=frozenset())


def _price(ctx: Context, ended: JobRow, lane: Lane, graph: Graph) -> int:
    """A graph of the account's own costs what it would today; what was ordered, what it cost then: the
    catalogue may have changed since."""
    if ended.workflow_name and ended.base_price is not None:
        return ended.base_price
    return raw_price(ctx, lane, graph)
