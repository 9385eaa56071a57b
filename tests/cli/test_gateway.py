"""The client of a gateway when the gateway, or what stands in its place, does not play along."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfygate.cli import gateway as client
from comfygate.cli import run_command
from comfygate.cli.gateway import Event, Gateway, gateway
from comfygate.cli.refusals import CommandError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(**routes: Handler) -> AsyncIterator[Gateway]:
    """A gateway made of these answers: `events`, `job`, `submit`, `cancel`, `content`, `account`."""
    paths = {
        "events": ("GET", "/api/v2/jobs/j1/events"),
        "job": ("GET", "/api/v2/jobs/j1"),
        "submit": ("POST", "/api/v2/jobs"),
        "cancel": ("POST", "/api/v2/jobs/j1/cancel"),
        "content": ("GET", "/api/v2/assets/a1/content"),
        "account": ("GET", "/gate/v1/account"),
    }
    app = web.Application()
    for name, handler in routes.items():
        method, path = paths[name]
        app.router.add_route(method, path, handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with gateway(f"http://127.0.0.1:{runner.addresses[0][1]}", "cgk_key") as gate:
            yield gate
    finally:
        await runner.cleanup()


def job(status: str, position: int | None = None) -> dict[str, Any]:
    return {"id": "j1", "status": status, "queue_position": position, "progress": None, "outputs": []}


def refusing(status: int, code: str, **headers: str) -> Handler:
    async def answer(_request: web.Request) -> web.StreamResponse:
        body = {"error": {"code": code, "message": f"it is {code}", "details": None}}
        return web.json_response(body, status=status, headers=headers)

    return answer


def saying(*answers: Any) -> Handler:
    waiting = list(answers)

    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return answer


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "POLL_SECONDS", 0.01)


async def test_without_a_stream_the_job_is_asked_for() -> None:
    heard: list[Event] = []
    answers = saying(job("queued", 2), job("running"), job("succeeded"))
    async with answering(events=refusing(429, "too_many_streams"), job=answers) as gate:
        ended = await gate.follow("j1", heard.append)
    assert ended["status"] == "succeeded"
    assert [event.data["status"] for event in heard] == ["queued", "running", "succeeded"]


async def test_a_stream_that_breaks_is_taken_up_again() -> None:
    opened = 0

    async def events(request: web.Request) -> web.StreamResponse:
        nonlocal opened
        opened += 1
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        status = "running" if opened == 1 else "succeeded"
        await stream.write(b': comment\n\nevent: status\r\ndata: {"status":\r\ndata: "' + status.encode())
        await stream.write(b'"}\n\n')
        if opened == 1:
            assert request.transport is not None
            request.transport.abort()
        return stream

    heard: list[Event] = []
    async with answering(events=events, job=saying(job("running"), job("succeeded"))) as gate:
        await gate.follow("j1", heard.append)
    assert opened == 2
    assert heard[0] == Event("status", {"status": "running"})
    assert heard[-2:] == [
        Event("status", {"status": "succeeded"}),
        Event("status", {"status": "succeeded", "queue_position": None}),
    ]


async def test_a_gateway_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "AWAY_SECONDS_MAX", 0.05)
    async with gateway("http://127.0.0.1:1", "cgk_key") as gate:
        with pytest.raises(CommandError, match="jobs show j1") as refused:
            await asyncio.wait_for(gate.follow("j1", lambda _event: None), 10)
    assert refused.value.code == "out_of_reach"


async def test_a_job_that_is_not_ours_ends_it() -> None:
    missing = refusing(404, "not_found")
    async with answering(events=missing, job=missing) as gate:
        with pytest.raises(CommandError) as refused:
            await gate.follow("j1", lambda _event: None)
    assert refused.value.code == "not_found"


async def test_a_full_queue_says_when_to_come_back() -> None:
    full = refusing(429, "queue_full", **{"Retry-After": "12"})
    async with answering(submit=full) as gate:
        with pytest.raises(CommandError) as refused:
            await gate.submit({}, key="k", lane=None)
    assert refused.value.line() == "it is queue_full. Try again in 12 s."


async def test_an_unanswered_submission_is_not_called_refused() -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with answering(submit=silent) as gate:
        with pytest.raises(CommandError, match="may be accepted") as refused:
            await gate.submit({}, key="k", lane=None)
    assert refused.value.code == "out_of_reach"


async def test_something_that_is_no_gateway_is_named() -> None:
    async def page(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>hello</html>", content_type="text/html")

    async with answering(account=page) as gate:
        with pytest.raises(CommandError, match="not of its API"):
            await gate.account()
        with pytest.raises(CommandError, match="is no comfygate"):
            await gate.entries()


def in_folder(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_download_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Length": "1000"})
        await stream.prepare(request)
        await stream.write(b"x" * 10)
        assert request.transport is not None
        request.transport.close()
        return stream

    async with answering(content=half) as gate:
        with pytest.raises(CommandError):
            await gate.download({"id": "a1", "name": "../a.png"}, tmp_path)
    assert in_folder(tmp_path) == []


async def test_an_interrupt_before_the_job_is_known_cancels_it_all_the_same() -> None:
    asked, go = asyncio.Event(), asyncio.Event()
    canceled: list[str] = []

    async def submit(_request: web.Request) -> web.StreamResponse:
        asked.set()
        await go.wait()
        return web.json_response(job("queued", 1), status=201)

    async def cancel(request: web.Request) -> web.StreamResponse:
        canceled.append(request.path)
        return web.json_response(job("canceling"))

    async with answering(submit=submit, cancel=cancel) as gate:
        finishing = asyncio.create_task(
            run_command.finish(gate, gate.submit({}, key="k", lane=None), heard=lambda _event: None)
        )
        await asked.wait()
        finishing.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await finishing
    assert canceled == ["/api/v2/jobs/j1/cancel"]


async def test_an_interrupted_command_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_command, "CALL_OFF_SECONDS_MAX", 0.05)
    asked, never = asyncio.Event(), asyncio.Event()

    async def submit(_request: web.Request) -> web.StreamResponse:
        asked.set()
        await never.wait()
        return web.json_response(job("queued", 1), status=201)

    async with answering(submit=submit) as gate:
        finishing = asyncio.create_task(
            run_command.finish(gate, gate.submit({}, key="k", lane=None), heard=lambda _event: None)
        )
        await asked.wait()
        finishing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await finishing
        never.set()
    assert "may go on" in capsys.readouterr().err
