"""Many ComfyUI servers on one port: `python -m benchmarks.light_servers COUNT JOB_SECONDS [STEPS]`.

They speak as much of the wire as a gateway needs and compute nothing, so that a thousand of them cost less
than the gateway that is measured. Server N is at URL/sN. A job whose first node says `color` makes a file of
so many kB. With STEPS each job tells its progress so often, each time with a preview. Lines `reset`,
`wait N` (finished), `begun N` and `stamps` are answered as the simulator's process does; a stamp is (server,
kind, prompt_id, nanoseconds).
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from comfygate.app.main import run

KB = 1000
CHUNK = bytes(256 * KB)
SMALL_BYTES = 100
PREVIEW = bytes(20 * KB)
"""As large as a JPEG of 512 pixels; what is in it nobody looks at."""
PREVIEW_WITH_METADATA = 4
Json = dict[str, Any]


def _class(name: str, *, output: bool = False) -> Json:
    return {
        "input": {"required": {}}, "output": ["IMAGE"], "name": name, "display_name": name,
        "output_node": output, "category": "image",
    }  # fmt: skip


CLASSES = {
    "EmptyImage": _class("EmptyImage"),
    "LoadImage": _class("LoadImage"),
    "ImageInvert": _class("ImageInvert"),
    "SaveImage": _class("SaveImage", output=True),
}


@dataclass(slots=True)
class Stamps:
    """When each prompt began and ended, on all servers."""

    made: list[tuple[str, str, str, int]] = field(default_factory=list)
    begun: int = 0
    finished: int = 0
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, server: str, kind: str, prompt_id: str) -> None:
        """It happened now."""
        self.made.append((server, kind, prompt_id, time.monotonic_ns()))
        self.begun += kind == "started"
        self.finished += kind == "finished"
        self.more.set()

    async def answer(self, line: str) -> object:
        """What a line asks for."""
        match line.split():
            case ["reset"]:
                self.made, self.begun, self.finished = [], 0, 0
                return {}
            case ["wait" | "begun" as what, count]:
                while (self.finished if what == "wait" else self.begun) < int(count):
                    self.more.clear()
                    await self.more.wait()
                return {}
            case _:
                return {"stamps": self.made}


class Server:
    """One of them."""

    def __init__(self, name: str, job_seconds: float, stamps: Stamps, steps: int = 0) -> None:
        self._name, self._job_seconds, self._stamps, self._steps = name, job_seconds, stamps, steps
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._waiting: deque[Json] = deque()
        self._running: Json | None = None
        self._history: Json = {}
        self._numbers = 0
        self._work: asyncio.Task[None] | None = None

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """GET /ws."""
        wire = web.WebSocketResponse(compress=False)
        await wire.prepare(request)
        sid = request.query["clientId"]
        self._sockets[sid] = wire
        await wire.send_json({"type": "status", "data": {"status": self._info(), "sid": sid}})
        async for _message in wire:
            continue
        self._sockets.pop(sid, None)
        return wire

    def _info(self) -> Json:
        return {"exec_info": {"queue_remaining": len(self._waiting) + (self._running is not None)}}

    async def prompt(self, request: web.Request) -> web.Response:
        """POST /prompt."""
        body = await request.json()
        body.setdefault("prompt_id", str(uuid.uuid4()))
        self._numbers += 1
        self._stamps.note(self._name, "received", body["prompt_id"])
        self._waiting.append(body)
        await self._tell_status()
        if self._work is None:
            self._work = asyncio.create_task(self._run_all())
        return web.json_response({"prompt_id": body["prompt_id"], "number": self._numbers, "node_errors": {}})

    async def _run_all(self) -> None:
        while self._waiting:
            self._running = self._waiting.popleft()
            await self._tell_status()
            await self._run(self._running)
            self._running = None
            await self._tell_status()
        self._work = None

    async def _run(self, body: Json) -> None:
        prompt_id, graph = body["prompt_id"], body["prompt"]
        sid = body.get("client_id", "")
        began = int(time.time() * 1000)
        self._stamps.note(self._name, "started", prompt_id)
        await self._tell(sid, "execution_start", {"prompt_id": prompt_id, "timestamp": began})
        node = next(iter(graph))
        await self._tell(sid, "executing", {"node": node, "display_node": node, "prompt_id": prompt_id})
        await self._work_on(sid, prompt_id, node)
        saving = next(key for key, one in graph.items() if one["class_type"] == "SaveImage")
        kb = graph[node]["inputs"].get("color", 0)
        file = {"filename": f"{kb}-{prompt_id}.bin", "subfolder": "", "type": "output"}
        output = {"images": [file]}
        ended = int(time.time() * 1000)
        self._history[prompt_id] = {
            "prompt": [self._numbers, prompt_id, graph, {}, [saving]],
            "outputs": {saving: output},
            "status": {
                "status_str": "success", "completed": True,
                "messages": [
                    ["execution_start", {"prompt_id": prompt_id, "timestamp": began}],
                    ["execution_success", {"prompt_id": prompt_id, "timestamp": ended}],
                ],
            },
            "meta": {},
        }  # fmt: skip
        about = {"node": saving, "display_node": saving, "output": output, "prompt_id": prompt_id}
        self._stamps.note(self._name, "finished", prompt_id)
        await self._tell(sid, "executed", about)
        await self._tell(sid, "execution_success", {"prompt_id": prompt_id, "timestamp": ended})
        await self._tell(sid, "executing", {"node": None, "prompt_id": prompt_id})

    async def _work_on(self, sid: str, prompt_id: str, node: str) -> None:
        """Take the job's time, and show how far it is."""
        for step in range(self._steps):
            await asyncio.sleep(self._job_seconds / (self._steps + 1))
            done = {"value": step + 1, "max": self._steps, "node": node, "prompt_id": prompt_id}
            await self._tell(sid, "progress", done)
            about = json.dumps({"prompt_id": prompt_id, "node_id": node, "image_type": "image/jpeg"}).encode()
            wire = self._sockets.get(sid)
            if wire is not None and not wire.closed:
                await wire.send_bytes(struct.pack(">II", PREVIEW_WITH_METADATA, len(about)) + about + PREVIEW)
        await asyncio.sleep(self._job_seconds / (self._steps + 1))

    async def _tell_status(self) -> None:
        """To everybody, whenever the queue changes."""
        for sid in list(self._sockets):
            await self._tell(sid, "status", {"status": self._info()})

    async def _tell(self, sid: str, kind: str, data: Json) -> None:
        wire = self._sockets.get(sid)
        if wire is not None and not wire.closed:
            await wire.send_json({"type": kind, "data": data})

    def queue(self) -> Json:
        """GET /queue."""
        running = [] if self._running is None else [self._running]
        return {
            f"queue_{name}": [[0, one["prompt_id"], one["prompt"], {}, []] for one in some]
            for name, some in (("running", running), ("pending", self._waiting))
        }

    async def get(self, request: web.Request, what: str) -> web.StreamResponse:
        """Every GET but /ws."""
        match what.split("/"):
            case ["history", prompt_id]:
                found = self._history.get(prompt_id)
                return web.json_response({} if found is None else {prompt_id: found})
            case ["queue"]:
                return web.json_response(self.queue())
            case ["prompt"]:
                return web.json_response(self._info())
            case ["object_info", *_]:
                return web.json_response(CLASSES)
            case ["system_stats"]:
                return web.json_response({"system": {"comfyui_version": "0.3.64"}, "devices": []})
            case ["features"]:
                return web.json_response({"max_upload_size": 100 * 1024 * 1024})
            case ["view"]:
                return await _file(request)
            case _:
                raise web.HTTPNotFound

    async def post(self, request: web.Request, what: str) -> web.Response:
        """Every POST."""
        if what == "prompt":
            return await self.prompt(request)
        if what == "history":
            for prompt_id in (await request.json()).get("delete", []):
                self._history.pop(prompt_id, None)
        if what == "upload/image":
            await request.read()
            return web.json_response({"name": f"{uuid.uuid4().hex}.png", "subfolder": "", "type": "input"})
        return web.Response()


