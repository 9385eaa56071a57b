"""Assets: upload, mint from a hash, look, read, delete; and the signed addresses of their bytes."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from comfygate.assets.blobs import StoredBlob
from comfygate.assets.sniff import sniff
from comfygate.domain.errors import BlobNotFound, GateError, HashMismatch, InvalidRequest, NotFound
from comfygate.domain.screening import is_picture
from comfygate.gate.context import Context
from comfygate.store import assets as assets_store
from comfygate.store import idempotency
from comfygate.store.engine import Connection
from comfygate.store.rows import AssetRow, BlobRow

EXPIRES_IN_SECONDS_MIN = 60
EXPIRES_IN_SECONDS_MAX = 7 * 86_400
FILE_PATH_CHARS_MAX = 255
TAGS_MAX = 32
TAG_CHARS_MAX = 64
CONTENT_TYPE_SHAPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}")
HASH_SHAPE = re.compile(r"blake3:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Upload:
    """What a caller says of the bytes it sends. `expires_in` in seconds."""

    account_id: str
    file_path: str | None = None
    content_type: str | None = None
    tags: Sequence[str] = ()
    expires_in: int | None = None
    expected_hash: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Minted:
    """An asset, and whether its bytes are new to the account."""

    asset: AssetRow
    created_new: bool


def check_upload(upload: Upload) -> None:
    """Refuse a description outside its limits, before any byte is stored. Raises InvalidRequest."""
    if upload.expires_in is not None and not (
        EXPIRES_IN_SECONDS_MIN <= upload.expires_in <= EXPIRES_IN_SECONDS_MAX
    ):
        raise _refused(
            "expires_in",
            f"{upload.expires_in}: from {EXPIRES_IN_SECONDS_MIN} to {EXPIRES_IN_SECONDS_MAX} seconds",
        )
    path = upload.file_path
    if path is not None:
        parts = path.split("/")
        if not 0 < len(path) <= FILE_PATH_CHARS_MAX or not path.isprintable() or "\\" in path:
            raise _refused("file_path", f"1 to {FILE_PATH_CHARS_MAX} printable characters, no backslash")
        if any(part in {"", ".", ".."} for part in parts):
            raise _refused("file_path", f"{path!r}: a relative path without empty, '.' or '..' parts")
    if len(upload.tags) > TAGS_MAX or any(not 0 < len(tag) <= TAG_CHARS_MAX for tag in upload.tags):
        raise _refused("tags", f"at most {TAGS_MAX} tags of 1 to {TAG_CHARS_MAX} characters")
    if upload.expected_hash is not None:
        check_hash(upload.expected_hash, field="expected_hash")


def _refused(field: str, rule: str) -> InvalidRequest:
    return InvalidRequest(f"{field} must be {rule}", details={"field": field})


def check_hash(value: str, *, field: str) -> None:
    """Raise InvalidRequest unless `value` is written as `blake3:` and 64 lower-case hex digits."""
    if HASH_SHAPE.fullmatch(value) is None:
        raise _refused(field, "'blake3:' and 64 lower-case hexadecimal digits")


async def store_upload(ctx: Context, upload: Upload, chunks: AsyncIterable[bytes]) -> Minted:
    """Store a stream as an asset of the account.

    Raises InvalidRequest, PayloadTooLarge, HashMismatch, UnreadablePicture, IdempotencyKeyReuse; no asset is
    made then.
    """
    check_upload(upload)
    return await store_described(ctx, lambda: upload, chunks)


async def store_described(
    ctx: Context, describe: Callable[[], Upload], chunks: AsyncIterable[bytes]
) -> Minted:
    """As `store_upload`, for callers who learn what is said of the bytes only with their end.

    `describe` is called once, after the last byte.
    """
    stored = await ctx.blobs.write("uploads", chunks, bytes_max=ctx.rules.limits.upload_bytes_max)
    try:
        upload = describe()
        check_upload(upload)
        if upload.expected_hash is not None and upload.expected_hash != stored.hash:
            raise HashMismatch(
                f"the bytes received are {stored.hash}, not the announced {upload.expected_hash}",
                details={"received": stored.hash},
            )
        await _check_picture(ctx, upload, stored)
        minted = await ctx.store.run(_mint, ctx, upload, stored)
    except GateError:
        # Only a refusal proves that no row refers to the bytes; after anything else the sweep decides.
        await ctx.blobs.delete(stored.key)
        raise
    if minted.asset.key != stored.key:
        await ctx.blobs.delete(stored.key)
    return minted


async def _check_picture(ctx: Context, upload: Upload, stored: StoredBlob) -> None:
    """Make sure that what counts as a picture or clip is one, within limits."""
    content_type = _content_type(upload, stored)
    if ctx.eyes is not None and is_picture(content_type):
        limits = ctx.rules.limits
        await ctx.eyes.pictures.look(
            ctx.blobs.file_of(stored.key),
            content_type,
            pixels_max=limits.picture_pixels_max,
            frames_max=limits.picture_frames_max,
        )


def _mint(conn: Connection, ctx: Context, upload: Upload, stored: StoredBlob) -> Minted:
    asset_id, now_ms = ctx.new_id(), ctx.now_ms()
    if upload.idempotency_key is not None:
        idempotency.claim_key(
            conn,
            upload.account_id,
            upload.idempotency_key,
            hashlib.sha256(stored.hash.encode()).hexdigest(),
            asset_id,
            now_ms,
            ctx.rules.idempotency_seconds,
        )
    asset, created_new = assets_store.add_upload(
        conn,
        asset_id,
        upload.account_id,
        BlobRow(stored.hash, stored.key, stored.size_bytes),
        content_type=_content_type(upload, stored),
        file_path=upload.file_path,
        tags=upload.tags,
        now_ms=now_ms,
        expires_at_ms=now_ms + _keep_seconds(ctx, upload) * 1000,
    )
    return Minted(asset, created_new)


def _keep_seconds(ctx: Context, upload: Upload) -> int:
    return upload.expires_in if upload.expires_in is not None else ctx.rules.uploads_seconds


def _content_type(upload: Upload, stored: StoredBlob) -> str:
    """What the bytes are; what the caller says they are counts only where the bytes do not tell."""
    found = sniff(stored.head, upload.file_path or "")
    declared = (upload.content_type or "").split(";")[0].strip().lower()
    if found == "application/octet-stream" and CONTENT_TYPE_SHAPE.fullmatch(declared):
        return declared
    return found


async def mint_from_hash(ctx: Context, upload: Upload, blob_hash: str) -> Minted:
    """A record over bytes the account already has. An identical one is returned as it is, its life extended.

    Raises BlobNotFound, alike for bytes nobody has and for another's, and InvalidRequest.
    """
    check_upload(upload)
    check_hash(blob_hash, field="hash")
    return await ctx.store.run(_mint_again, ctx, upload, blob_hash)


def _mint_again(conn: Connection, ctx: Context, upload: Upload, blob_hash: str) -> Minted:
    now_ms = ctx.now_ms()
    found = assets_store.find_by_hash(conn, upload.account_id, blob_hash, now_ms)
    expires_at_ms = now_ms + _keep_seconds(ctx, upload) * 1000
    if found.job_id is None and upload.file_path in {None, found.file_path}:
        assets_store.extend(conn, found.id, expires_at_ms)
        return Minted(assets_store.get_asset(conn, found.id, upload.account_id, now_ms), created_new=False)
    asset, _ = assets_store.add_upload(
        conn,
        ctx.new_id(),
        upload.account_id,
        BlobRow(found.hash, found.key, found.size_bytes),
        content_type=found.content_type,
        file_path=upload.file_path,
        tags=upload.tags,
        now_ms=now_ms,
        expires_at_ms=expires_at_ms,
    )
    return Minted(asset, created_new=True)


async def has_hash(ctx: Context, account_id: str, blob_hash: str) -> bool:
    """Whether the account could mint from these bytes."""
    if HASH_SHAPE.fullmatch(blob_hash) is None:
        return False
    try:
        await ctx.store.read(assets_store.find_by_hash, account_id, blob_hash, ctx.now_ms())
    except NotFound:
        return False
    return True


async def get_asset(ctx: Context, asset_id: str, account_id: str | None) -> AssetRow:
    """The asset, if it is this account's (None: its address was signed). Raises NotFound."""
    return await ctx.store.read(assets_store.get_asset, asset_id, account_id, ctx.now_ms())


