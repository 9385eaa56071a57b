"""People with pages open, and people who order jobs: `python -m benchmarks.pages_process`.

Each line of standard input is a JSON order, each answer a JSON line. A page is signed in and holds the stream
that its scripts hold. One that does not read keeps what a browser far away would: its segments and its buffer
are small, so that what it does not take soon waits in the service.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from benchmarks.load_process import Connection
from benchmarks.page_reads import ENDED, OPS, STREAMS

Json = dict[str, Any]
FAR_SEGMENT_BYTES = 1400
FAR_BUFFER_BYTES = 16 * 1024
LINE_BYTES_MAX = 4 * 1024 * 1024
OPENED_AT_ONCE = 32
GRAPH = {
    "1": {
        "class_type": "EmptyImage",
        # Of light servers: a result of so many kB.
        "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 50},
    },
    "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "out", "images": ["1", 0]}},
}


@dataclass(slots=True)
class Page:
    """One open page. `slow`: it reads or not as it is told."""

    url: str
    key: str
    operates: bool
    slow: bool
    ended: dict[str, int] = field(default_factory=dict)
    """When it heard that a job had ended, by id."""
    port: int = 0
    whole: asyncio.Event = field(default_factory=asyncio.Event)
    _reading: asyncio.Task[None] | None = None
    _writer: asyncio.StreamWriter | None = None

    async def open(self, heard: asyncio.Event) -> None:
        """Sign in, and follow until everything was told once."""
        cookie = await self._signed_in()
        address = f"{OPS}/stream" if self.operates else "gate/v1/events"
        parts = urlsplit(self.url)
        sock = socket.socket()
        sock.setblocking(False)
        if self.slow:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, FAR_SEGMENT_BYTES)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, FAR_BUFFER_BYTES)
        await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, parts.port))
        self.port = sock.getsockname()[1]
        reader, self._writer = await asyncio.open_connection(sock=sock, limit=LINE_BYTES_MAX)
        head = f"GET /{address} HTTP/1.1\r\nHost: {parts.netloc}\r\nCookie: {cookie}\r\n\r\n"
        self._writer.write(head.encode())
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError(f"a page's stream was answered {status!r}")
        self._reading = asyncio.create_task(self._read(reader, STREAMS[address], heard))
        await self.whole.wait()

    async def _signed_in(self) -> str:
        connection = Connection(self.url, "")
        await connection.open()
        connection.ask("POST", "/gate/v1/session", json.dumps({"api_key": self.key}).encode())
        status, headers = await connection.head()
        connection.close()
        if status != 201:
            raise RuntimeError(f"signing in was answered {status}")
        return headers["set-cookie"].partition(";")[0]

    async def _read(self, reader: asyncio.StreamReader, whole: str, heard: asyncio.Event) -> None:
        name = ""
        while line := await reader.readline():
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
                if name == whole:
                    self.whole.set()
            elif line.startswith(b"data: ") and name in {"job", "events"}:
                self._hear(json.loads(line[6:]))
                heard.set()

    def _hear(self, said: Json) -> None:
        now = time.monotonic_ns()
        if "events" not in said:
            if said["status"] in ENDED:
                self.ended.setdefault(said["id"], now)
            return
        for one in said["events"]:
            if one["kind"].removeprefix("job.") in ENDED:
                self.ended.setdefault(one["job_id"], now)

    def read(self, *, on: bool) -> None:
        """Go on reading, or take nothing any more; the connection stays."""
        assert self._writer is not None  # noqa: S101 - it was opened
        transport: Any = self._writer.transport
        if on:
            transport.resume_reading()
        else:
            transport.pause_reading()

    async def close(self) -> None:
        """Leave."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._writer is not None:
            self._writer.transport.abort()


class Pages:
    """All of them."""

    def __init__(self) -> None:
        self._pages: list[Page] = []
        self._heard = asyncio.Event()

    async def open(self, order: Json) -> Json:
        """Open a page for each of `people`, and say from which ports."""
        self._pages = [Page(order["url"], **person) for person in order["people"]]
        gate = asyncio.Semaphore(OPENED_AT_ONCE)

        async def opened(page: Page) -> None:
            async with gate:
                await page.open(self._heard)

        await asyncio.gather(*map(opened, self._pages))
        return {"ports": [page.port for page in self._pages]}

    async def read(self, order: Json) -> Json:
        """The slow ones do, or do not, as `on` says."""
        for page in self._pages:
            if page.slow:
                page.read(on=order["on"])
        return {}

    async def heard(self, order: Json) -> Json:
        """When each page heard the ends of `jobs` (a list for each page; null for none), after waiting for
        them for `seconds` at most."""
        wanted = order["jobs"]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(order["seconds"]):
                while any(self._missing(wanted)):
                    self._heard.clear()
                    await self._heard.wait()
        pages = zip(self._pages, wanted, strict=True)
        return {
            "missing": list(self._missing(wanted)),
            "heard": [
                (job, page.ended[job])
                for page, jobs in pages
                if not page.operates
                for job in jobs or []
                if job in page.ended
            ],
        }

    def _missing(self, wanted: list[list[str] | None]) -> list[int]:
        return [
            sum(job not in page.ended for job in jobs or [])
            for page, jobs in zip(self._pages, wanted, strict=True)
        ]

    async def close(self, _order: Json) -> Json:
        """Close all."""
        await asyncio.gather(*(page.close() for page in self._pages))
        return {}


async def pace(order: Json) -> Json:
    """`rate` submissions a second for `seconds`, by the holders of `keys` in turns, each when its time has
    come, however long others take; over a connection of its own, as one that rests is closed."""
    keys = order["keys"]
    body = json.dumps({"workflow": GRAPH}).encode()
    made: list[tuple[str, int, int]] = []

    async def submit(number: int) -> None:
        connection = Connection(order["url"], keys[number])
        await connection.open()
        began = time.monotonic_ns()
        answer = await connection.call("POST", f"/api/v2/jobs?lane={order['lane']}", body)
        made.append((answer["id"], number, began))
        connection.close()

    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for serial in range(round(order["rate"] * order["seconds"])):
            await asyncio.sleep(max(began + serial / order["rate"] - time.monotonic(), 0))
            tasks.create_task(submit(serial % len(keys)))
    return {"made": made, "seconds": time.monotonic() - began}


async def main() -> None:
    """Answer orders until standard input ends."""
    lines = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    pages = Pages()
    work = {
        "open": pages.open, "read": pages.read, "heard": pages.heard, "close": pages.close, "pace": pace,
    }  # fmt: skip
    print(json.dumps({"pid": os.getpid()}), flush=True)
    while line := await lines.readline():
        order = json.loads(line)
        print(json.dumps(await work[order["do"]](order)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
