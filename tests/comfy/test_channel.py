"""The socket comes back under an id of its own whenever it drops, and tells everybody who listens."""

from __future__ import annotations

import asyncio
import random
import struct
from contextlib import ExitStack

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from comfygate.comfy.channel import Channel, Reconnect
from comfygate.comfy.feed import Feed, FeedItem
from comfygate.comfy.frames import Executing, ExecutionStart, Preview, SocketLost
from comfygate.comfy.wire import ServerAddress
from tests.comfy.rig import (
    NEVER_SECONDS,
    WAIT_SECONDS,
    Handler,
    make_channel,
    new_id,
    odd_server,
    picture_graph,
    rig,
    running,
)


async def until(feed: Feed, wanted: FeedItem) -> list[FeedItem]:
    """Everything up to and with `wanted`."""
    heard: list[FeedItem] = []
    async with asyncio.timeout(WAIT_SECONDS):
        while wanted not in heard:
            item = await feed.get(NEVER_SECONDS)
            assert item is not None
            heard.append(item)
    return heard


async def test_frames_of_a_prompt_reach_its_listeners_only() -> None:
    async with rig() as made:
        ours, other = new_id(), new_id()
        with (
            made.channel.listen(ours) as feed,
            made.channel.listen(ours) as second,
            made.channel.listen(other) as elsewhere,
        ):
            await made.client.send(ours, picture_graph(), client_id=made.channel.client_id)
            heard = await until(feed, Executing(ours, None))
            assert heard[0] == ExecutionStart(ours)
            await until(second, Executing(ours, None))
            assert await elsewhere.get(0) is None
        assert made.statuses[-1] == 0
        assert max(made.statuses) >= 1


async def test_fresh_client_id_on_every_connection_so_events_keep_coming() -> None:
    async with rig() as made:
        used = [await made.connected()]
        for _ in range(3):
            with made.channel.listen("p") as feed:
                made.sim.drop_sockets()
                await until(feed, SocketLost())
            used.append(await made.connected())
        assert len(set(used)) == 4
        assert made.sim.client_ids == [used[-1]]
        ours = new_id()
        with made.channel.listen(ours) as feed:
            await made.client.send(ours, picture_graph(), client_id=used[-1])
            await until(feed, Executing(ours, None))


async def test_every_listener_hears_of_the_drop_and_the_channel_says_so() -> None:
    async with rig() as made:
        with ExitStack() as stack:
            feeds = [stack.enter_context(made.channel.listen(name)) for name in ("a", "a", "b")]
            await made.sim.stop()
            for feed in feeds:
                await until(feed, SocketLost())
            assert not made.channel.connected
            assert made.channel.client_id is None
            await made.sim.start()
            await made.connected()


async def test_previews_name_their_prompt_when_the_server_can() -> None:
    async with rig(previews=True) as made:
        ours = new_id()
        with made.channel.listen(ours) as feed:
            await made.client.send(ours, picture_graph(), client_id=made.channel.client_id)
            heard = await until(feed, Executing(ours, None))
        previews = [item for item in heard if isinstance(item, Preview)]
        assert previews
        assert previews[-1].content_type == "image/jpeg"
        assert previews[-1].data[:2] == b"\xff\xd8"


def scripted(*frames: str | bytes) -> Handler:
    """A socket that greets, says `frames`, and stays open."""

    async def serve(request: web.Request) -> web.WebSocketResponse:
        wire = web.WebSocketResponse()
        await wire.prepare(request)
        await wire.send_str('{"type":"status","data":{"status":{"exec_info":{"queue_remaining":0}}}}')
        for frame in frames:
            await (wire.send_bytes(frame) if isinstance(frame, bytes) else wire.send_str(frame))
        async for message in wire:
            assert message.type is WSMsgType.TEXT
        return wire

    return serve


async def test_preview_without_a_name_goes_to_what_runs_for_us_and_to_nobody_else() -> None:
    picture = struct.pack(">II", 1, 2) + b"png"
    handler = scripted(
        picture,
        "not json",
        b"\0",
        '{"type":"execution_start","data":{"prompt_id":"ours"}}',
        picture,
        '{"type":"executing","data":{"prompt_id":"ours","node":null}}',
        picture,
        '{"type":"execution_start","data":{"prompt_id":"last"}}',
    )
    async with odd_server([("GET", "/ws", handler)]) as url, aiohttp.ClientSession() as session:
        channel = make_channel(ServerAddress(url), session)
        with channel.listen("ours") as feed, channel.listen("last") as last:
            async with running(channel.run()):
                await until(last, ExecutionStart("last"))
                heard = await until(feed, Executing("ours", None))
                assert await feed.get(0) is None
    assert heard == [
        ExecutionStart("ours"),
        Preview(None, None, "image/png", b"png"),
        Executing("ours", None),
    ]


async def test_socket_that_never_greets_is_not_connected() -> None:
    opened: asyncio.Queue[str] = asyncio.Queue()

    async def mute(request: web.Request) -> web.WebSocketResponse:
        wire = web.WebSocketResponse()
        await wire.prepare(request)
        opened.put_nowait(request.query["clientId"])
        async for _ in wire:
            continue
        return wire

    async with odd_server([("GET", "/ws", mute)]) as url, aiohttp.ClientSession() as session:
        channel = Channel(
            ServerAddress(url),
            session=session,
            rng=random.Random(1),  # noqa: S311 - jitter
            reconnect=Reconnect(0.001, 0.001),
            connect_seconds=0.05,
        )
        async with running(channel.run()), asyncio.timeout(WAIT_SECONDS):
            first, second = await opened.get(), await opened.get()
            assert first != second
            assert not channel.connected


@pytest.mark.parametrize("status", [401, 404, 500, 302])
async def test_refused_handshake_is_tried_again_and_never_redirected(status: int) -> None:
    tries: asyncio.Queue[str] = asyncio.Queue()
    trapped: list[str] = []

    async def refuse(request: web.Request) -> web.Response:
        tries.put_nowait(request.headers["X-Key"])
        return web.Response(status=status, headers={"Location": "/trap"} if status == 302 else {})

    async def trap(request: web.Request) -> web.Response:
        trapped.append(request.headers.get("X-Key", ""))
        return web.Response()

    routes = [("GET", "/ws", refuse), ("GET", "/trap", trap)]
    async with odd_server(routes) as url, aiohttp.ClientSession() as session:
        channel = make_channel(ServerAddress(url, {"X-Key": "secret"}), session)
        async with running(channel.run()), asyncio.timeout(WAIT_SECONDS):
            assert [await tries.get() for _ in range(3)] == ["secret"] * 3
    assert trapped == []


def test_waits_double_up_to_the_longest_with_jitter() -> None:
    rng = random.Random(3)  # noqa: S311 - jitter
    waits = [Reconnect(0.5, 30.0).delay_seconds(failures, rng) for failures in range(1, 60)]
    assert all(min(30.0, 0.5 * 2**n) / 2 <= wait <= min(30.0, 0.5 * 2**n) for n, wait in enumerate(waits))
    assert len(set(waits)) == len(waits)
