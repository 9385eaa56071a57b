"""A job's whole story, an account and a server, each as one JSON-ready document for the operator."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from comfygate.domain.errors import NotFound
from comfygate.domain.fit import model_names
from comfygate.domain.graph import parse_graph
from comfygate.domain.job import PUBLIC_STATUS
from comfygate.gate.context import Context
from comfygate.gate.fleet_control import ServerView, look_at_servers
from comfygate.gate.operate import entry_json, job_json
from comfygate.gate.review import review_suspicions
from comfygate.gate.staff import key_json
from comfygate.gate.views import get_job
from comfygate.gate.why import jobs_why
from comfygate.store import accounts as accounts_store
from comfygate.store import assets as assets_store
from comfygate.store import jobs as jobs_store
from comfygate.store import ops_story as story
from comfygate.store import reviews as reviews_store
from comfygate.store import screening as screening_store
from comfygate.store import server_health as health_store
from comfygate.store import staff as staff_store
from comfygate.store.engine import Connection
from comfygate.store.ops_story import AttemptTimes, OpenAttempt
from comfygate.store.rows import AssetRow, JobRow

TROUBLES_SHOWN: Final = 50
CHANGES_SHOWN: Final = 50
MODELS_KEPT_MAX: Final = 1000

Json = dict[str, Any]


async def job_story(ctx: Context, job: str) -> Json:
    """Everything that is known of a job. Raises NotFound."""
    view = await get_job(ctx, job, None)
    told = await ctx.store.read(_story, ctx, view.job)
    why = await jobs_why(ctx, job)
    return {
        "job": {**job_json(view), "cause": view.job.cause, "models": view.job.models},
        **told,
        "progress": None if view.progress is None else asdict(view.progress),
        "reason": why["reason"],
        "why": why["why"],
        "eta": why["eta"],
    }


def _story(conn: Connection, ctx: Context, job: JobRow) -> Json:
    account = accounts_store.get_account(conn, job.account_id)
    tries = story.attempts_of(conn, job.id)
    graph = jobs_store.get_graph(conn, job.id)
    copies = story.copies_of(conn, job)
    return {
        "account": {"id": account.id, "name": account.name, "tier": account.tier},
        "attempts": [{name: getattr(one, name) for name in type(one).__slots__} for one in tries],
        "timeline": timeline(job, tries),
        "wire": _wire(graph, job),
        "inputs": _inputs(conn, job.id),
        "entries": [entry_json(entry) for entry in story.entries_of_job(conn, job.id)],
        "told": {
            "eta": story.told_eta(conn, job.id),
            "telegram": story.told_in_chat(conn, job.id),
            "waiting": story.untold(conn, job.id),
        },
        "screening": [
            {name: getattr(one, name) for name in type(one).__slots__}
            for one in screening_store.scores_of_job(conn, job.id)
        ],
        "review": _review(conn, job.id),
        "retried_as": [{"id": copy.id, "status": PUBLIC_STATUS[copy.state]} for copy in copies],
    }


def timeline(job: JobRow, tries: Sequence[AttemptTimes]) -> list[Json]:
    """Where the job's time went, in order, for a Gantt: `waiting` in its lane, then of each attempt
    `sending`, `running` and `collecting`. An open stretch has no end."""
    found: list[Json] = []
    since: int | None = job.created_at_ms
    for one in tries:
        if since is not None:
            _stretch(found, "waiting", since, one.claimed_at_ms)
        where = {"attempt": one.number, "server": one.server, "slot": one.slot}
        ends = [at for at in (one.started_at_ms, one.left_at_ms, one.ended_at_ms) if at is not None]
        _stretch(found, "sending", one.claimed_at_ms, ends[0] if ends else None, where)
        if one.started_at_ms is not None:
            until = one.left_at_ms or one.ended_at_ms
            _stretch(found, "running", one.started_at_ms, until, where)
        if one.left_at_ms is not None:
            _stretch(found, "collecting", one.left_at_ms, one.ended_at_ms, where)
        since = one.ended_at_ms
    if job.completed_at_ms is None and (since is not None or not tries):
        _stretch(found, "waiting", since or job.created_at_ms, None)
    elif job.completed_at_ms is not None and since is not None and job.completed_at_ms > since:
        _stretch(found, "waiting", since, job.completed_at_ms)
    return found


def _stretch(
    found: list[Json], what: str, from_ms: int, until_ms: int | None, where: Json | None = None
) -> None:
    # Clocks of replicas differ: no stretch ends before it begins.
    until = None if until_ms is None else max(until_ms, from_ms)
    found.append({"what": what, "from_at_ms": from_ms, "until_at_ms": until, **(where or {})})


def _wire(graph: str, job: JobRow) -> Json:
    """What goes to a server: how large the graph is, of what it is made."""
    parsed: Json = json.loads(graph)
    classes = Counter(str(node.get("class_type", "")) for node in parsed.values() if isinstance(node, dict))
    return {
        "graph_bytes": len(graph.encode()),
        "nodes": len(parsed),
        "classes": dict(sorted(classes.items())),
        "workflow_digest": job.workflow,
        "shape": job.shape,
        "deliver": list(job.deliver),
    }


def _inputs(conn: Connection, job_id: str) -> list[Json]:
    inputs = jobs_store.inputs_of(conn, job_id)
    assets: dict[str, AssetRow] = assets_store.assets_by_id(conn, [one.asset_id for one in inputs])
    found = []
    for one in inputs:
        asset = assets.get(one.asset_id)
        found.append(
            {
                "node_id": one.node_id,
                "asset_id": one.asset_id,
                "there": asset is not None,
                "file_path": asset.file_path if asset else None,
                "content_type": asset.content_type if asset else None,
                "size_bytes": asset.size_bytes if asset else None,
            }
        )
    return found


def _review(conn: Connection, job_id: str) -> Json | None:
    try:
        review = reviews_store.get_review(conn, job_id)
    except NotFound:
        return None
    return {"state": review.state, "score": review.score, "expires_at_ms": review.expires_at_ms}


async def account_story(ctx: Context, account: str) -> Json:
    """An account: balance, tier and limits, keys, sessions, chats, suspicions. Raises NotFound."""
    found = await ctx.store.read(_account_story, ctx, account)
    return {**found, "suspicions": (await review_suspicions(ctx, found["id"]))}


def _account_story(conn: Connection, ctx: Context, account: str) -> Json:
    found = accounts_store.get_account(conn, account)
    tier = ctx.rules.tiers.get(found.tier)
    queued, running = story.counts_of_account(conn, found.id)
    return {
        "id": found.id,
        "name": found.name,
        "tier": found.tier,
        "role": staff_store.role_of(conn, found.id).value,
        "available": found.balance.available,
        "held": found.balance.held,
        "created_at_ms": found.created_at_ms,
        "disabled_at_ms": found.disabled_at_ms,
        "merged_into": story.merged_into(conn, found.id),
        "limits": None if tier is None else {**asdict(tier), "priorities": dict(tier.priorities)},
        "jobs_queued": queued,
        "jobs_running": running,
        "keys": [key_json(key) for key in staff_store.list_keys(conn, found.id)],
        "sessions": story.sessions_of(conn, found.id, ctx.now_ms()),
        "telegram": story.chats_of(conn, found.id),
    }


async def server_story(ctx: Context, server: str) -> Json:
    """A server: how it stands, what runs there, its troubles and how it came to stand so. Raises NotFound."""
    return await ctx.store.read(_server_story, ctx, server)


def _server_story(conn: Connection, ctx: Context, server: str) -> Json:
    view = next((one for one in look_at_servers(conn, ctx) if one.row.name == server), None)
    if view is None:
        raise NotFound(f"no server is called {server!r}; 'comfygate servers list' shows them")
    health = health_store.health_of(conn, server)
    return {
        **server_json(ctx, view),
        "created_at_ms": view.row.created_at_ms,
        "health": None
        if health is None
        else {
            "failures": health.failures,
            "trips": health.trips,
            "changed_at_ms": health.changed_at_ms,
        },
        "running_now": [open_json(ctx, one) for one in story.open_attempts(conn) if one.server == server],
        "changes": [_plain(one) for one in story.changes_of(conn, server, CHANGES_SHOWN)],
        "troubles": [_plain(one) for one in story.troubles_of(conn, server, TROUBLES_SHOWN)],
        "kept_off": story.kept_off(conn, server, ctx.now_ms()),
    }


def server_json(ctx: Context, view: ServerView) -> Json:
    """A server as the operator sees it, with what this process alone knows: others' prompts there, models
    that are warm, node classes."""
    status = ctx.fleet.status.get(view.row.name)
    return {
        **view.to_json(),
        "foreign": status.foreign if status else None,
        "warm": _warm(ctx, status.warm if status else ""),
        "node_classes": len(ctx.fleet.classes.get(view.row.name, ())) or None,
    }


def _warm(ctx: Context, digest: str) -> list[str]:
    """The model files that the server's last job named; their digest where they are not known here."""
    return ctx.fleet.model_names.get(digest, [digest]) if digest else []


