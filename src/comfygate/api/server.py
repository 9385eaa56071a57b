"""Puts the HTTP face together: routes, errors, request ids, and pages that need no other host."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Match

from comfygate.api import (
    account,
    account_events,
    admin,
    assets,
    cards,
    download,
    events,
    jobs,
    joining,
    ops,
    redeem,
    session,
    workflows,
)
from comfygate.api.direct import DirectSubmissions
from comfygate.api.docs_page import CONTENT_POLICY, docs_page
from comfygate.api.errors import failure, on_gate_error, on_http_error, on_invalid
from comfygate.api.face import Face
from comfygate.api.request_ids import RequestIds
from comfygate.domain.errors import GateError
from comfygate.gate.context import Context
from comfygate.gate.files import UrlSigner
from comfygate.gate.ops_board import Board
from comfygate.version import VERSION

ABOUT = """Run ComfyUI workflows: upload inputs, submit a graph, follow it live, fetch what it made.

The operations under `/api/v2` follow Comfy API v2, so its official clients work here unchanged. Those under
`/gate/v1` are our own: credits, ledger and lanes, and the operator's side where it is switched on. Send your
API key as `Authorization: Bearer KEY`."""


def create_api(
    ctx: Context,
    *,
    public_url: str = "",
    root_path: str = "",
    signer: UrlSigner,
    admin_key: str | None = None,
) -> FastAPI:
    """The HTTP face of a gate, as an ASGI application.

    `public_url` is where clients reach us, taken from each request when empty; `root_path` is a prefix that a
    proxy strips. Without an `admin_key` nothing of the operator's is served. At shutdown call `end_streams`,
    or open event streams hold it up.
    """
    api = bare_app("comfygate", ABOUT)
    api.root_path = root_path
    face = Face(ctx, signer, public_url.rstrip("/"), root_path.rstrip("/"), admin_key)
    api.state.face = face
    # Inside of the request ids: `add_middleware` would put it around them.
    api.user_middleware.append(Middleware(DirectSubmissions, face=face))
    api.state.board = Board(ctx)
    routers = [
        assets.router,
        jobs.router,
        events.router,
        workflows.router,
        account.router,
        redeem.router,
        joining.router,
        session.router,
        *ops.routers,
        cards.router,
        account_events.router,
        download.router,
    ]
    routers.append(pages)
    if admin_key is not None:
        routers.append(admin.router)
    for router in routers:
        # As they are: to include a router would build each of its routes anew for every application.
        api.router.routes.extend(_with_heads(router).routes)
    return api


def end_streams(api: FastAPI) -> None:
    """End every live event stream, so that the server can stop."""
    face: Face = api.state.face
    face.stopping.set()


def bare_app(title: str, about: str) -> FastAPI:
    """An application without routes whose every error has our envelope and whose every answer has an id."""
    app = FastAPI(
        title=title,
        description=about,
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        # Traces and metrics are the gateway's own; the framework would look for others at every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_exception_handler(GateError, on_gate_error)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_middleware(RequestIds, failure=failure)
    return app


async def _on_http_error(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        request.scope["comfygate.methods"] = _methods_here(request)
    return await on_http_error(request, error)


def _methods_here(request: Request) -> list[str]:
    """Every method that some route has at this address."""
    found = {"OPTIONS"}
    for route in request.app.router.routes:
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE:
            found |= set(route.methods or ())
    return sorted(found)


_NO_HEAD = ("/events", "/stream", ".zip")


def _with_heads(router: APIRouter) -> APIRouter:
    """The router, with HEAD wherever there is GET; but a stream has no head worth opening it for."""
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    headed = {route.path for route in routes if "HEAD" in (route.methods or ())}
    for route in routes:
        if "GET" in (route.methods or ()) and route.path not in headed and not route.path.endswith(_NO_HEAD):
            router.add_api_route(
                route.path.removeprefix(router.prefix),
                route.endpoint,
                methods=["HEAD"],
                include_in_schema=False,
                response_model=None,
            )
    return router


pages = APIRouter(include_in_schema=False)


@pages.get("/openapi.json")
async def openapi_document(request: Request) -> Response:
    """The OpenAPI document of this face."""
    return JSONResponse(_document(request))


@pages.get("/docs")
async def docs(request: Request) -> Response:
    """The reference as one page."""
    return HTMLResponse(docs_page(_document(request)), headers={"Content-Security-Policy": CONTENT_POLICY})


def _document(request: Request) -> dict[str, Any]:
    document = dict(request.app.openapi())
    face: Face = request.app.state.face
    document["servers"] = [{"url": face.base_url(request)}]
    return document
