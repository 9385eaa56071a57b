"""A job as a person looks at it: with what it was ordered as, what it cost, what went in and when it ends."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfygate.domain.credits import HoldState
from comfygate.domain.errors import GateError
from comfygate.domain.workflow import Workflow
from comfygate.gate import eta as etas
from comfygate.gate import views
from comfygate.gate.context import Context
from comfygate.gate.eta import Eta
from comfygate.gate.views import JobView, Key
from comfygate.store import gallery
from comfygate.store import jobs as jobs_store
from comfygate.store.engine import Connection
from comfygate.store.gallery import Wanted
from comfygate.store.rows import AssetRow, JobInput, JobRow

ETAS_MAX = 20
"""Jobs of one look that are given an estimate; each costs about a millisecond of a thread."""


@dataclass(frozen=True, slots=True)
class Card:
    """A job and what surrounds it. `inputs`: the files that went in and are still there, by the workflow's
    name of the input (or node and field for a graph of the caller's own)."""

    view: JobView
    inputs: tuple[tuple[str, AssetRow], ...]
    eta: Eta | None

    @property
    def refunded(self) -> bool:
        return self.view.job.hold is HoldState.RELEASED


@dataclass(frozen=True, slots=True)
class CardPage:
    """Some cards, newest first, and the cursor of the next page if there is one."""

    cards: tuple[Card, ...]
    next_cursor: str | None


async def page(
    ctx: Context,
    account_id: str,
    *,
    statuses: Sequence[str],
    workflow: str | None,
    limit: int,
    cursor: str | None,
) -> CardPage:
    """A page of the account's jobs. Raises InvalidRequest as `views.list_jobs`."""
    states, before = views.checked_page(ctx, statuses, limit, cursor)
    wanted = Wanted(tuple(states), workflow, before)
    return await ctx.store.read(_page, ctx, account_id, wanted, limit)


def _page(conn: Connection, ctx: Context, account_id: str, wanted: Wanted, limit: int) -> CardPage:
    rows, following = gallery.page(conn, account_id, wanted, limit, ctx.now_ms())
    cards = tuple(cards_of(conn, ctx, account_id, rows).values())
    return CardPage(cards, None if following is None else str(following))


def to_estimate(rows: Collection[JobRow]) -> list[JobRow]:
    """Those of one look's jobs that are given an estimate."""
    return [job for job in rows if not job.completed_at_ms][:ETAS_MAX]


def cards_of(
    conn: Connection,
    ctx: Context,
    account_id: str,
    rows: Collection[JobRow],
    when: Mapping[str, Eta] | None = None,
) -> dict[str, Card]:
    """The cards of jobs of one account, by id, in one snapshot. `when`: their estimates, if known."""
    jobs = list(rows)
    seen = views.views_of(conn, ctx, jobs)
    sent = gallery.sent_along(conn, account_id, [job.id for job in jobs], ctx.now_ms()) if jobs else {}
    if when is None:
        when = etas.etas_of(conn, ctx, to_estimate(jobs))
    return {
        view.job.id: Card(view, _named(ctx, view.job, sent.get(view.job.id, ())), when.get(view.job.id))
        for view in seen
    }


def _named(
    ctx: Context, job: JobRow, sent: Sequence[tuple[JobInput, AssetRow]]
) -> tuple[tuple[str, AssetRow], ...]:
    workflow = ctx.shelf.now().workflows.get(job.workflow_name)
    found: dict[str, AssetRow] = {}
    for place, asset in sent:
        found.setdefault(_input_at(workflow, place), asset)
    return tuple(found.items())


def _input_at(workflow: Workflow | None, place: JobInput) -> str:
    target = (place.node_id, str(place.path[0]) if place.path else "")
    if workflow is not None:
        for one in workflow.inputs.values():
            if target in one.targets:
                return one.name
    return ".".join(target)


async def card(ctx: Context, job_id: str, account_id: str) -> tuple[Card, dict[str, Any] | None]:
    """One card, and the values that the job was ordered with, by parameter: None for a graph of the caller's
    own and for a workflow that the catalogue no longer has. Raises NotFound as `views.get_job`."""
    found, text = await ctx.store.read(_card, ctx, job_id, account_id)
    workflow = ctx.shelf.now().workflows.get(found.view.job.workflow_name)
    return found, None if workflow is None else values_in(workflow, json.loads(text))


def _card(conn: Connection, ctx: Context, job_id: str, account_id: str) -> tuple[Card, str]:
    key: Key = (job_id, account_id)
    view = views.found(views.read_jobs(conn, ctx, [key]).get(key), job_id)
    return cards_of(conn, ctx, account_id, [view.job])[job_id], jobs_store.get_graph(conn, job_id)


def values_in(workflow: Workflow, graph: Mapping[str, Any]) -> dict[str, Any]:
    """What a graph made of this workflow has at the parameters; what is there no more, or no longer allowed,
    is left out."""
    values: dict[str, Any] = {}
    for parameter in workflow.parameters.values():
        node, name = parameter.targets[0]
        value = graph.get(node, {}).get("inputs", {}).get(name)
        try:
            values[parameter.name] = parameter.checked(value)
        except GateError:
            continue
    return values


async def forget(ctx: Context, job_id: str, account_id: str) -> None:
    """Delete an ended job's results and hide it from its account; other pages of the account hear of it.

    Raises NotFound, JobNotEnded and AssetInUse.
    """
    await ctx.store.run(gallery.forget, job_id, account_id, ctx.now_ms())
    ctx.live.stir(account_id, job_id)
