"""Pictures and clips without what a camera or editor wrote beside the pixels.

An upload is stored as it was sent, because its hash is what its sender computed; it is cleaned on its way to
a server. An output is cleaned before it becomes anybody's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from comfygate.assets.screening import Eyes
from comfygate.assets.seen import size_of
from comfygate.domain.screening import is_picture
from comfygate.gate.context import Context
from comfygate.store.rows import AssetRow, BlobRow, NewOutput


async def read_cleaned(ctx: Context, asset: AssetRow) -> tuple[AsyncIterator[bytes], int]:
    """The bytes that a server may see, and how many. Raises UnreadablePicture and BlobNotFound."""
    if ctx.eyes is None or not is_picture(asset.content_type):
        return ctx.blobs.read(asset.key), asset.size_bytes
    path = ctx.blobs.file_of(asset.key)
    pieces = await ctx.eyes.pictures.plan(path, asset.content_type, output=False)
    if pieces is None:
        return ctx.blobs.read(asset.key), asset.size_bytes
    return ctx.blobs.read_planned(asset.key, pieces), size_of(pieces)


async def cleaned(ctx: Context, eyes: Eyes, output: NewOutput) -> NewOutput:
    """The output without metadata, stored anew if it had some, and so that it lasts. Raises UnreadablePicture
    and ServerTrouble."""
    key = output.blob.key
    pieces = await eyes.pictures.plan(ctx.blobs.file_of(key), output.content_type, output=True)
    if pieces is None:
        await ctx.blobs.make_lasting(key)
        return output
    bytes_max = max(ctx.rules.limits.output_bytes_max, output.blob.size_bytes)
    stored = await ctx.blobs.rewrite(key, pieces, bytes_max=bytes_max)
    return replace(output, blob=BlobRow(stored.hash, stored.key, stored.size_bytes))
