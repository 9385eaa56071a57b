"""Our own additions: who you are and what you have, your ledger, the lanes and your places in them."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from comfygate.api.auth import TheAccount
from comfygate.api.face import API, TheFace, known_id
from comfygate.api.reference import refusals
from comfygate.api.wire import (
    AccountBody,
    AheadBody,
    EntriesBody,
    EntryBody,
    HealthBody,
    LaneBody,
    LanesBody,
    LineBody,
    LineLimitsBody,
    WhyBody,
    moment,
)
from comfygate.gate import accounts, eta, health, why
from comfygate.gate.operate import entry_json
from comfygate.gate.rows import EntryRow
from comfygate.version import VERSION

router = APIRouter(tags=["account"])
ROW_MAX = 2**63 - 1


@router.get(
    "/gate/v1/account", operation_id="getAccount", response_model=AccountBody, responses=refusals(401, 403)
)
async def get_account(account: TheAccount) -> Response:
    """Your account: tier, available and held credits."""
    return JSONResponse(AccountBody.of(account).model_dump(mode="json"))


@router.get(
    "/gate/v1/entries",
    operation_id="listEntries",
    response_model=EntriesBody,
    responses=refusals(401, 403, 422),
)
async def list_entries(
    face: TheFace,
    account: TheAccount,
    limit: Annotated[int, Query(ge=1, le=10_000, description="Entries in a page.")] = 50,
    before: Annotated[
        int | None, Query(ge=1, le=ROW_MAX, description="Only entries older than this id.")
    ] = None,
) -> Response:
    """Your ledger, newest first. Entries are never changed; a correction is a new entry."""
    _, rows = await accounts.entries(face.ctx, account.id, limit=limit, before_id=before)
    body = EntriesBody(
        entries=[_entry(row) for row in rows], next_before=rows[-1].id if len(rows) == limit else None
    )
    return JSONResponse(body.model_dump(mode="json"))


def _entry(row: EntryRow) -> EntryBody:
    told = entry_json(row)
    created_at = moment(cast("int", told.pop("created_at_ms")))
    return EntryBody(**told, created_at=created_at)


@router.get(
    "/gate/v1/lanes", operation_id="listLanes", response_model=LanesBody, responses=refusals(401, 403)
)
async def list_lanes(face: TheFace, account: TheAccount) -> Response:
    """Every lane: what a job costs there, how many wait, and where your own stand."""
    found = await accounts.lanes(face.ctx, account)
    body = LanesBody(
        lanes=[
            LaneBody(
                name=lane.name,
                price=lane.price,
                depth=lane.depth,
                servers_up=lane.servers_up,
                positions=lane.positions,
            )
            for lane in found
        ]
    )
    return JSONResponse(body.model_dump(mode="json"))


@router.get(
    "/gate/v1/jobs/{id}/why",
    operation_id="getJobWhy",
    response_model=WhyBody,
    responses=refusals(401, 403, 404),
)
async def get_job_why(id: str, face: TheFace, account: TheAccount) -> Response:  # noqa: A002
    """Why your job is where it is: its lane is paused, no server is up, how many jobs are ahead of it; and
    when it will probably start and end."""
    status, reason = await why.reason_of(face.ctx, known_id("job", id), account.id)
    line = await why.line_of(face.ctx, id, account.id)
    when = eta.eta_json(await eta.eta_of(face.ctx, id, account.id))
    body = {
        "id": id,
        "status": status,
        "code": reason.code,
        "reason": reason.sentence,
        "line": _line(line),
        "eta": when,
    }
    return JSONResponse(WhyBody.model_validate(body).model_dump(mode="json"))


def _line(line: why.Line | None) -> LineBody | None:
    if line is None:
        return None
    limits = dict(line.limits)
    return LineBody(
        queue_position=line.position,
        ahead=[AheadBody(**found) for found in line.ahead],
        servers=dict(line.servers),
        limits=LineLimitsBody(expires_at=moment(limits.pop("expires_at_ms")), **limits),
    )


@router.get(
    f"{API}/health",
    operation_id="getHealth",
    response_model=HealthBody,
    responses=refusals(),
    tags=["health"],
)
async def get_health(face: TheFace) -> Response:
    """Whether the database answers, a server is up and pictures can be screened. Needs no key."""
    found = await health.look(face.ctx)
    body = HealthBody(
        status="ok" if found.servers_up and found.screens else "degraded",
        version=VERSION,
        servers=found.servers,
        servers_up=found.servers_up,
        screening="ok" if found.screens else "unavailable",
    )
    return JSONResponse(body.model_dump(mode="json"), headers={"Cache-Control": "no-store"})
