"""The first steps over HTTP: what is there, and a try of an address before it is a server."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.arguments import STRICT, checked
from comfygate.api.face import TheFace
from comfygate.api.json_body import read_object
from comfygate.api.ops_auth import PREFIX, PRIVATE, TheOperator
from comfygate.api.reference import refusals
from comfygate.gate import ops_first_run
from comfygate.gate.ops_first_run import URL_CHARS_MAX

router = APIRouter(prefix=PREFIX, tags=["operations"])
BODY_BYTES_MAX: Final = 8192


class TryBody(BaseModel):
    """An address at which ComfyUI may answer."""

    model_config = STRICT

    url: str = Field(min_length=1, max_length=URL_CHARS_MAX)


@router.get(
    "/first-run", operation_id="opsFirstRun", response_class=Response, responses=refusals(401, 403, 429)
)
async def first_run(face: TheFace, operator: TheOperator) -> Response:
    """What there is of what a service needs, and which step comes next."""
    return JSONResponse(await ops_first_run.first_run(face.ctx), headers=PRIVATE)


@router.post(
    "/server-trials",
    operation_id="opsTryServer",
    response_class=Response,
    responses=refusals(401, 403, 413, 422, 429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": TryBody.model_json_schema()}},
        }
    },
)
async def try_server(request: Request, face: TheFace, operator: TheOperator) -> Response:
    """Look whether a ComfyUI that we can use answers at an address; for admins. Nothing is added."""
    # It has this process send requests to an address of the caller's choice.
    operator.check("servers.add")
    given = checked(TryBody, await read_object(request, bytes_max=BODY_BYTES_MAX))
    return JSONResponse(await ops_first_run.try_server(face.ctx, given.url), headers=PRIVATE)
