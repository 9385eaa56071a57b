"""A whole gateway for a test: real sockets, a real database, a real simulator behind it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
from blake3 import blake3
from PIL import Image
from pydantic import SecretStr

from comfygate.api.server import create_api, end_streams
from comfygate.app.http import Listener, bound, listening
from comfygate.app.wiring import signing_secret, started
from comfygate.gate import accounts, health, operate
from comfygate.gate.context import Context
from comfygate.gate.files import UrlSigner
from comfygate.gate.service import Service
from comfygate.settings import Settings
from comfygate.simulator import Simulator

PATIENCE_SECONDS = 20.0
Graph = dict[str, dict[str, Any]]
Event = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class Gateway:
    """One running gateway. `keys` holds the API key of every account added here, by its name."""

    settings: Settings
    service: Service
    http: Listener
    url: str
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def ctx(self) -> Context:
        return self.service.ctx

    async def add_account(self, name: str = "ann", *, tier: str = "regular", credits: int = 100) -> str:
        """Make an account; its API key."""
        made = await accounts.add_account(self.ctx, name, tier=tier, credits=credits)
        self.keys[name] = made.api_key
        return made.api_key

    async def add_server(
        self, sim: Simulator, *, name: str = "one", lanes: tuple[str, ...] = ("image", "video")
    ) -> None:
        """Put a simulator behind the gateway and wait until it counts as up."""
        await operate.servers_add(self.ctx, name, sim.url, list(lanes))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (name in self.ctx.fleet.status and self.ctx.fleet.status[name].up):
                await health.look(self.ctx)

    @asynccontextmanager
    async def client(self, key: str | None = None) -> AsyncIterator[Client]:
        """An HTTP client with this API key (None: without one)."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=PATIENCE_SECONDS) as http:
            yield Client(http)


