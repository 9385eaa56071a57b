"""A whole gateway on a real port, its callers over HTTP, and pictures and graphs for them to send."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image
from sqlalchemy import Connection, select

from comfygate.app.serve import Hosted, hosted
from comfygate.gate.operate import perform
from comfygate.settings import Settings, load_settings
from comfygate.store.ops_tables import server_changes
from tests.looking import before_the_next_look

PATIENCE_SECONDS = 30.0
ENDED = {"succeeded", "failed", "canceled", "expired"}
Json = dict[str, Any]


def picture(colour: tuple[int, int, int] = (200, 40, 90)) -> bytes:
    """A small PNG of one colour."""
    file = io.BytesIO()
    Image.new("RGB", (48, 32), colour).save(file, "PNG")
    return file.getvalue()


def image_graph(name: Any = "photo.png") -> Json:
    """Invert a picture."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "out", "images": ["2", 0]}},
    }


def plain_graph(colour: int = 0) -> Json:
    """A picture from nothing."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": colour},
        },
        "2": {"class_type": "SaveImage", "inputs": {"filename_prefix": "out", "images": ["1", 0]}},
    }


def video_graph(name: Any = "photo.png", frames: int = 8) -> Json:
    """A clip of one picture."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "RepeatImageBatch", "inputs": {"image": ["1", 0], "amount": frames}},
        "3": {"class_type": "CreateVideo", "inputs": {"images": ["2", 0], "fps": 8.0}},
        "4": {
            "class_type": "SaveVideo",
            "inputs": {"video": ["3", 0], "filename_prefix": "clip", "format": "mp4", "codec": "h264"},
        },
    }


def settings_for(
    folder: Path, database_url: str = "", top: Mapping[str, Any] | None = None, **tables: Any
) -> Settings:
    """Settings of a gateway in `folder` that reacts fast enough for tests; `top` are keys outside of
    tables."""
    overrides: Json = {
        "database_url": database_url,
        "port": 0,
        **(top or {}),
        "comfy": {"poll_seconds": 0.2, "submit_retry_seconds": 0.05, "probe_seconds": 0.3},
        "dispatch": {"poll_seconds": 0.2, "stop_seconds": 10},
    }
    for name, table in tables.items():
        overrides[name] = {**overrides.get(name, {}), **table}
    folder.mkdir(parents=True, exist_ok=True)
    return load_settings(base_dir=folder, environ={}, overrides=overrides)


@dataclass
class Caller:
    """One account, over HTTP."""

    session: aiohttp.ClientSession
    url: str
    id: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    async def call(
        self,
        method: str,
        path: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **given: Any,
    ) -> Any:
        """The JSON answer to a request, which must have `status`."""
        async with self.session.request(
            method, f"{self.url}{path}", headers={**self.headers, **(headers or {})}, **given
        ) as answer:
            body = await answer.json()
            assert answer.status == status, body
            return body

    async def upload(self, content: bytes, name: str = "photo.png") -> Json:
        form = aiohttp.FormData()
        form.add_field("content_type", "image/png")
        form.add_field("file_path", name)
        form.add_field("file", content, filename=name, content_type="image/png")
        async with self.session.post(f"{self.url}/api/v2/assets", data=form, headers=self.headers) as answer:
            assert answer.status in {200, 201}, await answer.text()
            asset: Json = await answer.json()
            return asset

    async def submit(self, graph: Json, **given: Any) -> str:
        """Submit, and give the job's id."""
        job = await self.call("POST", "/api/v2/jobs", status=201, json={"workflow": graph}, **given)
        job_id: str = job["id"]
        return job_id

    async def job(self, job_id: str) -> Json:
        job: Json = await self.call("GET", f"/api/v2/jobs/{job_id}")
        return job

    async def events(self, job_id: str) -> AsyncIterator[tuple[str, Json]]:
        """The job's event stream to its end."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=PATIENCE_SECONDS)
        async with self.session.get(
            f"{self.url}/api/v2/jobs/{job_id}/events", headers=self.headers, timeout=timeout
        ) as answer:
            assert answer.status == 200, await answer.text()
            name = ""
            async for raw in answer.content:
                line = raw.decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield name, json.loads(line.removeprefix("data: "))

    async def until(self, job_id: str, *statuses: str) -> None:
        """Wait until the stream tells one of `statuses`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            async with contextlib.aclosing(self.events(job_id)) as events:  # type: ignore[type-var]
                async for name, data in events:
                    if name == "status" and data["status"] in statuses:
                        return
        raise AssertionError(f"job {job_id} ended without {statuses}")

    async def end(self, job_id: str) -> Json:
        """Wait for the end; the job as it is then."""
        await self.until(job_id, *ENDED)
        return await self.job(job_id)

    async def content(self, output: Json) -> bytes:
        """An output's bytes by its signed address, without the key."""
        async with self.session.get(output["url"]) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def credits(self) -> tuple[int, int]:
        """Available and held."""
        account = await self.call("GET", "/gate/v1/account")
        return account["available"], account["held"]

    async def entries(self, job_id: str) -> list[str]:
        """Kinds of the job's entries, oldest first."""
        found = await self.call("GET", "/gate/v1/entries?limit=100")
        return [entry["kind"] for entry in reversed(found["entries"]) if entry["job_id"] == job_id]


@dataclass
class Gateway:
    """A running gateway."""

    house: Hosted
    session: aiohttp.ClientSession

    async def operate(self, operation: str, **arguments: Any) -> Json:
        return await perform(self.house.service.ctx, operation, arguments)

    async def add_server(self, name: str, url: str, *lanes: str, slots: int = 1, ahead: int = 0) -> None:
        """Configure a server and wait until it was found up."""
        added = {"name": name, "url": url, "lanes": list(lanes), "slots": slots, "ahead": ahead}
        await self.operate("servers.add", **added)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(s["up"] for s in await self.servers() if s["name"] == name):
                await before_the_next_look()

    async def until_server(self, name: str, *states: str) -> None:
        """Wait until the server is in one of these states."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not any(s["name"] == name and s["state"] in states for s in await self.servers()):
                await before_the_next_look()

    async def until_was(self, name: str, state: str) -> None:
        """Wait until the server was in this state, be it for a moment."""
        kept = select(server_changes.c.state).where(server_changes.c.server == name)

        def been(conn: Connection) -> bool:
            return state in set(conn.execute(kept).scalars())

        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self.house.service.ctx.store.read(been):
                await before_the_next_look()

    async def servers(self) -> list[Json]:
        found = await self.operate("servers.list")
        return [{**server, "up": server["state"] == "up"} for server in found["servers"]]

    async def add_account(self, name: str, *, tier: str = "regular", credits: int = 100) -> Caller:
        made = await self.operate("accounts.add", name=name, tier=tier, credits=credits)
        return Caller(self.session, self.house.url, made["id"], made["api_key"])

    async def audit(self) -> None:
        """The books must be right."""
        found = await self.operate("ledger.audit")
        assert found["faults"] == []
        assert found["total"] == 0


@contextlib.asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """Run a gateway for the length of the block; what runs at its end is left for adoption."""
    async with hosted(settings) as house, aiohttp.ClientSession() as session:
        yield Gateway(house, session)
