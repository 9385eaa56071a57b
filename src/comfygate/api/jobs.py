"""Jobs over HTTP: submit, look, list, cancel, and the graph behind one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.auth import TheAccount
from comfygate.api.bodies import job_body, job_item_body
from comfygate.api.face import API, Face, IdempotencyKey, TheFace, known_id
from comfygate.api.json_body import SLACK_BYTES, read_object
from comfygate.api.reference import JOB_EXAMPLE_BODY, refusals
from comfygate.api.wire import JobBody, JobListBody, WorkflowBody
from comfygate.domain.errors import InvalidRequest
from comfygate.gate import submit, views
from comfygate.gate.rows import AccountRow
from comfygate.gate.submit import Submission

BODY_KEYS: Final = frozenset({"workflow", "extra_data"})
RESERVED_KEYS: Final = frozenset({"webhook_url", "inputs"})
EXTRA_DATA_KEYS: Final = frozenset({"api_key_comfy_org"})
PARTNER_KEY_CHARS_MAX: Final = 4096
LIMIT_DEFAULT: Final = 20

router = APIRouter(prefix=API, tags=["jobs"])


@router.post(
    "/jobs",
    operation_id="postJobs",
    status_code=201,
    response_model=JobBody,
    responses=refusals(401, 402, 403, 413, 422, 429),
    openapi_extra={"requestBody": JOB_EXAMPLE_BODY},
)
async def post_job(
    request: Request,
    face: TheFace,
    account: TheAccount,
    key: IdempotencyKey,
    lane: Annotated[
        str | None, Query(max_length=64, description="Run in this lane instead of the one the graph says.")
    ] = None,
) -> Response:
    """Submit a graph in API format. The answer means: checked, paid for, queued and written to disk.

    The graph's save nodes say which lane it goes to; `lane` overrides that (ours, not in Comfy API v2). What
    is refused costs nothing and leaves the Idempotency-Key free.
    """
    return await submitted(request, face, account, key, lane)


async def submitted(
    request: Request, face: Face, account: AccountRow, key: str | None, lane: str | None
) -> Response:
    """Submit the graph in the body and say what came of it. Raises what reading it and `submit` raise."""
    limit = face.ctx.rules.limits.graph_bytes_max + SLACK_BYTES
    body = await read_object(request, bytes_max=limit)
    _check_keys(body)
    wanted = Submission(
        account_id=account.id,
        workflow=body["workflow"],
        lane=lane,
        idempotency_key=key,
        extra_data=_extra_data(body.get("extra_data")),
    )
    view = await submit.submit(face.ctx, wanted)
    answer = job_body(face, request, view)
    # As JSONResponse would write it: no number in it is broken.
    written = answer.model_dump_json().encode()
    return Response(written, 201, {"Location": answer.urls.self}, media_type="application/json")


def _check_keys(body: Mapping[str, Any]) -> None:
    for name in sorted(body.keys() - BODY_KEYS):
        shown = name[:64] if name.isprintable() else ascii(name)[:64]
        why = "is reserved and not served yet" if name in RESERVED_KEYS else "is not a key of this request"
        raise InvalidRequest(f"{shown} {why}; leave it out", details={"field": shown})
    if "workflow" not in body:
        raise InvalidRequest("workflow is missing", details={"field": "workflow"})


def _extra_data(given: object) -> dict[str, str] | None:
    """The one key that may go along to the server. Raises InvalidRequest; never repeats a value."""
    if given is None:
        return None
    if not isinstance(given, dict):
        raise InvalidRequest("extra_data must be an object", details={"field": "extra_data"})
    known = ", ".join(sorted(EXTRA_DATA_KEYS))
    for name, value in given.items():
        shown = f"extra_data.{name[:64] if name.isprintable() else ascii(name)[:64]}"
        if name not in EXTRA_DATA_KEYS:
            raise InvalidRequest(f"{shown} is not known; only {known} is", details={"field": shown})
        if (
            not isinstance(value, str)
            or not 0 < len(value) <= PARTNER_KEY_CHARS_MAX
            or not value.isprintable()
        ):
            raise InvalidRequest(
                f"{shown} must be 1 to {PARTNER_KEY_CHARS_MAX} printable characters", details={"field": shown}
            )
    return dict(given)


@router.get("/jobs", operation_id="listJobs", response_model=JobListBody, responses=refusals(401, 403, 422))
async def list_jobs(
    request: Request,
    face: TheFace,
    account: TheAccount,
    status: Annotated[
        list[str] | None,
        Query(description="Only these statuses: several by repeating the parameter, or with commas."),
    ] = None,
    limit: Annotated[int, Query(description="Jobs in a page.", ge=1, le=10_000)] = LIMIT_DEFAULT,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the page before.", max_length=64)
    ] = None,
) -> Response:
    """Your jobs, newest first, a page at a time."""
    for name in request.query_params:
        if name.startswith("metadata"):
            raise InvalidRequest("metadata: jobs carry no labels here", details={"field": "metadata"})
    statuses = [part for value in status or [] for part in value.split(",") if part]
    page = await views.list_jobs(face.ctx, account.id, statuses=statuses, limit=limit, cursor=cursor)
    body = JobListBody(
        jobs=[job_item_body(face, request, view) for view in page.jobs], next_cursor=page.next_cursor
    )
    return JSONResponse(body.model_dump(mode="json"))


@router.get("/jobs/{id}", operation_id="getJob", response_model=JobBody, responses=refusals(401, 403, 404))
async def get_job(request: Request, id: str, face: TheFace, account: TheAccount) -> Response:  # noqa: A002
    """A job as it stands: status, place in line, progress, and once it succeeded everything it made."""
    view = await views.get_job(face.ctx, known_id("job", id), account.id)
    return JSONResponse(job_body(face, request, view).model_dump(mode="json"))


@router.get(
    "/jobs/{id}/workflow",
    operation_id="getJobWorkflow",
    response_model=WorkflowBody,
    responses=refusals(401, 403, 404),
)
async def get_job_workflow(id: str, face: TheFace, account: TheAccount) -> Response:  # noqa: A002
    """The graph as you submitted it. Never the one with our file names in it, never `extra_data`."""
    workflow = await views.get_workflow(face.ctx, known_id("job", id), account.id)
    return JSONResponse({"workflow": workflow, "format": "api"})


@router.post(
    "/jobs/{id}/cancel", operation_id="cancelJob", response_model=JobBody, responses=refusals(401, 403, 404)
)
async def cancel_job(request: Request, id: str, face: TheFace, account: TheAccount) -> Response:  # noqa: A002
    """Ask for a job to be canceled, and see where it stands.

    A queued job is canceled and refunded at once; a running one is `canceling` until its server let go. Once
    a job has ended this changes nothing.
    """
    view = await submit.cancel(face.ctx, known_id("job", id), account.id)
    return JSONResponse(job_body(face, request, view).model_dump(mode="json"))
