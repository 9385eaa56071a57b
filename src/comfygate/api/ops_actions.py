"""What operators do and look up by name: the operations of the command line, each at its address.

All of it goes through `gate.operate.perform`, in the name of the account that asks. The arguments are those
of `/gate/v1/admin`; lists that grow come from `api.ops_lists` instead.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.admin import ROUTES, Route, add, given_in
from comfygate.api.arguments import checked, given_of, storable
from comfygate.api.face import TheFace
from comfygate.api.ops_auth import PREFIX, PRIVATE, TheOperator
from comfygate.domain.errors import NotFound
from comfygate.gate import operate

router = APIRouter(prefix=PREFIX, tags=["operations"])

ELSEWHERE: Final = frozenset(
    {"accounts.list", "audit.list", "jobs.list", "jobs.show", "ledger.show", "review.list", "servers.list"}
)
"""Read in pages, or as a document, at addresses of `api.ops_lists` and `api.ops_story`."""

ACTIONS: Final = tuple(route for route in ROUTES if route.operation not in ELSEWHERE)


def _handler(route: Route, shape: type[BaseModel]) -> Callable[..., Awaitable[Response]]:
    async def handle(request: Request, face: TheFace, operator: TheOperator) -> Response:
        operator.check(route.operation)
        if not all(storable(value) for value in request.path_params.values()):
            raise NotFound("no account, server, lane or job has this name or id")
        given = await given_in(request, route, shape)
        arguments = {**given_of(checked(shape, given)), **request.path_params}
        answer = await operate.perform(face.ctx, route.operation, arguments, actor=operator.actor)
        return JSONResponse(answer, headers=PRIVATE)

    return handle


for _route in ACTIONS:
    add(router, _route, _handler, "ops")
