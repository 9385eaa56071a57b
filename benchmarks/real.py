"""The same small jobs through a real ComfyUI, where COMFYUI_URL names one: its own queue, then comfygate.

Nothing can be stamped inside of it. A bystander's WebSocket hears every change of the queue's length, so the
time in which the queue was empty is known; with its own queue fed in advance that is none. Only for a server
that nobody else uses at the moment.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from dataclasses import dataclass

import aiohttp

from benchmarks.engines import Engine
from benchmarks.figures import Figure
from benchmarks.graphs import plain_graph
from benchmarks.processes import Gateway, gateway
from benchmarks.utilisation import send

SECONDS_MAX = 300.0


@dataclass(frozen=True, slots=True)
class Size:
    """Jobs each way, in rounds that alternate."""

    jobs: int = 20
    rounds: int = 2


async def measure_real(engine: Engine, size: Size | None = None) -> list[Figure]:
    """Jobs a second and the part of the time in which the server's queue was empty; nothing without a URL."""
    url = os.environ.get("COMFYUI_URL", "").rstrip("/")
    if not url:
        return []
    size = size or Size()
    own: list[tuple[float, float]] = []
    ours: list[tuple[float, float]] = []
    async with gateway(engine) as gate:
        await gate.add_server("real", url)
        caller = await gate.caller("bench")
        await caller.submit(plain_graph())
        await gate.idle(SECONDS_MAX)
        for _ in range(size.rounds):
            own.append(await _own_queue(gate, url, size.jobs))
            await gate.operate("lanes.pause", lane="image")
            for _ in range(size.jobs):
                await caller.submit(plain_graph())
            async with Bystander(gate.session, url) as watch:
                await gate.operate("lanes.resume", lane="image")
                ours.append(await watch.until(size.jobs))
            await gate.idle(SECONDS_MAX)
    rate, base = (max(one for one, _ in some) for some in (ours, own))
    empty = min(one for _, one in ours)
    control = "the server's own queue"
    return [
        Figure("real ComfyUI: rate", engine.name, rate, "jobs/s", rate / base, control, None, "higher"),
        Figure(
            "real ComfyUI: queue empty", engine.name, empty, "of the time", None, "none with its own queue"
        ),
    ]


async def _own_queue(gate: Gateway, url: str, jobs: int) -> tuple[float, float]:
    """The prompts' own history entries are removed afterwards."""
    async with Bystander(gate.session, url) as watch:
        sent = [await send(gate.session, url, plain_graph(), uuid.uuid4().hex) for _ in range(jobs)]
        found = await watch.until(jobs)
    async with gate.session.post(f"{url}/history", json={"delete": sent}) as answer:
        answer.raise_for_status()
    return found


class Bystander:
    """Hears how long the queue is, and so when it fell."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def __aenter__(self) -> Bystander:
        self._socket = await self._session.ws_connect(f"{self._url}/ws?clientId={uuid.uuid4().hex}")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()

    async def until(self, jobs: int) -> tuple[float, float]:
        """Jobs a second, and the part of the time with nothing queued, until the length fell `jobs` times."""
        began = ended = 0.0
        empty, since, before, fell = 0.0, None, 0, 0
        async with asyncio.timeout(SECONDS_MAX):
            while fell < jobs:
                frame = await self._socket.receive()
                now = time.monotonic()
                length = _length(frame)
                if length is None:
                    continue
                if length and not began:
                    began = now
                if length and since is not None:
                    empty, since = empty + now - since, None
                if length < before:
                    fell, ended = fell + before - length, now
                    since = now if length == 0 else None
                before = length
        seconds = ended - began
        return jobs / seconds, empty / seconds


def _length(frame: aiohttp.WSMessage) -> int | None:
    if frame.type is not aiohttp.WSMsgType.TEXT:
        return None
    said = frame.json()
    if said.get("type") != "status":
        return None
    return int(said["data"]["status"]["exec_info"]["queue_remaining"])
