"""Why a job is where it is: for its user one harmless reason, for the operator everything that is known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfygate.domain.credits import HoldState
from comfygate.domain.fit import misfits
from comfygate.domain.graph import parse_graph
from comfygate.domain.job import PUBLIC_STATUS, JobState
from comfygate.domain.waiting import QueuedFacts, Reason, ServerFacts, Waiting, moment, waiting_for
from comfygate.gate import views
from comfygate.gate.context import Context
from comfygate.gate.eta import eta_json, eta_of
from comfygate.gate.fleet_control import look_at_servers
from comfygate.gate.live import ProgressEvent
from comfygate.store import attempts as attempts_store
from comfygate.store import fit as fit_store
from comfygate.store import jobs as jobs_store
from comfygate.store import lanes as lanes_store
from comfygate.store import turns, whereabouts
from comfygate.store.engine import Connection
from comfygate.store.lanes import LaneRow
from comfygate.store.rows import AttemptRow, JobRow

_CREDITS = {
    HoldState.PLACED: "credits held for it: {price}",
    HoldState.CAPTURED: "credits spent: {price}",
    HoldState.RELEASED: "credits refunded: {price}",
    HoldState.NONE: "it was free",
}
_REASONS = {
    JobState.CLAIMED: "a server has it and is about to begin",
    JobState.RUNNING: "it runs",
    JobState.CANCELING: "its cancel was asked for; the server's last word is awaited",
    JobState.SUCCEEDED: "it succeeded",
    JobState.CANCELED: "it was canceled",
    JobState.EXPIRED: "it expired: no server took it in time",
}


async def jobs_why(ctx: Context, job: str) -> dict[str, Any]:
    """Everything that says why the job is where it is, and when it will end. Raises NotFound."""
    found, reason, sentences = await ctx.store.read(_why, ctx, job)
    eta = await eta_of(ctx, job, None)
    return {
        "id": found.id,
        "status": PUBLIC_STATUS[found.state],
        "state": found.state.value,
        "reason": {"code": reason.code, "sentence": reason.sentence},
        "why": [*sentences, *([eta.sentence()] if eta is not None else [])],
        "eta": eta_json(eta),
    }


async def reason_of(ctx: Context, job_id: str, account_id: str) -> tuple[str, Reason]:
    """The public status of the account's own job, and the one reason for it. Raises NotFound."""
    view = await views.get_job(ctx, job_id, account_id)
    if view.job.state is JobState.QUEUED:
        waiting = await ctx.store.read(_waiting, ctx, view.job)
        return view.status, waiting.reason
    return view.status, _reason(view.job)


@dataclass(frozen=True, slots=True)
class Line:
    """What surrounds a queued job, as its user may know it: who is ahead by class, servers by how they stand,
    and the limits in force. Nobody and no server is named."""

    position: int
    ahead: Sequence[Mapping[str, Any]]
    servers: Mapping[str, int]
    limits: Mapping[str, Any]


async def line_of(ctx: Context, job_id: str, account_id: str) -> Line | None:
    """The line that the account's own job stands in; None unless it is queued. Raises NotFound."""
    view = await views.get_job(ctx, job_id, account_id)
    if view.job.state is not JobState.QUEUED:
        return None
    return await ctx.store.read(_line, ctx, view.job)


def _line(conn: Connection, ctx: Context, job: JobRow) -> Line:
    cap = ctx.rules.limits.position_cap
    facts = _facts(conn, ctx, job)
    classes = whereabouts.ahead_by_priority(conn, job, cap)
    ahead = [
        {"priority": priority, "tiers": _tiers_of(ctx, job.lane, priority), "jobs": found}
        for priority, found in classes.items()
    ]
    return Line(
        position=min(facts.ahead, cap) + 1,
        ahead=ahead,
        servers=Counter(server.stands for server in facts.servers),
        limits={
            "jobs_running": facts.running,
            "jobs_running_max": facts.running_max,
            "lane_paused": facts.paused_at_ms is not None,
            "expires_at_ms": facts.deadline_at_ms,
        },
    )


def _tiers_of(ctx: Context, lane: str, priority: int) -> list[str]:
    return sorted(tier.name for tier in ctx.rules.tiers.values() if tier.priority_in(lane) == priority)


def _why(conn: Connection, ctx: Context, job_id: str) -> tuple[JobRow, Reason, Sequence[str]]:
    job = jobs_store.get_job(conn, job_id)
    return job, *_explained(conn, ctx, job)


def _explained(conn: Connection, ctx: Context, job: JobRow) -> tuple[Reason, Sequence[str]]:
    tries = attempts_store.list_attempts(conn, job.id)
    if job.state is JobState.QUEUED:
        waiting = _waiting(conn, ctx, job)
        return waiting.reason, [*waiting.sentences, *map(_attempt, tries), _credits(job)]
    if job.completed_at_ms is None:
        return _reason(job), [*_running(job, tries, ctx.live.progress_of(job.id)), _credits(job)]
    ended = f"it {_past(job.state)} at {moment(job.completed_at_ms)}"
    if job.error is not None:
        ended += f": {job.error.message} ({job.error.code})"
    lines = [ended, *map(_attempt, tries)]
    if job.cause:
        lines.append(f"the cause, for operators: {_one_line(job.cause)}")
    return _reason(job), [*lines, _credits(job)]


