"""Asking one ComfyUI server, over a shared `aiohttp.ClientSession`: every call bounded, every trouble typed.

Nothing is retried here: whether to ask again is the caller's to decide, and for POST /prompt only after
looking for the prompt_id, because ComfyUI accepts one twice and runs it twice (recorded on ComfyUI 0.3.64).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from uuid import uuid4

import aiohttp
import structlog

from comfygate.comfy.address import ServerAddress
from comfygate.comfy.answers import (
    object_info,
    parse_queue,
    parse_queue_depth,
    parse_rejection,
    parse_sent,
)
from comfygate.comfy.cancel import cancel_prompt, probe_server
from comfygate.comfy.errors import (
    AnswerTooLarge,
    OutputUnavailable,
    PromptRejected,
    ProtocolError,
    RequestRefused,
    ServerUnreachable,
)
from comfygate.comfy.history import parse_history
from comfygate.comfy.transport import Answer, Transport
from comfygate.comfy.upload import upload_file
from comfygate.comfy.wire import (
    CancelResult,
    Capabilities,
    FileRef,
    HistoryRecord,
    Located,
    QueueIds,
    Sent,
    Timeouts,
)

NODES_WRITTEN_AT_ONCE = 100
"""A larger graph is written as JSON in a thread, so that the event loop keeps turning."""

log = structlog.get_logger(__name__)


class ComfyClient:
    """One server. Unless said otherwise a call raises ServerUnreachable, ServerRefused, RequestRefused (a
    status that the call does not have) or ProtocolError (JSON of an unknown shape).
    """

    def __init__(
        self,
        address: ServerAddress,
        *,
        session: aiohttp.ClientSession,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.address = address
        self._transport = Transport(address, session, timeouts or Timeouts())
        self._capabilities: Capabilities | None = None

    def __repr__(self) -> str:
        return f"ComfyClient({self.address!r})"

    @property
    def server(self) -> str:
        """The server's address without credentials."""
        return self._transport.server

    @property
    def answered_at(self) -> float:
        """When it last answered a request as it should, by the event loop's clock; -inf: not yet."""
        return self._transport.answered_at

    async def probe(self) -> Capabilities:
        """Version, devices, and how it cancels; harmless on every version. Remembered for `cancel`."""
        self._capabilities = await probe_server(self._transport)
        return self._capabilities

    async def object_info(self) -> Mapping[str, Any]:
        """Every node class that the server has, as it describes them."""
        return await asyncio.to_thread(object_info, await self.object_info_body(), self.server)

    async def object_info_body(self) -> bytes:
        """The JSON of `object_info`, unread: 1 to 10 MB as a rule, `object_info_bytes_max` at most."""
        limits = self._transport.timeouts
        return await self._transport.get_bytes(
            "object_info", bytes_max=limits.object_info_bytes_max, seconds=limits.object_info_seconds
        )

    async def queue_depth(self) -> int:
        """How many prompts of anybody run or wait; cheap."""
        return parse_queue_depth(await self._transport.get_json("prompt"), self.server)

    async def send(
        self,
        prompt_id: str,
        graph: Mapping[str, Any],
        *,
        client_id: str | None,
        extra_data: Mapping[str, Any] | None = None,
    ) -> Sent:
        """POST /prompt, once. Without a `client_id` (socket not connected) a made-up one goes along, because
        some 2026 builds leave cached outputs out of history otherwise (ComfyUI #14939).

        Raises PromptRejected for a 400 by ComfyUI's validation; ServerUnreachable whose `maybe_accepted` says
        whether the prompt may be in there; ProtocolError when the server runs it under another id than ours
        (before 0.3.45): then it was asked to drop it, and no later look can find it.
        """
        body: dict[str, Any] = {
            "prompt": dict(graph),
            "client_id": client_id or uuid4().hex,
            "prompt_id": prompt_id,
        }
        if extra_data:
            body["extra_data"] = dict(extra_data)
        answer = await self._transport.call(
            "POST", "prompt", body=body, is_large=len(graph) > NODES_WRITTEN_AT_ONCE
        )
        if answer.status == 400 and (rejection := parse_rejection(answer.data)):
            raise PromptRejected(
                server=self.server, status=answer.status, error=rejection[0], node_errors=rejection[1]
            )
        self._transport.expect_success(answer.status, ("prompt",))
        return await self._sent(answer, prompt_id)

    async def _sent(self, answer: Answer, prompt_id: str) -> Sent:
        """What a 200 to POST /prompt says. One that cannot be read leaves open whether the prompt is in
        there.
        """
        try:
            sent, used_id = parse_sent(answer.data, self.server)
        except ProtocolError as error:
            raise ServerUnreachable(
                "/prompt: the answer to a sent prompt cannot be read", server=self.server, maybe_accepted=True
            ) from error
        if used_id is not None and used_id != prompt_id:
            await self._transport.post_json("queue", body={"delete": [used_id]})
            raise ProtocolError(
                "the server runs prompts under ids of its own: ComfyUI 0.3.45 or newer is needed",
                server=self.server,
                path="prompt.prompt_id",
            )
        log.info("prompt.sent", server=self.server, prompt_id=prompt_id, number=sent.number)
        return sent

    async def history(self, prompt_id: str) -> HistoryRecord | None:
        """How the prompt ended, or None: waiting, running and unknown look alike here."""
        limit = self._transport.timeouts.history_bytes_max
        data = await self._transport.get_json("history", prompt_id, bytes_max=limit)
        return parse_history(data, prompt_id, self.server)

    async def queue(self) -> QueueIds:
        """Ids of what runs and waits. The answer holds everybody's graphs; over its limit it counts as no
        answer.
        """
        limit = self._transport.timeouts.queue_bytes_max
        try:
            data = await self._transport.get_json("queue", bytes_max=limit)
        except AnswerTooLarge as error:
            raise ServerUnreachable(
                f"/queue: longer than {limit} bytes", server=self.server, maybe_accepted=True
            ) from error
        return parse_queue(data, self.server)

    async def locate(self, prompt_id: str) -> tuple[Located, HistoryRecord | None]:
        """Where the prompt is, with its record once finished.

        Looks into history, the queue, and history again: ComfyUI moves a prompt from the one to the other
        under one lock, so a prompt that ends between the first two looks is seen by the third.
        """
        record = await self.history(prompt_id)
        if record is not None:
            return Located.FINISHED, record
        queue = await self.queue()
        if prompt_id in queue.running:
            return Located.RUNNING, None
        if prompt_id in queue.pending:
            return Located.PENDING, None
        record = await self.history(prompt_id)
        return (Located.FINISHED, record) if record is not None else (Located.UNKNOWN, None)

    async def cancel(self, prompt_id: str) -> CancelResult:
        """Stop this prompt and no other, by the newest call the server has (see `comfygate.comfy.cancel`)."""
        capabilities = self._capabilities or await self.probe()
        result = await cancel_prompt(self._transport, capabilities, prompt_id, self._where)
        log.info("prompt.cancel", server=self.server, prompt_id=prompt_id, result=result.value)
        return result

    async def _where(self, prompt_id: str) -> Located:
        located, _record = await self.locate(prompt_id)
        return located

    async def free(self) -> None:
        """Have the server drop its models and cache from memory, before the next prompt it runs."""
        await self._transport.post_json("free", body={"unload_models": True, "free_memory": True})

    async def forget(self, prompt_id: str) -> None:
        """Remove our own entry from the server's history; silent if it is not there."""
        await self._transport.post_json("history", body={"delete": [prompt_id]})

    async def upload(
        self, *, subfolder: str, name: str, content: AsyncIterator[bytes], size: int, content_type: str
    ) -> str:
        """Stream a file into the server's input folder; returns what the graph must say (see
        `upload_file`).
        """
        return await upload_file(
            self._transport,
            subfolder=subfolder,
            name=name,
            content=content,
            size=size,
            content_type=content_type,
        )

    async def output(self, ref: FileRef) -> AsyncGenerator[bytes, None]:
        """The bytes of an output file, streamed. Raises OutputUnavailable when the server does not have it.

        The length is not limited here; a download that breaks off raises ServerUnreachable.
        """
        if ".." in PurePosixPath(ref.subfolder.replace("\\", "/")).parts:
            raise OutputUnavailable(f"{ref} lies outside the server's folders", server=self.server)
        query = {"filename": ref.filename, "subfolder": ref.subfolder, "type": ref.type}
        async with self._transport.stream("view", query=query) as (status, chunks):
            if status in (400, 404):
                raise OutputUnavailable(f"/view answered {status} for {ref}", server=self.server)
            if status != 200:
                raise RequestRefused(f"/view answered {status}", server=self.server, status=status)
            async for chunk in chunks:
                yield chunk
