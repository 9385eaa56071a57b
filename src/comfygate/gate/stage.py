"""Brings a job's inputs to a server and writes the graph that it gets there."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from comfygate.comfy.client import ComfyClient
from comfygate.domain.graph import Path, rewrite
from comfygate.domain.paths import NAMESPACE
from comfygate.gate.clean import read_cleaned
from comfygate.gate.context import Context
from comfygate.gate.patience import surely_read
from comfygate.store import assets as assets_store
from comfygate.store.rows import AssetRow, ClaimedAttempt


class InputGone(Exception):
    """An input's bytes are no longer in storage."""


@dataclass(frozen=True, slots=True)
class Staged:
    """The graph as the server gets it."""

    graph: dict[str, Any]


def folder_of(attempt: ClaimedAttempt) -> str:
    """Where an attempt writes on the server: its own folder, so that nothing is answered from a cache."""
    return f"{NAMESPACE}/{attempt.account_id}/{attempt.fence.job_id}-{attempt.fence.attempt}"


async def stage(
    ctx: Context, client: ComfyClient, attempt: ClaimedAttempt, brought: Mapping[str, str] | None = None
) -> Staged:
    """Upload every input once, below the job's own folder, and rewrite the graph to the names they got.

    `brought` are names of assets that are there already. Raises as `bring`.
    """
    names = dict(brought or {})
    missing = {item.asset_id for item in attempt.inputs} - names.keys()
    names |= await bring(ctx, client, attempt.account_id, attempt.fence.job_id, missing)
    staged: dict[tuple[str, Path], str] = {
        (item.node_id, item.path): names[item.asset_id] for item in attempt.inputs
    }
    return Staged(rewrite(json.loads(attempt.graph), staged, folder=folder_of(attempt)))


async def bring(
    ctx: Context, client: ComfyClient, account_id: str, job_id: str, asset_ids: Collection[str]
) -> dict[str, str]:
    """Upload a job's inputs below its own folder; their names on the server by asset id.

    Metadata of pictures and clips stays here. Raises InputGone, UnreadablePicture, and the client's errors.
    """
    known = await surely_read(ctx, assets_store.assets_by_id, list(asset_ids)) if asset_ids else {}
    names: dict[str, str] = {}
    for asset_id in asset_ids:
        asset = known.get(asset_id)
        if asset is None:
            raise InputGone(f"asset {asset_id} is no longer there")
        content, size = await read_cleaned(ctx, asset)
        names[asset_id] = await client.upload(
            subfolder=f"{NAMESPACE}/{account_id}/{job_id}",
            name=_plain_name(asset),
            content=content,
            size=size,
            content_type=asset.content_type,
        )
    return names


def _plain_name(asset: AssetRow) -> str:
    """A name that no server can misread: the asset's id and the caller's own extension, if it is a plain
    one."""
    suffix = PurePosixPath(asset.file_path or "").suffix.lower()
    return asset.id + (suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 8 else "")