async def delete_asset(ctx: Context, asset_id: str, account_id: str) -> None:
    """Delete the record; shared bytes stay while another record has them. Raises NotFound, AssetInUse."""
    await ctx.store.run(assets_store.delete_asset, asset_id, account_id, ctx.now_ms())


async def stored_size(ctx: Context, asset: AssetRow) -> int:
    """How many bytes are in storage. Raises NotFound now, rather than in the middle of an answer."""
    try:
        return await ctx.blobs.size(asset.key)
    except BlobNotFound:
        raise NotFound(f"the bytes of asset {asset.id!r} are no longer there") from None


def read_bytes(ctx: Context, asset: AssetRow, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
    """Stream an asset's bytes from `start` up to but without `end`."""
    return ctx.blobs.read(asset.key, start, end)


@dataclass(frozen=True, slots=True)
class UrlSigner:
    """Signs the addresses of asset bytes, so that a browser without the API key can fetch them for a
    while."""

    secret: bytes
    url_seconds: int

    def __repr__(self) -> str:
        return f"UrlSigner(url_seconds={self.url_seconds})"

    def sign(self, asset_id: str, expires_at: int) -> str:
        """HMAC-SHA256 over asset and expiry (seconds since 1970), as hex."""
        return hmac.new(self.secret, f"asset {asset_id} {expires_at}".encode(), hashlib.sha256).hexdigest()

    def good(self, asset_id: str, expires_at: int, signature: str, now: int) -> bool:
        """Whether the signature is ours for this asset and has not expired."""
        wanted = self.sign(asset_id, expires_at)
        return now < expires_at and hmac.compare_digest(wanted.encode(), signature.encode())
