"""The operator's side over HTTP: the operations of the command line, behind an admin key.

All of it goes through `gate.operate.perform`, so that it is done and recorded as from the command line. What
would let a key run programs on a server (its restart hook, secrets in headers) is not here: that is settings.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import APIRouter, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.arguments import LAX, STRICT, checked, given_of, shape_of, storable
from comfygate.api.face import TheFace
from comfygate.api.json_body import read_object
from comfygate.api.reference import refusals
from comfygate.domain.errors import Forbidden, NotFound, Unauthorized
from comfygate.gate import accounts, operate

PREFIX: Final = "/gate/v1/admin"
BODY_BYTES_MAX: Final = 1024 * 1024
Handler = Callable[["Route", type[BaseModel]], Callable[..., Awaitable[Response]]]
"""Makes the endpoint of a route whose arguments have this shape."""

_bearer = HTTPBearer(
    auto_error=False, scheme_name="AdminKey", description="The admin key: `Authorization: Bearer KEY`."
)


async def admin_of(
    face: TheFace, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> None:
    """Let the admin key through. Raises Unauthorized, and Forbidden for the key of an account."""
    given = credentials.credentials if credentials is not None else ""
    if not given:
        raise Unauthorized("the admin key is needed: send it as 'Authorization: Bearer KEY'")
    if face.admin_key is not None and hmac.compare_digest(_digest(given), _digest(face.admin_key)):
        return
    await accounts.authenticate(face.ctx, given)
    raise Forbidden("this is an account's key; what is here needs the admin key")


def _digest(key: str) -> bytes:
    """Of one length whatever the key's, so that comparing takes the same time."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


router = APIRouter(prefix=PREFIX, tags=["admin"], dependencies=[Security(admin_of)])


@dataclass(frozen=True, slots=True)
class Route:
    """An operation at an address. The names in braces are arguments; the others come in the body, or for GET
    in the query."""

    method: str
    path: str
    operation: str

    @property
    def in_path(self) -> frozenset[str]:
        return frozenset(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


ROUTES: Final = (
    Route("GET", "/accounts", "accounts.list"),
    Route("POST", "/accounts", "accounts.add"),
    Route("POST", "/imports", "accounts.import"),
    Route("POST", "/accounts/{account}/keys", "keys.add"),
    Route("POST", "/accounts/{account}/sign-in-codes", "accounts.sign_in"),
    Route("POST", "/accounts/{account}/tier", "accounts.tier"),
    Route("POST", "/accounts/{account}/role", "accounts.role"),
    Route("POST", "/accounts/{account}/suspend", "accounts.suspend"),
    Route("POST", "/accounts/{account}/restore", "accounts.restore"),
    Route("POST", "/accounts/{account}/sign-out", "accounts.sign_out"),
    Route("GET", "/accounts/{account}/keys", "keys.list"),
    Route("DELETE", "/accounts/{account}/keys/{key}", "keys.revoke"),
    Route("POST", "/accounts/{account}/credits", "credits.grant"),
    Route("GET", "/accounts/{account}/entries", "ledger.show"),
    Route("GET", "/ledger/audit", "ledger.audit"),
    Route("GET", "/codes", "codes.list"),
    Route("POST", "/codes", "codes.make"),
    Route("DELETE", "/codes/{code}", "codes.revoke"),
    Route("GET", "/payments", "payments.list"),
    Route("POST", "/payments/{charge}/refund", "payments.refund"),
    Route("GET", "/workflows", "workflows.list"),
    Route("GET", "/workflows/{name}", "workflows.show"),
    Route("GET", "/servers", "servers.list"),
    Route("POST", "/servers", "servers.add"),
    Route("POST", "/servers/{name}/drain", "servers.drain"),
    Route("POST", "/servers/{name}/resume", "servers.resume"),
    Route("DELETE", "/servers/{name}", "servers.remove"),
    Route("GET", "/lanes", "lanes.list"),
    Route("POST", "/lanes/{lane}/pause", "lanes.pause"),
    Route("POST", "/lanes/{lane}/resume", "lanes.resume"),
    Route("GET", "/eta", "eta.report"),
    Route("GET", "/jobs", "jobs.list"),
    Route("GET", "/jobs/{job}", "jobs.show"),
    Route("GET", "/jobs/{job}/why", "jobs.why"),
    Route("POST", "/jobs/{job}/cancel", "jobs.cancel"),
    Route("POST", "/jobs/{job}/retry", "jobs.retry"),
    Route("GET", "/reviews", "review.list"),
    Route("GET", "/reviews/{job}", "review.show"),
    Route("POST", "/reviews/{job}/release", "review.release"),
    Route("POST", "/reviews/{job}/reject", "review.reject"),
    Route("GET", "/accounts/{account}/suspicions", "review.suspicions"),
    Route("POST", "/accounts/{account}/forgive", "review.forgive"),
    Route("GET", "/audit", "audit.list"),
)


def _handler(route: Route, shape: type[BaseModel]) -> Callable[..., Awaitable[Response]]:
    async def handle(request: Request, face: TheFace) -> Response:
        if not all(storable(value) for value in request.path_params.values()):
            raise NotFound("no account, server, lane or job has this name or id")
        given = await given_in(request, route, shape)
        arguments = {**given_of(checked(shape, given)), **request.path_params}
        answer = await operate.perform(face.ctx, route.operation, arguments, actor="admin")
        # One of them holds a key that is shown this once; none is worth keeping.
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    return handle


async def given_in(request: Request, route: Route, shape: type[BaseModel]) -> Mapping[str, Any]:
    """The arguments that came with the request, but for those in its path."""
    if route.method != "GET":
        body = request.headers.get("content-length", "") not in {"", "0"} or (
            "transfer-encoding" in request.headers
        )
        needs = bool(shape.model_fields) or body
        return await read_object(request, bytes_max=BODY_BYTES_MAX) if needs else {}
    given: dict[str, Any] = dict(request.query_params)
    if "status" in given:
        given["status"] = [
            part for value in request.query_params.getlist("status") for part in value.split(",") if part
        ]
    return given


def described(route: Route, shape: type[BaseModel]) -> dict[str, Any]:
    """What the OpenAPI document says of the arguments."""
    schema = shape.model_json_schema()
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in sorted(route.in_path)
    ]
    if route.method == "GET":
        parameters += [
            {"name": name, "in": "query", "required": False, "schema": body}
            for name, body in schema.get("properties", {}).items()
        ]
        return {"parameters": parameters}
    described: dict[str, Any] = {"parameters": parameters} if parameters else {}
    if shape.model_fields:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {k: v for k, v in schema.items() if k != "title"}}},
        }
    return described


def name_of(route: Route, side: str) -> str:
    """Its operationId on this side of the API."""
    noun, verb = route.operation.split(".")
    return f"{side}{noun.capitalize()}{verb.capitalize()}"


def add(to: APIRouter, route: Route, handler: Handler, side: str) -> None:
    """Serve the route's operation there; `side` begins its operationId."""
    shape = shape_of(route.operation, without=route.in_path, config=LAX if route.method == "GET" else STRICT)
    to.add_api_route(
        route.path,
        handler(route, shape),
        methods=[route.method],
        operation_id=name_of(route, side),
        summary=route.operation,
        description=operate.OPERATIONS[route.operation].__doc__,
        response_model=None,
        responses=refusals(401, 402, 403, 404, 409, 422, 429),
        openapi_extra=described(route, shape),
    )


for _route in ROUTES:
    add(router, _route, _handler, "admin")
