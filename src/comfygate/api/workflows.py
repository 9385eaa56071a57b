"""The catalogue over HTTP: look at workflows, ask for a price, order a job (the contract's Job)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.auth import TheAccount
from comfygate.api.bodies import job_body
from comfygate.api.content import CONTENT_POLICY
from comfygate.api.face import Face, IdempotencyKey, TheFace
from comfygate.api.json_body import check_length, read_object
from comfygate.api.multipart import SLACK_BYTES, UploadForm, refused
from comfygate.api.reference import EXAMPLE_ANSWER, ORDER_BODY, QUOTE_BODY, refusals
from comfygate.api.wire import JobBody, QuoteBody, WorkflowEntryBody, WorkflowsBody
from comfygate.domain.errors import InvalidRequest, NotFound
from comfygate.domain.workflow import Order, Workflow
from comfygate.gate import files, ordering
from comfygate.gate.catalogue import read_example
from comfygate.gate.files import Upload
from comfygate.gate.rows import AccountRow
from comfygate.gate.workflow_views import list_json, quote_json, workflow_json

PREFIX: Final = "/gate/v1/workflows"
ORDER_BYTES_MAX: Final = 256 * 1024
"""Largest order without its file."""
FORM_FIELDS: Final = frozenset({"style", "parameters", "input", "file_path"})

router = APIRouter(prefix=PREFIX, tags=["workflows"])


@router.get("", operation_id="listWorkflows", response_model=WorkflowsBody, responses=refusals(401, 403, 429))
async def list_workflows(face: TheFace, account: TheAccount) -> Response:
    """The workflows that you may order, with their styles, parameters, inputs and prices."""
    return JSONResponse({"workflows": list_json(face.ctx, account.tier)})


@router.get(
    "/{name}",
    operation_id="getWorkflow",
    response_model=WorkflowEntryBody,
    responses=refusals(401, 403, 404, 429),
)
async def get_workflow(name: str, face: TheFace, account: TheAccount) -> Response:
    """One workflow. One that is not for your tier answers as one that is not there."""
    return JSONResponse(workflow_json(_visible(face, account, name), account.tier))


@router.get(
    "/{name}/example",
    operation_id="getWorkflowExample",
    response_class=Response,
    responses=EXAMPLE_ANSWER,
)
async def get_workflow_example(
    request: Request,
    name: str,
    face: TheFace,
    account: TheAccount,
    style: Annotated[str, Query(max_length=64, description="Of this style; of the workflow if empty.")] = "",
) -> Response:
    """An example picture of a workflow, or of one of its styles."""
    workflow = _visible(face, account, name)
    if style and style not in ordering.styles_for(workflow, account.tier):
        raise NotFound(f"workflow {workflow.name} has no example in style {style!r}")
    content, kind = await asyncio.to_thread(read_example, face.ctx.shelf.folder, workflow, style)
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {
        "Cache-Control": "private, max-age=3600",
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": CONTENT_POLICY,
    }
    if etag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def _visible(face: Face, account: AccountRow, name: str) -> Workflow:
    workflow = face.ctx.shelf.now().named(name)
    if ordering.may_order(workflow, account.tier):
        return workflow
    return face.ctx.shelf.now().without(name).named(name)


@router.post(
    "/{name}/quote",
    operation_id="quoteWorkflow",
    response_model=QuoteBody,
    responses=refusals(401, 403, 404, 413, 422, 429),
    openapi_extra={"requestBody": QUOTE_BODY},
)
async def quote_workflow(request: Request, name: str, face: TheFace, account: TheAccount) -> Response:
    """What an order would cost you now. The price at submission is what is held; nothing is held here."""
    _visible(face, account, name)
    order = _order(await read_object(request, bytes_max=ORDER_BYTES_MAX))
    return JSONResponse(quote_json(await ordering.quote(face.ctx, account.id, name, order)))


@router.post(
    "/{name}/jobs",
    operation_id="orderWorkflow",
    status_code=201,
    response_model=JobBody,
    responses=refusals(401, 402, 403, 404, 409, 413, 422, 429),
    openapi_extra={"requestBody": ORDER_BODY},
)
async def order_workflow(
    request: Request, name: str, face: TheFace, account: TheAccount, key: IdempotencyKey
) -> Response:
    """Order a job: as JSON with ids of uploaded assets, or in one multipart call with the picture.

    The answer is a Job as that of `POST /api/v2/jobs`: follow it, cancel it and fetch its outputs there.
    """
    workflow = _visible(face, account, name)
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        order = await _uploaded(face, request, account, workflow)
    else:
        order = _order(await read_object(request, bytes_max=ORDER_BYTES_MAX))
    view = await ordering.order_job(face.ctx, account.id, name, order, idempotency_key=key)
    answer = job_body(face, request, view)
    return JSONResponse(answer.model_dump(mode="json"), 201, {"Location": answer.urls.self})


def _order(body: Mapping[str, Any]) -> Order:
    for name in sorted(body.keys() - {"style", "parameters", "inputs"}):
        shown = name[:64] if name.isprintable() else ascii(name)[:64]
        raise InvalidRequest(
            f"{shown} is not a key of this request; it has style, parameters, inputs",
            details={"field": shown},
        )
    style, parameters, inputs = body.get("style"), body.get("parameters"), body.get("inputs")
    if style is not None and not isinstance(style, str):
        raise InvalidRequest("style must be a string", details={"field": "style"})
    for name, given in (("parameters", parameters), ("inputs", inputs)):
        if given is not None and not isinstance(given, dict):
            raise InvalidRequest(f"{name} must be an object", details={"field": name})
    for name, asset_id in (inputs or {}).items():
        if not (isinstance(asset_id, str) and asset_id and asset_id.isprintable()):
            shown = f"inputs.{name[:64] if name.isprintable() else ascii(name)[:64]}"
            raise InvalidRequest(f"{shown} must be the id of an uploaded asset", details={"field": shown})
    return Order(style, parameters or {}, inputs or {})


async def _uploaded(face: Face, request: Request, account: AccountRow, workflow: Workflow) -> Order:
    """Store the file of a form and make an order of the rest. The file becomes an asset of the account's."""
    bytes_max = face.ctx.rules.limits.upload_bytes_max + SLACK_BYTES
    check_length(request, bytes_max=bytes_max)
    form = UploadForm(
        request.headers.get("content-type", ""),
        aiter(request.stream()),
        single=FORM_FIELDS,
        repeated=frozenset(),
        bytes_max=bytes_max,
    )
    await form.up_to_file()

    def described() -> Upload:
        # The order is looked at before the file is kept: what is refused leaves nothing behind.
        order = _form_order(form, workflow, "")
        ordering.checked(workflow, order)
        return Upload(account_id=account.id, file_path=_one(form, "file_path"), tags=("input",))

    minted = await files.store_described(face.ctx, described, form.file())
    return _form_order(form, workflow, minted.asset.id)


def _form_order(form: UploadForm, workflow: Workflow, asset_id: str) -> Order:
    name = _one(form, "input") or next(iter(workflow.inputs), None)
    if name is None:
        raise refused("file", f"has no place: workflow {workflow.name} takes no file; send JSON instead")
    return Order(_one(form, "style"), _form_parameters(form), {name: asset_id})


def _form_parameters(form: UploadForm) -> dict[str, Any]:
    text = _one(form, "parameters")
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refused("parameters", f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise refused("parameters", "must be a JSON object")
    return value


def _one(form: UploadForm, name: str) -> str | None:
    return form.fields.get(name, [None])[0]
