"""The open WebSockets by client id, and every frame that leaves, in one order.

ComfyUI's quirk is kept (recorded on 0.3.64): a second socket under the same client id takes the first one's
place, and when the first one closes its clean-up removes the second, which then stays open and silent.
"""

from __future__ import annotations

import asyncio
import json
import struct
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

PREVIEW_IMAGE = 1
PREVIEW_IMAGE_WITH_METADATA = 4
_IMAGE_TYPE_JPEG = 1
FEATURES: Mapping[str, Any] = {"supports_preview_metadata": True, "max_upload_size": 104857600}
"""Answer of GET /features and of the feature_flags frame; max_upload_size in bytes."""


@dataclass(eq=False, slots=True)
class Socket:
    """One open WebSocket."""

    sid: str
    wire: web.WebSocketResponse
    request: web.Request
    silent: bool = False
    features: Mapping[str, Any] = field(default_factory=dict)


class Sockets:
    """Who is connected; `send` queues a frame, one publisher task delivers them in that order."""

    def __init__(self, features: Mapping[str, Any], born_silent: Callable[[], bool]) -> None:
        self._features = features
        self._born_silent = born_silent
        self._by_sid: dict[str, Socket] = {}
        self._open: set[Socket] = set()
        self._frames: asyncio.Queue[tuple[str | bytes, str | None]] = asyncio.Queue()
        self._future_silent = False

    @property
    def client_ids(self) -> list[str]:
        """Client ids frames can reach now."""
        return list(self._by_sid)

    @property
    def open_count(self) -> int:
        """Sockets still open, reachable or not."""
        return len(self._open)

    async def publish(self) -> None:
        """Deliver queued frames until cancelled."""
        while True:
            frame, sid = await self._frames.get()
            targets = list(self._by_sid.values()) if sid is None else [self._by_sid.get(sid)]
            for socket in targets:
                if socket is not None:
                    await _deliver(socket, frame)

    def send(self, event: str, data: Mapping[str, Any], sid: str | None) -> None:
        """Queue one event for `sid`, or for everybody when it is None."""
        self._frames.put_nowait((json.dumps({"type": event, "data": data}), sid))

    def wants_preview_metadata(self, sid: str | None) -> bool:
        """Whether this client announced `supports_preview_metadata`."""
        socket = self._by_sid.get(sid or "")
        return socket is not None and socket.features.get("supports_preview_metadata") is True

    def send_preview(self, jpeg: bytes, metadata: Mapping[str, Any], sid: str | None) -> None:
        """Queue one preview: with metadata for a client that asked for it, else the older frame."""
        if self.wants_preview_metadata(sid):
            about = json.dumps({**metadata, "image_type": "image/jpeg"}).encode()
            frame = struct.pack(">II", PREVIEW_IMAGE_WITH_METADATA, len(about)) + about + jpeg
        else:
            frame = struct.pack(">II", PREVIEW_IMAGE, _IMAGE_TYPE_JPEG) + jpeg
        self._frames.put_nowait((frame, sid))

    async def serve(
        self, request: web.Request, first: Mapping[str, Any], resume_node: str | None
    ) -> web.WebSocketResponse:
        """Hold one WebSocket open until it closes; `first` is the status it is greeted with."""
        wire = web.WebSocketResponse()
        await wire.prepare(request)
        sid = request.query.get("clientId", "") or uuid.uuid4().hex
        socket = Socket(sid, wire, request, silent=self._future_silent or self._born_silent())
        self._by_sid[sid] = socket
        self._open.add(socket)
        try:
            await _deliver(socket, json.dumps({"type": "status", "data": {"status": first, "sid": sid}}))
            if resume_node is not None:
                await _deliver(socket, json.dumps({"type": "executing", "data": {"node": resume_node}}))
            await self._listen(socket)
        finally:
            self._open.discard(socket)
            self._by_sid.pop(sid, None)
        return wire

    async def _listen(self, socket: Socket) -> None:
        first = True
        async for message in socket.wire:
            if message.type is not WSMsgType.TEXT:
                continue
            said = _parsed(message.data)
            if first and said.get("type") == "feature_flags":
                socket.features = said.get("data") or {}
                self.send("feature_flags", self._features, socket.sid)
            first = False

    def drop(self) -> int:
        """Cut every open connection without a closing handshake; the number cut."""
        cut = list(self._open)
        for socket in cut:
            if socket.request.transport is not None:
                socket.request.transport.abort()
        self._by_sid.clear()
        return len(cut)

    def silence(self, *, future: bool) -> None:
        """Nothing more is delivered on the sockets open now (`future`: nor on later ones); they stay open."""
        for socket in self._open:
            socket.silent = True
        self._future_silent = future

    def restore(self) -> None:
        """End of silence for all."""
        for socket in self._open:
            socket.silent = False
        self._future_silent = False

    def forget(self) -> None:
        """Drop every frame that was not delivered yet."""
        while not self._frames.empty():
            self._frames.get_nowait()


async def _deliver(socket: Socket, frame: str | bytes) -> None:
    if socket.silent or socket.wire.closed:
        return
    try:
        if isinstance(frame, bytes):
            await socket.wire.send_bytes(frame)
        else:
            await socket.wire.send_str(frame)
    except ConnectionError:
        socket.silent = True


def _parsed(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
