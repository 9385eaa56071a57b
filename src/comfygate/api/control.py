"""The control channel of a running service: the operator's commands, by name, for this machine alone.

Whoever holds the token may do everything that the command line may. Errors come in the envelope of the API,
with `next_step` beside the code; what exit status a command makes of a code is the command's own affair.
"""

from __future__ import annotations

import hmac
import inspect
import ipaddress
import typing
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.errors import STATUS, envelope, refusal
from comfygate.api.json_body import read_object
from comfygate.api.server import bare_app
from comfygate.domain.errors import Forbidden, GateError, InvalidRequest, NotFound, Unauthorized
from comfygate.gate import operate
from comfygate.gate.context import Context

BODY_BYTES_MAX: Final = 1024 * 1024
_STRICT: Final = ConfigDict(extra="forbid", strict=True)

T = TypeVar("T", bound=BaseModel)


class Command(BaseModel):
    """What is asked: the operation's name and its arguments by name."""

    model_config = _STRICT

    operation: str
    arguments: dict[str, Any] = {}


def create_control(ctx: Context, token: str) -> FastAPI:
    """The control channel as an ASGI application; serve it on a loopback address only."""
    app = bare_app("comfygate control", "")
    shapes = {name: _shape(name, operation) for name, operation in operate.OPERATIONS.items()}

    async def control(request: Request) -> Response:
        try:
            _check_caller(request, token)
            command = _checked(Command, await read_object(request, bytes_max=BODY_BYTES_MAX))
            return JSONResponse(await _perform(ctx, shapes, command))
        except GateError as error:
            return _refusal(request, error)

    app.add_api_route("/control", control, methods=["POST"], response_model=None)
    return app


async def _perform(ctx: Context, shapes: Mapping[str, type[BaseModel]], command: Command) -> dict[str, Any]:
    shape = shapes.get(command.operation)
    if shape is None:
        raise NotFound(
            f"no operation is called {command.operation[:64]!r}; it has {', '.join(sorted(shapes))}"
        )
    arguments = _checked(shape, command.arguments)
    given = {name: getattr(arguments, name) for name in arguments.model_fields_set}
    return await operate.perform(ctx, command.operation, given, actor="control")


def _shape(name: str, operation: operate.Operation) -> type[BaseModel]:
    """The arguments of an operation, as its own signature declares them."""
    hints = typing.get_type_hints(operation)
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(operation).parameters.values())[1:]:
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    return create_model(name.replace(".", "_"), __config__=_STRICT, **fields)


def _checked(shape: type[T], given: Mapping[str, Any]) -> T:
    try:
        return shape.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])[:64]
        raise InvalidRequest(f"{field}: {first['msg'].lower()}", details={"field": field}) from None


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