def learn_models(conn: Connection, ctx: Context, open_now: Sequence[OpenAttempt]) -> None:
    """Find out which model files are behind the digests of what runs."""
    known = ctx.fleet.model_names
    for one in open_now:
        if one.models and one.models not in known:
            if len(known) >= MODELS_KEPT_MAX:
                known.clear()
            graph = parse_graph(
                json.loads(jobs_store.get_graph(conn, one.job_id)), nodes_max=ctx.rules.limits.graph_nodes_max
            )
            known[one.models] = model_names(graph)


def open_json(ctx: Context, one: OpenAttempt) -> Json:
    """What runs in a slot, with how far it is."""
    progress = ctx.live.progress_of(one.job_id)
    return {
        "job_id": one.job_id,
        "attempt": one.number,
        "server": one.server,
        "slot": one.slot,
        "account_id": one.account_id,
        "account_name": one.account_name,
        "lane": one.lane,
        "priority": one.priority,
        "state": one.state,
        "workflow": one.workflow_name or None,
        "style": one.style or None,
        "claimed_at_ms": one.claimed_at_ms,
        "started_at_ms": one.started_at_ms,
        "left_at_ms": one.left_at_ms,
        "progress": None
        if progress is None
        else {
            "value": progress.value,
            "current_node": progress.current_node,
            "current_node_class": progress.current_node_class,
            "step": progress.step,
            "steps": progress.steps,
        },
    }


def _plain(row: Any) -> Json:
    return {name: getattr(row, name) for name in type(row).__slots__}