async def _file(request: web.Request) -> web.StreamResponse:
    """As many bytes as the name says kB; 100 for 0."""
    left = int(request.query["filename"].partition("-")[0]) * KB or SMALL_BYTES
    answer = web.StreamResponse(headers={"Content-Length": str(left)})
    await answer.prepare(request)
    while left:
        part = CHUNK[: min(left, len(CHUNK))]
        await answer.write(part)
        left -= len(part)
    return answer


async def main(count: int, job_seconds: float, steps: int = 0) -> None:
    """Until standard input ends."""
    stamps = Stamps()
    servers = {f"s{number}": Server(f"s{number}", job_seconds, stamps, steps) for number in range(count)}

    async def handle(request: web.Request) -> web.StreamResponse:
        server = servers[request.match_info["server"]]
        what = request.match_info["what"].removeprefix("api/")
        if request.method == "POST":
            return await server.post(request, what)
        return await (server.socket(request) if what == "ws" else server.get(request, what))

    app = web.Application(client_max_size=200 * 1024 * 1024)
    app.router.add_route("*", "/{server}/{what:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    while line := (await lines.readline()).decode():
        print(json.dumps(await stamps.answer(line)), flush=True)
    await runner.cleanup()


if __name__ == "__main__":
    run(lambda: main(int(sys.argv[1]), float(sys.argv[2]), *map(int, sys.argv[3:])))
