"""Assets over HTTP: upload, mint from a hash, look, download by ranges, delete."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Header
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from comfygate.api.auth import TheAccount, TheReader
from comfygate.api.bodies import asset_body, created_asset_body
from comfygate.api.content import content_answer
from comfygate.api.face import API, IdempotencyKey, TheFace, known_id
from comfygate.api.json_body import SLACK_BYTES as JSON_BYTES_MAX
from comfygate.api.json_body import check_length, read_object
from comfygate.api.multipart import SLACK_BYTES, UploadForm, refused
from comfygate.api.reference import CONTENT_ANSWERS, FROM_HASH_BODY, UPLOAD_BODY, refusals
from comfygate.api.wire import AssetBody, CreatedAssetBody, FromHashBody
from comfygate.domain.errors import InvalidRequest
from comfygate.gate import files
from comfygate.gate.files import Minted, Upload

SINGLE: Final = frozenset({"content_type", "file_path", "expected_hash", "expires_in"})
REPEATED: Final = frozenset({"tags"})

router = APIRouter(prefix=API, tags=["assets"])


def _created(face: TheFace, request: Request, minted: Minted) -> Response:
    body = created_asset_body(face, request, minted)
    headers = {"Location": face.path(f"/assets/{minted.asset.id}")}
    return JSONResponse(body.model_dump(mode="json"), 201 if minted.created_new else 200, headers)


@router.post(
    "/assets",
    operation_id="postAssets",
    status_code=201,
    response_model=CreatedAssetBody,
    responses={
        200: {
            "model": CreatedAssetBody,
            "description": "You had these bytes already; a new record over them.",
        },
        **refusals(401, 403, 409, 413, 422),
    },
    openapi_extra={"requestBody": UPLOAD_BODY},
)
async def post_asset(request: Request, face: TheFace, account: TheAccount, key: IdempotencyKey) -> Response:
    """Upload a file. It goes to disk as it comes; what is refused leaves nothing behind."""
    bytes_max = face.ctx.rules.limits.upload_bytes_max + SLACK_BYTES
    check_length(request, bytes_max=bytes_max)
    form = UploadForm(
        request.headers.get("content-type", ""),
        aiter(request.stream()),
        single=SINGLE,
        repeated=REPEATED,
        bytes_max=bytes_max,
    )
    await form.up_to_file()
    # What came before the file is judged before the file is read; what comes after it, after.
    files.check_upload(_described(form, account.id, key))
    minted = await files.store_described(face.ctx, lambda: _complete(form, account.id, key), form.file())
    return _created(face, request, minted)


def _complete(form: UploadForm, account_id: str, key: str | None) -> Upload:
    for name in ("content_type", "file_path"):
        if name not in form.fields:
            raise refused(name, "is missing")
    return _described(form, account_id, key)


def _described(form: UploadForm, account_id: str, key: str | None) -> Upload:
    def one(name: str) -> str | None:
        return form.fields.get(name, [None])[0]

    expires_in = one("expires_in")
    return Upload(
        account_id=account_id,
        file_path=one("file_path"),
        content_type=one("content_type"),
        tags=tuple(form.fields.get("tags", ())),
        expires_in=None if expires_in is None else _whole_number("expires_in", expires_in),
        expected_hash=one("expected_hash"),
        idempotency_key=key,
    )


def _whole_number(field: str, text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
        raise refused(field, "must be a whole number of seconds")
    return int(text)


@router.post(
    "/assets/from-hash",
    operation_id="assetFromHash",
    status_code=201,
    response_model=CreatedAssetBody,
    responses={
        200: {"model": CreatedAssetBody, "description": "The same record was there; its life is extended."},
        **refusals(401, 403, 404, 413, 422),
    },
    openapi_extra={"requestBody": FROM_HASH_BODY},
)
async def asset_from_hash(request: Request, face: TheFace, account: TheAccount) -> Response:
    """Make a record over bytes that you uploaded or made before, without sending them again."""
    given = await read_object(request, bytes_max=JSON_BYTES_MAX)
    try:
        wanted = FromHashBody.model_validate(given, strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])[:64]
        shown = field if field.isprintable() else ascii(field)
        raise InvalidRequest(f"{shown}: {first['msg'].lower()}", details={"field": shown}) from None
    upload = Upload(
        account_id=account.id,
        file_path=wanted.file_path,
        tags=tuple(wanted.tags),
        expires_in=wanted.expires_in,
    )
    return _created(face, request, await files.mint_from_hash(face.ctx, upload, wanted.hash))


@router.head(
    "/assets/by-hash/{hash}",
    operation_id="headAssetByHash",
    responses={200: {"description": "You can mint from these bytes."}, **refusals(401, 403, 404)},
)
async def head_asset_by_hash(hash: str, face: TheFace, account: TheAccount) -> Response:  # noqa: A002
    """Whether `from-hash` would find these bytes for you. Bytes of others are never found."""
    return Response(status_code=200 if await files.has_hash(face.ctx, account.id, hash) else 404)


@router.get(
    "/assets/{id}", operation_id="getAsset", response_model=AssetBody, responses=refusals(401, 403, 404)
)
async def get_asset(request: Request, id: str, face: TheFace, account: TheAccount) -> Response:  # noqa: A002
    """A file of yours, with a fresh address of its bytes."""
    asset = await files.get_asset(face.ctx, known_id("asset", id), account.id)
    return JSONResponse(asset_body(face, request, asset).model_dump(mode="json"))


@router.delete(
    "/assets/{id}", operation_id="deleteAsset", status_code=204, responses=refusals(401, 403, 404, 409)
)
async def delete_asset(id: str, face: TheFace, account: TheAccount) -> Response:  # noqa: A002
    """Delete a record. Its bytes go when no other record has them; a job that needs it keeps it."""
    await files.delete_asset(face.ctx, known_id("asset", id), account.id)
    return Response(status_code=204)


@router.get("/assets/{id}/content", operation_id="getAssetContent", responses=CONTENT_ANSWERS)
async def get_asset_content(
    request: Request,
    id: str,  # noqa: A002
    face: TheFace,
    reader: TheReader,
    range: Annotated[  # noqa: A002 - the header's name
        str | None, Header(description="One range of bytes, such as `bytes=0-1023` or `bytes=-500`.")
    ] = None,
) -> Response:
    """The bytes, by key or by signed address. Several ranges at once are answered with all of it."""
    asset = await files.get_asset(face.ctx, known_id("asset", id), reader)
    size = await files.stored_size(face.ctx, asset)
    return content_answer(
        asset,
        size,
        lambda start, end: files.read_bytes(face.ctx, asset, start, end),
        method=request.method,
        range_header=range,
        if_range=request.headers.get("if-range"),
        if_none_match=request.headers.get("if-none-match"),
    )
