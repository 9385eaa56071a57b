"""Codes that the operator gave out, redeemed over HTTP."""

from __future__ import annotations

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
from comfygate.gate import purse

router = APIRouter(tags=["account"])
BODY_BYTES_MAX: Final = 4096


class RedeemBody(BaseModel):
    """A code to redeem; letter case and dashes do not matter."""

    model_config = STRICT

    code: str = Field(min_length=1, max_length=100)


class RedeemedBody(BaseModel):
    """What a code brought; `again`: this account had redeemed it before, and nothing was added."""

    credits: int
    again: bool
    available: int


@router.post(
    "/gate/v1/account/redeem",
    operation_id="redeemCode",
    response_model=RedeemedBody,
    responses=refusals(401, 403, 404, 413, 422, 429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": RedeemBody.model_json_schema()}},
        }
    },
)
async def redeem_code(request: Request, face: TheFace, account: TheAccount) -> Response:
    """Bring the credits of a code to your account; a code brings them once."""
    given = checked(RedeemBody, await read_object(request, bytes_max=BODY_BYTES_MAX))
    done = await purse.redeem(face.ctx, account.id, given.code)
    body = RedeemedBody(credits=done.credits, again=done.again, available=done.account.balance.available)
    return JSONResponse(body.model_dump(mode="json"))
