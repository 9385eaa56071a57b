"""A gateway as its users see it: Comfy API v2 over HTTP, with every trouble as one line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import mimetypes
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from comfygate.cli.files import fresh_file
from comfygate.cli.refusals import CommandError, of_envelope, out_of_reach

CONNECT_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 60.0
"""Longest silence within an answer; event streams send a comment every 15 s."""
POLL_SECONDS: Final = 1.0
AWAY_SECONDS_MAX: Final = 60.0
"""How long a gateway may be away while a job is followed."""
CHUNK_BYTES: Final = 1024 * 1024
LINE_BYTES_MAX: Final = 8 * 1024 * 1024
ENDED: Final = frozenset({"succeeded", "failed", "canceled", "expired"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a job: `status`, `progress`, `preview` or `output`, with its data."""

    kind: str
    data: Json


class Gateway:
    """The API at `url`, for one account. Every method raises CommandError."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url.rstrip("/")
        self._session = session

    async def account(self) -> Json:
        """Name, tier, available and held credits."""
        return await self._json("GET", "/gate/v1/account")

    async def entries(self) -> Json:
        """The account's newest ledger entries."""
        return await self._json("GET", "/gate/v1/entries")

    async def upload(self, path: Path) -> Json:
        """Upload a file under its own name, streamed; the asset."""
        content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        with path.open("rb") as file:
            form = aiohttp.FormData()
            # The contract wants what describes the bytes before the bytes.
            form.add_field("content_type", content_type)
            form.add_field("file_path", path.name)
            form.add_field("tags", "input")
            form.add_field("file", file, filename=path.name, content_type=content_type)
            return await self._json("POST", "/api/v2/assets", data=form)

    async def submit(self, graph: Mapping[str, Any], *, key: str, lane: str | None) -> Json:
        """Submit under an Idempotency-Key, so that one submission can never become two jobs."""
        return await self._submitted(
            "/api/v2/jobs", {"workflow": dict(graph)}, key, {"lane": lane} if lane else {}
        )

    async def workflow(self, name: str) -> Json:
        """What may be chosen of a workflow of the catalogue."""
        return await self._json("GET", f"/gate/v1/workflows/{quote(name, safe='')}")

    async def quote(self, name: str, order: Json) -> Json:
        """What an order would cost now."""
        return await self._json("POST", f"/gate/v1/workflows/{quote(name, safe='')}/quote", json=order)

    async def order(self, name: str, order: Json, *, key: str) -> Json:
        """Order a job of the catalogue, under an Idempotency-Key as `submit`."""
        return await self._submitted(f"/gate/v1/workflows/{quote(name, safe='')}/jobs", order, key, {})

    async def _submitted(self, path: str, body: Json, key: str, params: Mapping[str, str]) -> Json:
        try:
            return await self._json(
                "POST", path, json=body, headers={"Idempotency-Key": key}, params=dict(params)
            )
        except CommandError as error:
            if error.code != "out_of_reach":
                raise
            raise out_of_reach(
                f"{error.message}; the job may be accepted: see 'comfygate jobs list' before you repeat it"
            ) from error

    async def job(self, job_id: str) -> Json:
        """The job as it stands."""
        return await self._json("GET", f"/api/v2/jobs/{job_id}")

    async def cancel(self, job_id: str) -> Json:
        """Ask for the job to be canceled."""
        return await self._json("POST", f"/api/v2/jobs/{job_id}/cancel")

    async def follow(self, job_id: str, heard: Callable[[Event], None]) -> Json:
        """Hear of everything until the job ends; the job. Falls back to asking when the stream breaks."""
        loop = asyncio.get_running_loop()
        last_answer = loop.time()
        while True:
            with contextlib.suppress(CommandError):
                async with contextlib.aclosing(self._events(job_id)) as events:
                    async for event in events:
                        last_answer = loop.time()
                        heard(event)
            try:
                job = await self.job(job_id)
            except CommandError as error:
                if error.code not in {"out_of_reach", "upstream_error"}:
                    raise
                if loop.time() - last_answer > AWAY_SECONDS_MAX:
                    raise out_of_reach(
                        f"{error.message}; job {job_id} goes on: see 'comfygate jobs show {job_id}'"
                    ) from error
            else:
                last_answer = loop.time()
                heard(Event("status", {"status": job["status"], "queue_position": job["queue_position"]}))
                if job["progress"]:
                    heard(Event("progress", job["progress"]))
                if job["status"] in ENDED:
                    return job
            await asyncio.sleep(POLL_SECONDS)

    async def _events(self, job_id: str) -> AsyncGenerator[Event, None]:
        async with self._asked("GET", f"/api/v2/jobs/{job_id}/events") as answer:
            kind, data = "", b""
            async for line in answer.content:
                text = line.rstrip(b"\r\n")
                if text.startswith(b"event:"):
                    kind = text[6:].strip().decode()
                elif text.startswith(b"data:"):
                    data += text[5:].strip()
                elif not text:
                    if kind and data:
                        yield Event(kind, json.loads(data))
                    kind, data = "", b""

    async def download(self, output: Json, folder: Path) -> Path:
        """Write an output below `folder` under its own name, or with (1), (2) if that is taken; the path."""
        async with self._asked("GET", f"/api/v2/assets/{output['id']}/content") as answer:
            path, file = await asyncio.to_thread(fresh_file, folder, str(output["name"]))
            try:
                with file:
                    async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                        await asyncio.to_thread(file.write, chunk)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return path

    async def _json(self, method: str, path: str, **given: Any) -> Json:
        async with self._asked(method, path, **given) as answer:
            body: Json = await answer.json(content_type=None)
            return body

    @asynccontextmanager
    async def _asked(self, method: str, path: str, **given: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(
                method, self.url + path, allow_redirects=method == "GET", **given
            ) as answer:
                if answer.status >= 400:
                    raise await _refusal(self.url, answer)
                yield answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise out_of_reach(
                f"the gateway at {self.url} {_reason(error)}; start it or correct --url"
            ) from error


@asynccontextmanager
async def gateway(url: str, api_key: str) -> AsyncIterator[Gateway]:
    """The API at `url` with this key."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
    async with aiohttp.ClientSession(
        timeout=timeout,
        headers={"Authorization": f"Bearer {api_key}"},
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=LINE_BYTES_MAX,
        trust_env=True,
    ) as session:
        yield Gateway(url, session)


async def _refusal(url: str, answer: aiohttp.ClientResponse) -> CommandError:
    try:
        body = await answer.json(content_type=None)
    except ValueError:
        body = None
    refusal = of_envelope(body, answer.status)
    if refusal is None:
        return out_of_reach(f"{url} answered {answer.status} and is no comfygate; correct --url")
    if (seconds := answer.headers.get("Retry-After")) is not None:
        refusal.next_step = f"Try again in {seconds} s."
    return refusal


def _reason(error: BaseException) -> str:
    match error:
        case aiohttp.ClientConnectorError():
            return f"cannot be reached ({error.os_error.strerror or type(error.os_error).__name__})"
        case TimeoutError():
            return "does not answer"
        case aiohttp.InvalidURL():
            return "has no address that can be understood"
        case ValueError():
            return "answered something that is not of its API"
        case _:
            return f"broke off ({type(error).__name__})"
