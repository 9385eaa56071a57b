"""Graphs and a small client for the simulator's tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from uuid import uuid4

import aiohttp
from PIL import Image

from comfygate.simulator import Simulator

Graph = dict[str, dict[str, Any]]
FRAME_SECONDS = 10.0


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """One node of a graph."""
    return {"class_type": class_type, "inputs": inputs}


def invert_graph(prefix: str = "out", *, color: int = 0x102030, size: int = 8) -> Graph:
    """Three nodes: a plain picture, inverted, saved."""
    return {
        "1": node("EmptyImage", width=size, height=size, batch_size=1, color=color),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix=prefix),
    }


def png(color: tuple[int, ...] = (255, 0, 0), size: tuple[int, int] = (4, 4), mode: str = "RGB") -> bytes:
    """A plain picture's bytes."""
    buffer = BytesIO()
    Image.new(mode, size, color).save(buffer, format="PNG")
    return buffer.getvalue()


@dataclass(slots=True)
class Listener:
    """A WebSocket and the frames it got."""

    ws: aiohttp.ClientWebSocketResponse
    frames: list[dict[str, Any]] = field(default_factory=list)
    binary: list[bytes] = field(default_factory=list)

    async def next(self) -> dict[str, Any]:
        """The next JSON frame; binary ones are put aside. Raises ConnectionError when the socket ended."""
        while True:
            message = await self.ws.receive(timeout=FRAME_SECONDS)
            if message.type is aiohttp.WSMsgType.TEXT:
                frame: dict[str, Any] = json.loads(message.data)
                self.frames.append(frame)
                return frame
            if message.type is not aiohttp.WSMsgType.BINARY:
                raise ConnectionError(message.type.name)
            self.binary.append(message.data)

    async def until(self, type_: str, **data: Any) -> dict[str, Any]:
        """Read on until such a frame came."""
        while True:
            frame = await self.next()
            if frame["type"] == type_ and all(frame["data"].get(key) == value for key, value in data.items()):
                return frame

    async def barrier(self) -> None:
        """Read all that was sent until now; works once, as it must be the first message of this side."""
        await self.ws.send_json({"type": "feature_flags", "data": {}})
        await self.until("feature_flags")
        self.frames.pop()

    def types(self) -> list[str]:
        """Types of the frames so far."""
        return [frame["type"] for frame in self.frames]


@dataclass(slots=True)
class Client:
    """HTTP calls to one simulator."""

    http: aiohttp.ClientSession
    url: str

    async def call(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        """Status and body: JSON where it is JSON, else bytes."""
        async with self.http.request(method, self.url + path, **how) as answer:
            if answer.content_type == "application/json":
                return answer.status, await answer.json()
            return answer.status, await answer.read()

    async def submit(self, graph: Graph, prompt_id: str = "", **more: Any) -> str:
        """Send a graph that must be accepted; its prompt_id."""
        body = {"prompt": graph, "prompt_id": prompt_id or str(uuid4()), **more}
        status, answer = await self.call("POST", "/prompt", json=body)
        assert status == 200, answer
        return str(answer["prompt_id"])

    async def history(self, prompt_id: str) -> dict[str, Any]:
        """The entry in history, `{}` if there is none."""
        status, answer = await self.call("GET", f"/history/{prompt_id}")
        assert status == 200
        entry: dict[str, Any] = answer.get(prompt_id, {})
        return entry

    async def upload(self, name: str, content: bytes, **fields: str) -> tuple[int, Any]:
        """POST /upload/image."""
        form = aiohttp.FormData(fields)
        form.add_field("image", content, filename=name, content_type="image/png")
        return await self.call("POST", "/upload/image", data=form)

    @asynccontextmanager
    async def listen(self, client_id: str) -> AsyncIterator[Listener]:
        """A WebSocket under this client id, past its greeting."""
        async with self.http.ws_connect(f"{self.url}/ws", params={"clientId": client_id}) as ws:
            listener = Listener(ws)
            await listener.next()
            yield listener


@asynccontextmanager
async def simulated(**how: Any) -> AsyncIterator[tuple[Simulator, Client]]:
    """A running simulator and a client of it."""
    async with Simulator(**how) as sim, aiohttp.ClientSession() as http:
        yield sim, Client(http, sim.url)


async def ran(sim: Simulator, client: Client, graph: Graph) -> dict[str, Any]:
    """Run a graph to its end; its history entry."""
    prompt_id = await client.submit(graph)
    await sim.finished(prompt_id)
    entry = await client.history(prompt_id)
    assert entry["status"]["status_str"] == "success", entry["status"]
    return entry


async def pictures(sim: Simulator, client: Client, graph: Graph, node_id: str) -> list[Image.Image]:
    """Run a graph; the pictures a node saved, opened."""
    entry = await ran(sim, client, graph)
    opened = []
    for ref in entry["outputs"][node_id]["images"]:
        status, body = await client.call("GET", "/view", params=ref)
        assert status == 200
        opened.append(await asyncio.to_thread(_opened, body))
    return opened


def _opened(body: bytes) -> Image.Image:
    picture = Image.open(BytesIO(body))
    picture.load()
    return picture
