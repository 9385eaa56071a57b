"""Fetches what an attempt made into our own storage, whatever key of the history it stands under."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection

from comfygate.assets.blobs import StoredBlob
from comfygate.assets.sniff import output_kind, sniff
from comfygate.comfy.client import ComfyClient
from comfygate.comfy.wire import FileRef, HistoryRecord, Output, TextOutput
from comfygate.domain.errors import PayloadTooLarge
from comfygate.domain.screening import is_picture
from comfygate.gate.context import Context
from comfygate.store.rows import BlobRow, NewOutput


async def collect(
    ctx: Context,
    client: ComfyClient,
    record: HistoryRecord,
    keep: Callable[[NewOutput], None],
    *,
    only: Collection[str] = (),
) -> None:
    """Stream every output into storage and hand each to `keep` as it lands; of the nodes `only`, if any.

    A picture or clip that screening is to look at is made to last when it was looked at (`gate/clean.py`).

    Raises PayloadTooLarge for too many or too large outputs, and the client's errors. What was kept until
    then is the caller's to throw away.
    """
    wanted = [
        (node_id, output)
        for node_id, outputs in record.outputs.items()
        if not only or node_id in only
        for output in outputs
    ]
    if len(wanted) > ctx.rules.limits.outputs_max:
        raise PayloadTooLarge(
            f"the job made {len(wanted)} outputs; the limit is {ctx.rules.limits.outputs_max}",
            details={"limit": "outputs_max"},
        )
    for number, (node_id, output) in enumerate(wanted, start=1):
        stored = await ctx.blobs.write(
            "results",
            _bytes_of(client, output),
            bytes_max=ctx.rules.limits.output_bytes_max,
            lasting=ctx.eyes is None,
        )
        described = _described(ctx, node_id, output, number, stored)
        keep(described)
        if ctx.eyes is not None and not is_picture(described.content_type):
            await ctx.blobs.make_lasting(stored.key)


async def _bytes_of(client: ComfyClient, output: Output) -> AsyncIterator[bytes]:
    match output:
        case TextOutput(text=text):
            yield text.encode()
        case FileRef():
            async for chunk in client.output(output):
                yield chunk


def _described(ctx: Context, node_id: str, output: Output, number: int, stored: StoredBlob) -> NewOutput:
    if isinstance(output, TextOutput):
        name, content_type = f"text_{node_id}_{number}.txt", "text/plain"
    else:
        name = output.filename
        content_type = sniff(stored.head, name)
    return NewOutput(
        asset_id=ctx.new_id(),
        blob=BlobRow(stored.hash, stored.key, stored.size_bytes),
        node_id=node_id,
        name=name,
        output_type=output_kind(content_type, name),
        content_type=content_type,
    )
