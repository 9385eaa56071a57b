"""Asset records over stored bytes: records share bytes by hash, and each belongs to one account."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from comfygate.domain.errors import AssetInUse, BlobNotFound, NotFound
from comfygate.domain.job import IN_FLIGHT, JobState
from comfygate.store.prepared import Prepared
from comfygate.store.rows import AssetRow, BlobRow, JobRow, NewOutput
from comfygate.store.screening_tables import held_outputs, reviews
from comfygate.store.tables import assets, blobs, job_inputs, jobs

_NOT_ENDED = [state.value for state in sorted({JobState.QUEUED, *IN_FLIGHT})]
_SELECT = select(assets, blobs.c.key).join(blobs, blobs.c.hash == assets.c.hash)
_OUTPUT: Final = (
    "id", "account_id", "hash", "size_bytes", "content_type", "file_path", "created_at_ms", "expires_at_ms",
    "job_id", "position", "node_id", "name", "output_type",
)  # fmt: skip
_ADD = Prepared(insert(assets).inline(), _OUTPUT)


def _keep(dialect: str) -> Prepared:
    """Makes a blob's row or finds it, in one statement, so that it holds even while another drops it. Writing
    the time locks the row and makes it too young to be dropped before the caller's asset refers to it."""
    row = (sqlite_insert if dialect == "sqlite" else postgresql_insert)(blobs)
    kept = row.on_conflict_do_update(
        index_elements=[blobs.c.hash], set_={"created_at_ms": row.excluded.created_at_ms}
    )
    return Prepared(kept.returning(blobs.c.key), ["hash", "key", "size_bytes", "created_at_ms"])


_KEEP = {dialect: _keep(dialect) for dialect in ("sqlite", "postgresql")}


def keep_blob(conn: Connection, blob: BlobRow, now_ms: int) -> str:
    """Record stored bytes, unless the same bytes are there already. Returns the key that counts.

    When another key comes back, the caller's copy is surplus and should be deleted.
    """
    values = {"hash": blob.hash, "key": blob.key, "size_bytes": blob.size_bytes, "created_at_ms": now_ms}
    key: str = _KEEP[conn.dialect.name].one(conn, values).key
    return key


def _asset(row: Row[tuple[object, ...]]) -> AssetRow:
    return AssetRow(
        id=row.id,
        account_id=row.account_id,
        hash=row.hash,
        key=row.key,
        size_bytes=row.size_bytes,
        content_type=row.content_type,
        file_path=row.file_path,
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        job_id=row.job_id,
        node_id=row.node_id,
        name=row.name,
        output_type=row.output_type,
    )


def add_upload(
    conn: Connection,
    asset_id: str,
    account_id: str,
    blob: BlobRow,
    *,
    content_type: str,
    file_path: str | None,
    tags: Sequence[str],
    now_ms: int,
    expires_at_ms: int,
) -> tuple[AssetRow, bool]:
    """Record an upload. The flag says whether this account had none of these bytes before.

    Whether another account had them is not told: it would reveal what others uploaded.
    """
    had = conn.execute(
        select(assets.c.id).where(assets.c.account_id == account_id, assets.c.hash == blob.hash).limit(1)
    ).scalar()
    keep_blob(conn, blob, now_ms)
    conn.execute(
        insert(assets).values(
            id=asset_id,
            account_id=account_id,
            hash=blob.hash,
            size_bytes=blob.size_bytes,
            content_type=content_type,
            file_path=file_path,
            tags=json.dumps(list(tags)),
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
        )
    )
    return get_asset(conn, asset_id, account_id, now_ms), had is None


def record_output(
    conn: Connection, job: JobRow, output: NewOutput, position: int, now_ms: int, expires_at_ms: int
) -> None:
    """Record one output of a job that succeeded."""
    keep_blob(conn, output.blob, now_ms)
    values = {
        "id": output.asset_id,
        "account_id": job.account_id,
        "hash": output.blob.hash,
        "size_bytes": output.blob.size_bytes,
        "content_type": output.content_type,
        "file_path": output.name,
        "created_at_ms": now_ms,
        "expires_at_ms": expires_at_ms,
        "job_id": job.id,
        "position": position,
        "node_id": output.node_id,
        "name": output.name,
        "output_type": output.output_type,
    }
    _ADD.count(conn, values)


