"""The control channel of a running service: the operator's commands, by name, for this machine alone.

Whoever holds the token may do everything that the command line may. Errors come in the envelope of the API,
with `next_step` beside the code; what exit status a command makes of a code is the command's own affair.
"""

from __future__ import annotations

import hmac
import ipaddress
from functools import cache
from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.arguments import STRICT, checked, given_of, shape_of
from comfygate.api.errors import STATUS, envelope, refusal
from comfygate.api.json_body import read_object
from comfygate.api.server import bare_app
from comfygate.domain.errors import Forbidden, GateError, NotFound, Unauthorized
from comfygate.gate import operate
from comfygate.gate.context import Context

BODY_BYTES_MAX: Final = 1024 * 1024


class Command(BaseModel):
    """What is asked: the operation's name and its arguments by name."""

    model_config = STRICT

    operation: str
    arguments: dict[str, Any] = {}


def create_control(ctx: Context, token: str) -> FastAPI:
    """The control channel as an ASGI application; serve it on a loopback address only."""
    app = bare_app("comfygate control", "")

    async def control(request: Request) -> Response:
        try:
            _check_caller(request, token)
            command = checked(Command, await read_object(request, bytes_max=BODY_BYTES_MAX))
            return JSONResponse(await _perform(ctx, command))
        except GateError as error:
            return _refusal(request, error)

    app.add_api_route("/control", control, methods=["POST"], response_model=None)
    return app


async def _perform(ctx: Context, command: Command) -> dict[str, Any]:
    if command.operation not in operate.OPERATIONS:
        known = ", ".join(sorted(operate.OPERATIONS))
        raise NotFound(f"no operation is called {command.operation[:64]!r}; it has {known}")
    given = given_of(checked(_shape(command.operation), command.arguments))
    return await operate.perform(ctx, command.operation, given, actor="control")


@cache
def _shape(operation: str) -> type[BaseModel]:
    """Made when it is first asked for: to make all of them takes 60 ms of processor time at each start."""
    return shape_of(operation)


def _check_caller(request: Request, token: str) -> None:
    if request.client is not None and not ipaddress.ip_address(request.client.host).is_loopback:
        raise Forbidden("the control channel is for this machine alone")
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        raise Unauthorized("the control token is missing or wrong; commands read it from the data directory")


def _refusal(request: Request, error: GateError) -> Response:
    if STATUS.get(error.code, 500) >= 500:
        return refusal(request, error)
    body = envelope(error.code, error.message, error.details)
    body["error"]["next_step"] = error.next_step
    return JSONResponse(body, STATUS[error.code])