@dataclass(slots=True)
class Client:
    """What the tests do over HTTP, as one account."""

    http: httpx.AsyncClient

    async def submit(self, graph: Graph, **how: Any) -> dict[str, Any]:
        """Submit a graph that must be accepted."""
        answer = await self.http.post("/api/v2/jobs", json={"workflow": graph}, **how)
        assert answer.status_code == 201, answer.text
        job: dict[str, Any] = answer.json()
        return job

    async def job(self, job_id: str) -> dict[str, Any]:
        """The job as it stands."""
        answer = await self.http.get(f"/api/v2/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        job: dict[str, Any] = answer.json()
        return job

    async def events(self, job_id: str) -> AsyncIterator[Event]:
        """The job's live events, to the end of the stream."""
        async with self.http.stream("GET", f"/api/v2/jobs/{job_id}/events") as answer:
            assert answer.status_code == 200, (await answer.aread()).decode()
            async for event in sse(answer.aiter_lines()):
                yield event

    async def until(self, job_id: str, status: str) -> list[Event]:
        """Follow the job until it has this status; every event up to it. Fails when it ends otherwise."""
        seen: list[Event] = []
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for event in self.events(job_id):
                seen.append(event)
                if event[0] == "status" and event[1]["status"] == status:
                    return seen
        raise AssertionError(f"job {job_id} never was {status}: {seen}")

    async def ended(self, job_id: str) -> dict[str, Any]:
        """Follow the job to its end; the job then."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for _event in self.events(job_id):
                continue
        return await self.job(job_id)

    async def run(self, graph: Graph, **how: Any) -> dict[str, Any]:
        """Submit a graph and wait for its end."""
        return await self.ended((await self.submit(graph, **how))["id"])

    async def upload(self, content: bytes, name: str = "photo.png", **fields: Any) -> httpx.Response:
        """Upload bytes under a name."""
        data = {"content_type": "image/png", "file_path": name, **fields}
        return await self.http.post("/api/v2/assets", data=data, files={"file": (name, content)})

    async def asset(self, content: bytes, name: str = "photo.png", **fields: Any) -> dict[str, Any]:
        """Upload bytes that must be accepted; the asset."""
        answer = await self.upload(content, name, **fields)
        assert answer.status_code in {200, 201}, answer.text
        asset: dict[str, Any] = answer.json()
        return asset

    async def download(self, output: Mapping[str, Any]) -> bytes:
        """An output's bytes, by its signed address alone."""
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as stranger:
            answer = await stranger.get(output["url"])
        assert answer.status_code == 200, answer.text
        return answer.content

    async def balance(self) -> tuple[int, int]:
        """Available and held credits."""
        body = (await self.http.get("/gate/v1/account")).json()
        return body["available"], body["held"]

    async def entries(self) -> list[tuple[str, int]]:
        """Kind and amount of every entry, oldest first."""
        body = (await self.http.get("/gate/v1/entries")).json()
        return [(entry["kind"], entry["amount"]) for entry in reversed(body["entries"])]


async def sse(lines: AsyncIterator[str]) -> AsyncIterator[Event]:
    """Events from the lines of a stream; comments come under the name `comment`."""
    name = ""
    async for line in lines:
        if line.startswith(":"):
            yield "comment", {"text": line[1:].strip()}
        elif line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def places(events: list[Event]) -> list[int]:
    """Every place in line that a watcher was told."""
    told = [body["queue_position"] for name, body in events if name == "status"]
    return [place for place in told if place is not None]


def settings_for(base_dir: Path, database_url: str, **changes: Any) -> Settings:
    """Settings of a test: quick polls and retries, everything else as shipped."""
    given: dict[str, Any] = {
        "base_dir": base_dir,
        "database_url": SecretStr(database_url),
        "comfy": {"poll_seconds": 0.1, "submit_retry_seconds": 0.05, "probe_seconds": 0.5},
        "dispatch": {"poll_seconds": 0.5, "stop_seconds": PATIENCE_SECONDS},
    }
    for name, value in changes.items():
        given[name] = {**given.get(name, {}), **value} if isinstance(value, dict) else value
    return Settings(**given)


@asynccontextmanager
async def running_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """A gateway on a port of its own; at the end of the block open attempts are left for adoption."""
    async with started(settings) as service:
        signer = UrlSigner(signing_secret(settings), settings.url_seconds)
        api = create_api(
            service.ctx,
            public_url=settings.public_url,
            root_path=settings.root_path,
            signer=signer,
            admin_key=settings.admin_key.get_secret_value() if settings.admin_key else None,
        )
        with socket_of() as sock:
            async with listening(api, sock, lambda: end_streams(api)) as listener:
                yield Gateway(settings, service, listener, f"http://127.0.0.1:{listener.port}")


@contextmanager
def socket_of() -> Iterator[Any]:
    """A bound socket on a port that the system chose."""
    sock = bound("127.0.0.1", 0)
    try:
        yield sock
    finally:
        sock.close()


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    """One node of a graph."""
    return {"class_type": class_type, "inputs": inputs}


def image_graph(prefix: str = "out", *, color: int = 0x102030, size: int = 8) -> Graph:
    """Three nodes: a plain picture, inverted, saved."""
    return {
        "1": node("EmptyImage", width=size, height=size, batch_size=1, color=color),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix=prefix),
    }


def file_graph(image: Any, prefix: str = "out") -> Graph:
    """An uploaded picture, inverted, saved."""
    return {
        "1": node("LoadImage", image=image),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("SaveImage", images=["2", 0], filename_prefix=prefix),
    }


def video_graph(image: Any, *, frames: int = 6, prefix: str = "clip") -> Graph:
    """An uploaded picture, inverted and repeated into an MP4."""
    return {
        "1": node("LoadImage", image=image),
        "2": node("ImageInvert", image=["1", 0]),
        "3": node("RepeatImageBatch", image=["2", 0], amount=frames),
        "4": node("CreateVideo", images=["3", 0], fps=12.0),
        "5": node("SaveVideo", video=["4", 0], filename_prefix=prefix, format="auto", codec="auto"),
    }


def reference(asset: Mapping[str, Any]) -> dict[str, Any]:
    """An asset as a graph means it."""
    return {"__type": "core/ASSET", "info": {"id": asset["id"]}}


def png(color: tuple[int, int, int] = (250, 20, 30), size: tuple[int, int] = (16, 16)) -> bytes:
    """A plain picture's bytes."""
    buffer = BytesIO()
    Image.new("RGB", size, color).save(buffer, format="PNG")
    return buffer.getvalue()


def hash_of(content: bytes) -> str:
    """As the contract writes it."""
    return f"blake3:{blake3(content).hexdigest()}"


def unpacked(body: Mapping[str, Any]) -> bytes:
    """The picture of a `preview` event."""
    return base64.b64decode(body["data_base64"])
