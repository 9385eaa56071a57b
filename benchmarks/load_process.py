"""Callers by the hundred in a process of their own: `python -m benchmarks.load_process`.

Each line of standard input is a JSON order, each answer a JSON line. HTTP is written and read by hand over
asyncio streams, because a full client costs as much processor time as the gateway it should press.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlsplit

from benchmarks.graphs import picture, picture_graph, plain_graph

BOUNDARY = "benchmark-boundary"
STREAM_BYTES_MAX = 256 * 1024
Json = dict[str, Any]


class Connection:
    """One kept-alive connection of one account."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._head = f"Host: {parts.netloc}\r\nAuthorization: Bearer {key}\r\n"

    async def open(self) -> None:
        """Raises OSError."""
        self._reader, self._writer = await asyncio.open_connection(
            self._host, self._port, limit=STREAM_BYTES_MAX
        )

    def close(self) -> None:
        """Let go."""
        self._writer.close()

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> None:
        """Send a request."""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Type: {kind}\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer."""
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value for name, value in pairs}

    async def call(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> Json:
        """The JSON answer. Raises RuntimeError for a refusal."""
        self.ask(method, path, body, kind)
        status, headers = await self.head()
        said = await self._reader.readexactly(int(headers["content-length"]))
        if status >= 400:
            raise RuntimeError(f"{method} {path} was answered {status}: {said.decode()}")
        found: Json = json.loads(said)
        return found

    async def line(self) -> bytes:
        """The next line of a streamed body; empty at its end. The lengths of chunks are lines too."""
        return await self._reader.readline()


def _form(content: bytes, name: str) -> bytes:
    fields = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in (("content_type", "image/png"), ("file_path", name))
    )
    file = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
    head = f"{fields}{file}Content-Type: image/png\r\n\r\n"
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


async def submits(order: Json) -> Json:
    """Submissions for `seconds` by one client a key, each with an upload before it if `inputs`."""
    latencies: list[float] = []
    connections = [Connection(order["url"], key) for key in order["keys"]]
    await asyncio.gather(*(one.open() for one in connections))
    until = time.monotonic() + order["seconds"]

    async def client(connection: Connection, number: int) -> None:
        serial = 0
        while time.monotonic() < until:
            serial += 1
            graph, form = plain_graph(), b""
            if order["inputs"]:
                name = f"{number}-{serial}-{time.monotonic_ns()}.png"
                form = _form(picture(), name)
                graph = picture_graph(name)
            began = time.monotonic()
            if order["inputs"]:
                kind = f"multipart/form-data; boundary={BOUNDARY}"
                await connection.call("POST", "/api/v2/assets", form, kind)
            await connection.call("POST", "/api/v2/jobs", json.dumps({"workflow": graph}).encode())
            latencies.append(time.monotonic() - began)

    began = time.monotonic()
    await asyncio.gather(*(client(one, number) for number, one in enumerate(connections)))
    seconds = time.monotonic() - began
    for one in connections:
        one.close()
    return {"latencies": latencies, "seconds": seconds}


async def submit_many(order: Json) -> Json:
    """`count` submissions by 16 clients; the jobs' ids."""
    found: list[str] = []
    connections = [Connection(order["url"], order["keys"][0]) for _ in range(16)]
    await asyncio.gather(*(one.open() for one in connections))
    left = iter(range(order["count"]))

    async def client(connection: Connection) -> None:
        for _ in left:
            body = json.dumps({"workflow": order.get("graph") or plain_graph()}).encode()
            found.append((await connection.call("POST", f"/api/v2/jobs?lane={order['lane']}", body))["id"])

    await asyncio.gather(*(client(one) for one in connections))
    for one in connections:
        one.close()
    return {"ids": found}


class Followers:
    """Event streams held open, and when each of them heard what."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, int]] = []
        self.ended = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self, order: Json) -> Json:
        """Follow the jobs, `clients` of them round robin; returns when all have heard the present state."""
        needed = order["clients"] + 100
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft < needed:
            if hard < needed:
                raise RuntimeError(f"{needed} open files are needed and {hard} allowed: ulimit -n {needed}")
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
        ready = asyncio.Semaphore(0)
        jobs = order["jobs"]
        gate = asyncio.Semaphore(64)
        for number in range(order["clients"]):
            job_id = jobs[number % len(jobs)]
            self._tasks.append(asyncio.create_task(self._follow(order, job_id, ready, gate)))
        for _ in range(order["clients"]):
            await ready.acquire()
            self._raise_first()
        return {"open": len(self._tasks)}

    def _raise_first(self) -> None:
        for task in self._tasks:
            if task.done() and task.exception() is not None:
                raise task.exception() or RuntimeError("a follower broke")

    async def _follow(
        self, order: Json, job_id: str, ready: asyncio.Semaphore, gate: asyncio.Semaphore
    ) -> None:
        connection = Connection(order["url"], order["keys"][0])
        name, first = "", True
        try:
            async with gate:
                await connection.open()
                connection.ask("GET", f"/api/v2/jobs/{job_id}/events")
                status, _ = await connection.head()
            if status != 200:
                raise RuntimeError(f"an event stream was answered {status}")
            while line := await connection.line():
                if line.startswith(b"event: "):
                    name = line[7:].strip().decode()
                elif line.startswith(b"data: ") and name == "status":
                    said = json.loads(line[6:])["status"]
                    self.heard.append((job_id, said, time.monotonic_ns()))
                    if first:
                        first = False
                        ready.release()
                    if said in {"succeeded", "failed", "canceled", "expired"}:
                        self.ended += 1
                        break
        finally:
            if first:
                ready.release()
            with contextlib.suppress(AttributeError):
                connection.close()

    async def wait(self, order: Json) -> Json:
        """Until every stream has ended, `seconds` at most; what was heard, and how many heard no end."""
        _, late = await asyncio.wait(self._tasks, timeout=order["seconds"])
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        missed = len(self._tasks) - self.ended
        return {"heard": self.heard, "missed": missed}


async def main() -> None:
    """Answer orders until standard input ends."""
    lines = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    followers = Followers()
    print(json.dumps({"pid": os.getpid()}), flush=True)
    while line := await lines.readline():
        order = json.loads(line)
        work: dict[str, Any] = {
            "submits": submits, "submit_many": submit_many,
            "follow": followers.open, "followed": followers.wait,
        }  # fmt: skip
        act: Coroutine[Any, Any, Json] = work[order["do"]](order)
        print(json.dumps(await act), flush=True)
        if order["do"] == "followed":
            followers = Followers()


if __name__ == "__main__":
    asyncio.run(main())
