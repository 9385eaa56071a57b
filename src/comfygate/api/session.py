"""Signing in and out on the web. A session is a cookie that no script reads and no other site can use."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, Self

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.arguments import STRICT, checked
from comfygate.api.auth import SESSION_COOKIE, TheAccount, from_own_page
from comfygate.api.face import Face, TheFace
from comfygate.api.json_body import read_object
from comfygate.api.reference import refusals
from comfygate.api.wire import AccountBody, moment
from comfygate.domain.staff import Role
from comfygate.gate import signing_in, staff
from comfygate.gate.rows import AccountRow

router = APIRouter(tags=["account"])
BODY_BYTES_MAX: Final = 4096
PRIVATE: Final = {"Cache-Control": "no-store"}


class SignInBody(BaseModel):
    """A one-time code from a sign-in link, or an API key; one of them."""

    model_config = STRICT

    code: str | None = Field(None, min_length=1, max_length=200)
    api_key: str | None = Field(None, min_length=1, max_length=200)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.code is None) == (self.api_key is None):
            message = "send either code or api_key"
            raise ValueError(message)
        return self


class SessionBody(BaseModel):
    """Who is signed in, in which role, and until when (null: by an API key, which does not run out)."""

    account: AccountBody
    role: Role
    expires_at: datetime | None


class OpenSessionBody(BaseModel):
    """One of your sessions. `this`: the one that asks."""

    id: str
    created_at: datetime
    expires_at: datetime
    this: bool


class SessionsBody(BaseModel):
    """Your sessions in force, newest first."""

    sessions: list[OpenSessionBody]


class SignInLinkBody(BaseModel):
    """An address that signs in once."""

    url: str
    expires_at: datetime


@router.post(
    "/gate/v1/account/sign-in-links",
    operation_id="makeSignInLink",
    status_code=201,
    response_model=SignInLinkBody,
    responses=refusals(401, 403, 429),
)
async def make_sign_in_link(request: Request, face: TheFace, account: TheAccount) -> Response:
    """An address that signs in to the web as you, good for some minutes and once. A new one ends the one
    before."""
    code = await signing_in.make_code(face.ctx, account.id)
    body = SignInLinkBody(
        url=signing_in.link_of(face.base_url(request), code), expires_at=moment(code.expires_at_ms)
    )
    return JSONResponse(body.model_dump(mode="json"), 201, headers=PRIVATE)


@router.post(
    "/gate/v1/session",
    operation_id="signIn",
    status_code=201,
    response_model=SessionBody,
    responses=refusals(401, 403, 404, 413, 422, 429),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": SignInBody.model_json_schema()}},
        }
    },
)
async def sign_in(request: Request, face: TheFace) -> Response:
    """Sign in: the answer sets a cookie that stands for the API key from then on. From a browser it works on
    pages of this service alone."""
    from_own_page(request, face)
    given = checked(SignInBody, await read_object(request, bytes_max=BODY_BYTES_MAX))
    if given.code is not None:
        session = await signing_in.by_code(face.ctx, given.code)
    else:
        session = await signing_in.by_key(face.ctx, given.api_key or "")
    body = SessionBody(
        account=AccountBody.of(session.account),
        role=await role_of(face, session.account),
        expires_at=moment(session.expires_at_ms),
    )
    answer = JSONResponse(body.model_dump(mode="json"), 201, headers=PRIVATE)
    left = max((session.expires_at_ms - face.ctx.now_ms()) // 1000, 1)
    _set_cookie(answer, request, face, session.token, left)
    return answer


async def role_of(face: Face, account: AccountRow) -> Role:
    """What the account may see beside its own."""
    return await staff.role_of(face.ctx, account.id)


@router.get(
    "/gate/v1/session", operation_id="getSession", response_model=SessionBody, responses=refusals(401, 403)
)
async def get_session(request: Request, face: TheFace, account: TheAccount) -> Response:
    """Who asks, and in which role."""
    own = [one for one in await _sessions(request, face, account) if one.this]
    body = SessionBody(
        account=AccountBody.of(account),
        role=await role_of(face, account),
        expires_at=own[0].expires_at if own else None,
    )
    return JSONResponse(body.model_dump(mode="json"), headers=PRIVATE)


@router.get(
    "/gate/v1/sessions",
    operation_id="listSessions",
    response_model=SessionsBody,
    responses=refusals(401, 403),
)
async def list_sessions(request: Request, face: TheFace, account: TheAccount) -> Response:
    """Where you are signed in on the web."""
    body = SessionsBody(sessions=await _sessions(request, face, account))
    return JSONResponse(body.model_dump(mode="json"), headers=PRIVATE)


async def _sessions(request: Request, face: Face, account: AccountRow) -> list[OpenSessionBody]:
    token = request.cookies.get(SESSION_COOKIE, "")
    return [
        OpenSessionBody(
            id=one.id,
            created_at=moment(one.created_at_ms),
            expires_at=moment(one.expires_at_ms),
            this=one.this,
        )
        for one in await signing_in.sessions_of(face.ctx, account.id, token)
    ]


@router.delete(
    "/gate/v1/sessions/{id}",
    operation_id="endSession",
    status_code=204,
    response_class=Response,
    responses=refusals(401, 403, 404),
)
async def end_session(id: str, face: TheFace, account: TheAccount) -> Response:  # noqa: A002
    """Sign out one of your sessions, on whatever device it is."""
    await signing_in.end_session(face.ctx, account.id, id)
    return Response(status_code=204, headers=PRIVATE)


@router.delete(
    "/gate/v1/session",
    operation_id="signOut",
    status_code=204,
    response_class=Response,
    responses=refusals(401, 403),
)
async def sign_out(
    request: Request,
    face: TheFace,
    account: TheAccount,
    of: Literal["this", "all"] = Query("this", description="all: every device of the account."),
) -> Response:
    """Sign out: this session, or with `of=all` every one of the account."""
    if of == "all":
        await signing_in.sign_out_everywhere(face.ctx, account.id)
    elif token := request.cookies.get(SESSION_COOKIE):
        await signing_in.sign_out(face.ctx, token)
    answer = Response(status_code=204, headers=PRIVATE)
    _set_cookie(answer, request, face, "", 0)
    return answer


def _set_cookie(answer: Response, request: Request, face: Face, token: str, seconds: int) -> None:
    answer.set_cookie(
        SESSION_COOKIE,
        token,
        max_age=seconds,
        path=f"{face.root_path}/",
        secure=face.base_url(request).startswith("https:"),
        httponly=True,
        samesite="lax",
    )
