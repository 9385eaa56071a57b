"""How a refusal looks over HTTP: one table from code to status, one envelope for every error there is.

What went wrong on our side is told in one generic sentence with the request's id; the rest is in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import structlog
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.request_ids import request_id_of
from comfygate.domain.errors import (
    GateError,
    NotFound,
    RequestRefused,
    ScreeningUnavailable,
    StoreTrouble,
)

STATUS: Final[Mapping[str, int]] = {
    "asset_in_use": 409,
    "job_not_ended": 409,
    "blob_not_found": 404,
    "conflict": 409,
    "error": 500,
    "forbidden": 403,
    "hash_mismatch": 409,
    "idempotency_key_reuse": 422,
    "insufficient_credits": 402,
    "invalid_request": 422,
    "invalid_workflow": 422,
    "ledger_violation": 500,
    "method_not_allowed": 405,
    "missing_asset": 422,
    "not_found": 404,
    "payload_too_large": 413,
    "queue_full": 429,
    "screened": 422,
    "screening_unavailable": 503,
    "unreadable_picture": 422,
    "range_not_satisfiable": 416,
    "settings_invalid": 500,
    "rate_limited": 429,
    "too_many_streams": 429,
    "unauthorized": 401,
    "upstream_error": 500,
    "workflow_format_ui": 422,
}
"""Error code to HTTP status. Codes of status 500 are shown as `upstream_error`, whatever they are inside."""

GENERIC: Final = "Something failed on the server's side; the operator can find it by the request id."
STORE_TROUBLE: Final = (
    "The database does not answer right now. Try again; whether a write was done is known once it does."
)
NOT_SCREENED: Final = (
    "Pictures cannot be screened right now, so no job that needs it is taken. Try again later."
)
RETRY_AFTER_SECONDS: Final = 5
"""What a caller is told to wait when the refusal itself says nothing."""
VALUE_CHARS_MAX: Final = 100

log = structlog.get_logger(__name__)


class MethodNotAllowed(RequestRefused):
    """The address exists, the method does not."""

    code = "method_not_allowed"
    next_step = "Use one of the methods named in the Allow header."


class RangeNotSatisfiable(RequestRefused):
    """The range of bytes asked for lies outside the file."""

    code = "range_not_satisfiable"
    next_step = "Ask for a range within the size that Content-Range names."


def envelope(code: str, message: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The body of every error."""
    return {"error": {"code": code, "message": message, "details": dict(details) if details else None}}


def refusal(request: Request, error: GateError) -> Response:
    """The answer to a request that was refused, or that we failed at."""
    status = STATUS.get(error.code, 500)
    if isinstance(error, StoreTrouble):
        # The operator is told by whoever waits for the database; callers are told when to come again.
        log.warning("request.store_trouble", error=error.message)
        body = envelope("upstream_error", STORE_TROUBLE, {"request_id": request_id_of(request)})
        return JSONResponse(body, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
    if isinstance(error, ScreeningUnavailable):
        # The reason, which names paths, is for the operator.
        log.warning("request.not_screened", error=error.message)
        headers = {"Retry-After": str(error.retry_after_seconds or RETRY_AFTER_SECONDS)}
        return JSONResponse(envelope(error.code, NOT_SCREENED), status, headers)
    if status >= 500:
        log.error("request.failed", code=error.code, error=str(error), exc_info=error)
        return failure(request)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="comfygate"'
    if status == 429:
        headers["Retry-After"] = str(error.retry_after_seconds or RETRY_AFTER_SECONDS)
    return JSONResponse(envelope(error.code, error.message, error.details), status, headers)


def failure(request: Request) -> Response:
    """The answer when we failed: nothing of the reason, only where the operator finds it."""
    return JSONResponse(envelope("upstream_error", GENERIC, {"request_id": request_id_of(request)}), 500)


async def on_gate_error(request: Request, error: Exception) -> Response:
    """A use case refused."""
    assert isinstance(error, GateError)  # noqa: S101 - registered for this type alone
    return refusal(request, error)


async def on_invalid(request: Request, error: Exception) -> Response:
    """A path, query or header value of the wrong shape."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this type alone
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    value = first.get("input")
    shown = f" is {ascii(value)[:VALUE_CHARS_MAX]}" if isinstance(value, str | int | float) else ""
    message = f"{field}{shown}: {first['msg'][0].lower()}{first['msg'][1:]}"
    return JSONResponse(envelope("invalid_request", message, {"field": field}), 422)


async def on_http_error(request: Request, error: Exception) -> Response:
    """The framework's own: no such address, no such method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type alone
    if error.status_code == 405:
        return _method_not_allowed(request, error.headers)
    if error.status_code == 404:
        return refusal(request, NotFound("there is nothing at this address; see /docs for those there are"))
    if error.status_code >= 500:
        return failure(request)
    return JSONResponse(envelope("invalid_request", "the request cannot be understood"), error.status_code)


def _method_not_allowed(request: Request, headers: Mapping[str, str] | None) -> Response:
    methods = request.scope.get("comfygate.methods") or [(headers or {}).get("Allow", "")]
    allow = {"Allow": ", ".join(methods)}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=allow)
    message = f"{request.method} does not work at this address; use {allow['Allow']}"
    return JSONResponse(envelope("method_not_allowed", message), 405, allow)