def find_by_hash(conn: Connection, account_id: str, blob_hash: str, now_ms: int) -> AssetRow:
    """The account's newest asset over these bytes. Raises BlobNotFound, alike for unknown and another's."""
    row = conn.execute(
        _SELECT.where(
            assets.c.account_id == account_id, assets.c.hash == blob_hash, assets.c.expires_at_ms > now_ms
        )
        .order_by(assets.c.created_at_ms.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise BlobNotFound("no bytes with this hash that you may use; upload the file")
    return _asset(row)


def find_by_path(conn: Connection, account_id: str, file_path: str, now_ms: int) -> AssetRow | None:
    """The account's newest upload of this file name."""
    row = conn.execute(
        _SELECT.where(
            assets.c.account_id == account_id,
            assets.c.file_path == file_path,
            assets.c.job_id.is_(None),
            assets.c.expires_at_ms > now_ms,
        )
        .order_by(assets.c.created_at_ms.desc(), assets.c.id)
        .limit(1)
    ).one_or_none()
    return None if row is None else _asset(row)


def get_asset(conn: Connection, asset_id: str, account_id: str | None, now_ms: int) -> AssetRow:
    """The asset, if it is this account's (None: whoever's) and has not expired. Raises NotFound."""
    query = _SELECT.where(assets.c.id == asset_id, assets.c.expires_at_ms > now_ms)
    if account_id is not None:
        query = query.where(assets.c.account_id == account_id)
    row = conn.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"no asset with the id {asset_id!r}")
    return _asset(row)


def assets_by_id(conn: Connection, ids: Sequence[str]) -> dict[str, AssetRow]:
    """The assets with these ids, expired or not, by id."""
    return {row.id: _asset(row) for row in conn.execute(_SELECT.where(assets.c.id.in_(ids)))}


def owned_assets(conn: Connection, account_id: str, ids: Sequence[str], now_ms: int) -> dict[str, AssetRow]:
    """Those of these assets that are the account's and have not expired, by id."""
    mine = _SELECT.where(
        assets.c.id.in_(ids), assets.c.account_id == account_id, assets.c.expires_at_ms > now_ms
    )
    return {row.id: _asset(row) for row in conn.execute(mine)}


def extend(conn: Connection, asset_id: str, expires_at_ms: int) -> None:
    """Keep the asset at least until the given time; never shorter."""
    conn.execute(
        update(assets)
        .where(assets.c.id == asset_id, assets.c.expires_at_ms < expires_at_ms)
        .values(expires_at_ms=expires_at_ms)
    )


def outputs_of(conn: Connection, job_ids: Sequence[str]) -> dict[str, list[AssetRow]]:
    """The outputs of these jobs, in the order they were collected, by job."""
    query = _SELECT.where(assets.c.job_id.in_(job_ids)).order_by(assets.c.job_id, assets.c.position)
    found: dict[str, list[AssetRow]] = {}
    for row in conn.execute(query):
        found.setdefault(row.job_id, []).append(_asset(row))
    return found


def assets_needed(conn: Connection, asset_ids: Sequence[str]) -> bool:
    """Whether a job that has not ended takes one of these assets as an input."""
    query = (
        select(jobs.c.id)
        .join(job_inputs, job_inputs.c.job_id == jobs.c.id)
        .where(job_inputs.c.asset_id.in_(asset_ids), jobs.c.state.in_(_NOT_ENDED))
        .limit(1)
    )
    return conn.execute(query).scalar() is not None


def delete_asset(conn: Connection, asset_id: str, account_id: str, now_ms: int) -> None:
    """Delete a record; its bytes go later, when nothing refers to them. Raises NotFound and AssetInUse."""
    get_asset(conn, asset_id, account_id, now_ms)
    # Waits for submissions that are about to take it as an input.
    conn.execute(select(assets.c.id).where(assets.c.id == asset_id).with_for_update())
    if assets_needed(conn, [asset_id]):
        raise AssetInUse("this asset cannot be deleted now: it is still needed")
    conn.execute(delete(assets).where(assets.c.id == asset_id))


def prune_expired(conn: Connection, now_ms: int, limit: int) -> int:
    """Delete up to `limit` records past their time that no unfinished job needs. Returns how many."""
    expired = assets.c.expires_at_ms <= now_ms
    due = conn.execute(
        select(assets.c.id)
        .where(
            expired,
            ~select(job_inputs.c.job_id)
            .join(jobs, jobs.c.id == job_inputs.c.job_id)
            .where(job_inputs.c.asset_id == assets.c.id, jobs.c.state.in_(_NOT_ENDED))
            .exists(),
        )
        .order_by(assets.c.expires_at_ms)
        .limit(limit)
    ).scalars()
    ids = list(due)
    # Asked again: a record may have been extended since.
    return conn.execute(delete(assets).where(assets.c.id.in_(ids), expired)).rowcount if ids else 0


def drop_unreferenced_blobs(conn: Connection, stored_before_ms: int, limit: int) -> list[str]:
    """Forget up to `limit` blobs that no asset and no waiting review refers to; returns the keys whose bytes
    may now be deleted."""
    held = (
        select(held_outputs.c.job_id)
        .join(reviews, reviews.c.job_id == held_outputs.c.job_id)
        .where(held_outputs.c.hash == blobs.c.hash, reviews.c.state == "waiting")
    )
    unreferenced = ~select(assets.c.id).where(assets.c.hash == blobs.c.hash).exists() & ~held.exists()
    query = (
        select(blobs.c.hash)
        .where(blobs.c.created_at_ms <= stored_before_ms, unreferenced)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    hashes = [row.hash for row in conn.execute(query)]
    if not hashes:
        return []
    # Asked again: an asset may refer to one since, and the locks hold further ones off.
    dropped = delete(blobs).where(blobs.c.hash.in_(hashes), unreferenced).returning(blobs.c.key)
    return list(conn.execute(dropped).scalars())


def known_keys(conn: Connection, keys: Sequence[str]) -> set[str]:
    """Which of these storage keys a blob refers to."""
    return set(conn.execute(select(blobs.c.key).where(blobs.c.key.in_(keys))).scalars())


def stored_bytes(conn: Connection) -> int:
    """Bytes in storage, all accounts together."""
    return int(conn.execute(select(func.coalesce(func.sum(blobs.c.size_bytes), 0))).scalar_one())
