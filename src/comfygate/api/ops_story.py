"""Who operates, everything as it is now, and one job, account or server in full."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.arguments import storable
from comfygate.api.content import content_answer
from comfygate.api.face import TheFace, known_id
from comfygate.api.ops_auth import PREFIX, PRIVATE, TheBoard, TheOperator
from comfygate.api.reference import refusals
from comfygate.domain.errors import NotFound
from comfygate.gate import files, operate, ops_story, review

router = APIRouter(prefix=PREFIX, tags=["operations"])
_RESPONSES: Final = refusals(401, 403, 404, 422, 429)


def _json(body: Any) -> Response:
    return JSONResponse(body, headers=PRIVATE)


def _name(kind: str, value: str) -> str:
    if not storable(value):
        raise NotFound(f"no {kind} has this name or id")
    return value


@router.get("/me", operation_id="opsMe", response_class=Response, responses=refusals(401, 403, 429))
async def me(operator: TheOperator) -> Response:
    """Who operates, and which operations the role is enough for."""
    return _json(
        {
            "account": {"id": operator.account.id, "name": operator.account.name},
            "role": operator.role.value,
            "operations": sorted(name for name in operate.OPERATIONS if operator.may(name)),
        }
    )


@router.get("/now", operation_id="opsNow", response_class=Response, responses=refusals(401, 403, 429))
async def now(operator: TheOperator, board: TheBoard) -> Response:
    """Lanes, servers, what runs and alerts, as of a second ago at most."""
    return Response(await board.now(), headers=PRIVATE, media_type="application/json")


@router.get("/jobs/{job}", operation_id="opsJob", response_class=Response, responses=_RESPONSES)
async def job_story(face: TheFace, operator: TheOperator, job: str) -> Response:
    """A job's whole story: attempts, timeline, what was sent, entries, what was told, and why."""
    return _json(await ops_story.job_story(face.ctx, known_id("job", job)))


@router.get("/accounts/{account}", operation_id="opsAccount", response_class=Response, responses=_RESPONSES)
async def account_story(face: TheFace, operator: TheOperator, account: str) -> Response:
    """An account: balance, tier and limits, keys by mark, sessions, chats, suspicions."""
    return _json(await ops_story.account_story(face.ctx, _name("account", account)))


@router.get("/servers/{server}", operation_id="opsServer", response_class=Response, responses=_RESPONSES)
async def server_story(face: TheFace, operator: TheOperator, server: str) -> Response:
    """A server: state, what runs there, what went wrong there, how it came to stand as it does."""
    return _json(await ops_story.server_story(face.ctx, _name("server", server)))


@router.get(
    "/reviews/{job}/outputs/{number}",
    operation_id="opsHeldOutput",
    response_class=Response,
    responses=_RESPONSES,
)
async def held_output(
    request: Request, face: TheFace, operator: TheOperator, job: str, number: int
) -> Response:
    """The bytes of a held result, the first being 0, while its review waits."""
    asset = await review.held_output(face.ctx, known_id("job", job), number)
    return content_answer(
        asset,
        await files.stored_size(face.ctx, asset),
        lambda start, end: files.read_bytes(face.ctx, asset, start, end),
        method=request.method,
        range_header=request.headers.get("range"),
        if_range=request.headers.get("if-range"),
        if_none_match=request.headers.get("if-none-match"),
    )
