"""One account for several ways in: codes that join two accounts, over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.arguments import STRICT, checked
from comfygate.api.auth import TheAccount
from comfygate.api.face import TheFace
from comfygate.api.json_body import read_object
from comfygate.api.reference import refusals
from comfygate.api.wire import AccountBody, moment
from comfygate.gate import joining

router = APIRouter(tags=["account"])
BODY_BYTES_MAX: Final = 4096


class LinkBody(BaseModel):
    """A code that another account made; letter case and dashes do not matter."""

    model_config = STRICT

    code: str = Field(min_length=1, max_length=100)


class LinkCodeBody(BaseModel):
    """A code to be presented by the account that is to be joined to yours."""

    code: str
    expires_at: datetime


class LinkedBody(BaseModel):
    """The account that both are now, and how many credits came to it."""

    account: AccountBody
    moved: int


@router.post(
    "/gate/v1/account/link-codes",
    operation_id="makeLinkCode",
    status_code=201,
    response_model=LinkCodeBody,
    responses=refusals(401, 403, 429),
)
async def make_link_code(face: TheFace, account: TheAccount) -> Response:
    """A code, good for some minutes and once: whichever account presents it (`/link CODE` in the Telegram
    bot, or `/gate/v1/account/link`) is joined to yours."""
    made = await joining.link_code(face.ctx, account.id)
    body = LinkCodeBody(code=made.code, expires_at=moment(made.expires_at_ms))
    return JSONResponse(body.model_dump(mode="json"), 201, headers={"Cache-Control": "no-store"})


@router.post(
    "/gate/v1/account/link",
    operation_id="linkAccount",
    response_model=LinkedBody,
    responses=refusals(401, 403, 404, 409, 413, 422, 429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": LinkBody.model_json_schema()}},
        }
    },
)
async def link_account(request: Request, face: TheFace, account: TheAccount) -> Response:
    """Join your account to the one that made the code: its keys, credits, jobs and files are that one's from
    then on, and your key opens it. It cannot be undone."""
    given = checked(LinkBody, await read_object(request, bytes_max=BODY_BYTES_MAX))
    done = await joining.join(face.ctx, account.id, given.code)
    body = LinkedBody(account=AccountBody.of(done.account), moved=done.moved)
    return JSONResponse(body.model_dump(mode="json"))