def _waiting(conn: Connection, ctx: Context, job: JobRow) -> Waiting:
    return waiting_for(_facts(conn, ctx, job))


def _facts(conn: Connection, ctx: Context, job: JobRow) -> QueuedFacts:
    now_ms, cap = ctx.now_ms(), ctx.rules.limits.position_cap
    lane = lanes_store.lane_row(conn, job.lane)
    pairs = whereabouts.pairs_of(conn, job.workflow, now_ms) if job.workflow else {}
    unfit = _unfit(conn, ctx, job)
    excluded = {attempt.server for attempt in attempts_store.list_attempts(conn, job.id) if attempt.elsewhere}
    servers = []
    for view in look_at_servers(conn, ctx):
        if job.lane not in view.row.lanes:
            continue
        pair_until, pair_reason = pairs.get(view.row.name, (None, ""))
        servers.append(
            ServerFacts(
                name=view.row.name,
                state=view.state,
                reason=_one_line(view.reason),
                slots=view.row.slots,
                running=view.running,
                ahead=view.row.ahead,
                drained_at_ms=view.row.drained_at_ms,
                quarantined_until_at_ms=view.quarantined_until_at_ms,
                pair_until_at_ms=pair_until,
                pair_reason=_one_line(pair_reason),
                excluded=view.row.name in excluded,
                unfit=unfit.get(view.row.name, ""),
            )
        )
    return QueuedFacts(
        lane=job.lane,
        ahead=(jobs_store.position(conn, job, cap + 1) or 1) - 1,
        better=whereabouts.better_ahead(conn, job, cap),
        cap=cap,
        deadline_at_ms=whereabouts.queue_deadline(conn, job),
        paused_at_ms=lane.paused_at_ms,
        unable_since_at_ms=lane.unable_since_at_ms,
        unable_until_at_ms=_unable_until(ctx, lane, job),
        running=turns.running_of(conn, job.account_id),
        running_max=job.running_max,
        servers=tuple(servers),
    )


def _unfit(conn: Connection, ctx: Context, job: JobRow) -> dict[str, str]:
    """What each server has not that the job needs: as it is known here, else as its owner found."""
    found = fit_store.misfits_of(conn, job.workflow) if job.workflow else {}
    graph = parse_graph(
        json.loads(jobs_store.get_graph(conn, job.id)), nodes_max=ctx.rules.limits.graph_nodes_max
    )
    for name, classes in ctx.fleet.classes.items():
        missing = misfits(graph, classes)
        found[name] = str(missing[0]) if missing else ""
    return found


def _unable_until(ctx: Context, lane: LaneRow, job: JobRow) -> int | None:
    """When the job is refunded if no server becomes able to take it: see `store/unable.py`."""
    if lane.unable_since_at_ms is None:
        return None
    limit_ms = int(ctx.rules.unable_seconds_max * 1000)
    return max(lane.unable_since_at_ms, job.created_at_ms) + limit_ms


def _running(job: JobRow, tries: Sequence[AttemptRow], progress: ProgressEvent | None) -> list[str]:
    lines = []
    for attempt in tries:
        if attempt.ended_at_ms is not None:
            lines.append(_attempt(attempt))
            continue
        begun = attempt.started_at_ms
        stands = (
            f"claimed at {moment(attempt.claimed_at_ms)}, not begun"
            if begun is None
            else f"running since {moment(begun)}"
        )
        lines.append(f"attempt {attempt.number} on server {attempt.server}, slot {attempt.slot}: {stands}")
    if progress is not None:
        at = f", in node {progress.current_node}" if progress.current_node else ""
        lines.append(
            f"last progress: {progress.value:.0%}, {progress.nodes_done} of {progress.nodes_total} nodes{at}"
        )
    if job.state is JobState.CANCELING:
        lines.append("its cancel was asked for; the server's last word is awaited")
    return lines


def _attempt(attempt: AttemptRow) -> str:
    if attempt.ended_at_ms is None:
        return f"attempt {attempt.number} on server {attempt.server} is open"
    said = f"attempt {attempt.number} on server {attempt.server} {attempt.outcome}"
    said += f" at {moment(attempt.ended_at_ms)}"
    if attempt.blame is not None:
        said += f", blame {attempt.blame.value}"
    return f"{said}: {_one_line(attempt.cause)}" if attempt.cause else said


def _credits(job: JobRow) -> str:
    return _CREDITS[job.hold].format(price=job.price)


def _reason(job: JobRow) -> Reason:
    if job.error is not None:
        return Reason(job.error.code, job.error.message)
    return Reason(job.state.value, _REASONS.get(job.state, "it failed"))


def _past(state: JobState) -> str:
    return "was canceled" if state is JobState.CANCELED else state.value


def _one_line(text: str) -> str:
    """The first line that says something; a traceback is in the log and in `jobs show --json`."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")
