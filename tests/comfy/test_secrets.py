"""Credentials go with every request and the WebSocket, and are shown nowhere."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web

from comfygate.comfy.client import ComfyClient
from comfygate.comfy.errors import ComfyError
from comfygate.comfy.wire import FileRef, ServerAddress
from comfygate.domain.errors import SettingsError
from tests.comfy.rig import (
    WAIT_SECONDS,
    content,
    make_channel,
    new_id,
    odd_server,
    picture_graph,
    running,
    whole,
)

KEY = "key-sk-123"
PASSWORD = "pass:wörd"
BASIC = "Basic " + base64.b64encode(f"anna:{PASSWORD}".encode()).decode()
SECRETS = (KEY, PASSWORD, BASIC, BASIC.removeprefix("Basic "), "w%C3%B6rd")


def address(url: str) -> ServerAddress:
    return ServerAddress(url, {"X-Api-Key": KEY}, ("anna", PASSWORD))


def calls(client: ComfyClient) -> list[Callable[[], Awaitable[Any]]]:
    return [
        client.probe,
        client.object_info,
        client.queue_depth,
        lambda: client.send(new_id(), picture_graph(), client_id="c"),
        lambda: client.locate("p"),
        lambda: client.cancel("p"),
        lambda: client.forget("p"),
        lambda: client.upload(
            subfolder="s", name="n", content=content(b"x"), size=1, content_type="image/png"
        ),
        lambda: whole(client.output(FileRef("a.png", "", "output"))),
    ]


@pytest.mark.parametrize("status", [200, 401, 404, 500])
async def test_every_request_and_the_socket_carry_them_and_no_error_or_log_shows_them(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[str, str | None, str | None]] = []
    socket_came = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        seen.append((request.path, request.headers.get("X-Api-Key"), request.headers.get("Authorization")))
        if request.path == "/ws":
            socket_came.set()
        return web.json_response({}, status=status)

    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    with structlog.testing.capture_logs() as logs:
        async with odd_server([("*", "/{rest:.*}", handle)]) as url, aiohttp.ClientSession() as session:
            client = ComfyClient(address(url), session=session)
            for call in calls(client):
                try:
                    await call()
                except ComfyError as error:
                    said.append("".join(traceback.format_exception(error)) + repr(error))
            channel = make_channel(address(url), session)
            async with running(channel.run()), asyncio.timeout(WAIT_SECONDS):
                await socket_came.wait()
            said += [repr(client), repr(client.address), repr(channel), str(client.address)]
    paths = {path for path, _, _ in seen}
    assert {
        "/prompt",
        "/history/p",
        "/upload/image",
        "/view",
        "/object_info",
        "/system_stats",
        "/ws",
    } <= paths
    assert all((key, basic) == (KEY, BASIC) for _, key, basic in seen)
    everything = "\n".join([*said, repr(logs), caplog.text])
    assert said
    assert not [secret for secret in SECRETS if secret in everything]


def test_user_in_the_url_becomes_basic_auth_and_leaves_the_url() -> None:
    made = ServerAddress("http://anna:pass%3Aw%C3%B6rd@host:8188/comfy/")
    assert made.url == "http://host:8188/comfy"
    assert made.basic_auth == ("anna", PASSWORD)
    assert made.secret_headers() == {"Authorization": BASIC}
    assert "anna" not in repr(made)
    assert str(made.endpoint("a b", "ü/x")) == "http://host:8188/comfy/a%20b/%C3%BC%2Fx"


@pytest.mark.parametrize(
    ("url", "more"),
    [
        ("ftp://anna:s3cret@host", {}),
        ("host:8188", {}),
        ("http://", {}),
        ("http://anna:s3cret@host:notaport", {}),
        ("http://host/?token=s3cret", {}),
        ("http://host/#s3cret", {}),
        ("http://anna:s3cret@host", {"basic_auth": ("bob", "s3cret2")}),
        ("http://host", {"basic_auth": ("bob", "s3cret"), "headers": {"authorization": "s3cret"}}),
        ("http://host", {"headers": {"X": "s3cret\r\nY: z"}}),
    ],
)
def test_unusable_address_is_refused_without_showing_a_secret(url: str, more: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        ServerAddress(url, **more)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value)).replace(url, "")
