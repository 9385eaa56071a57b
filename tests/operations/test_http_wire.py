"""Bytes of one connection: what is no HTTP/1.1 is refused, and no request is taken for a part of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from comfygate.app import http_protocol
from comfygate.app.http import Listener, bound, listening

PATIENCE_SECONDS = 20
HOST = b"Host: a\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
ABC = b"3\r\nabc\r\n0\r\n\r\n"


class House:
    """What was asked of it, and streams that end when their caller is gone."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.streams = 0
        self.changed = asyncio.Event()
        self.app = FastAPI()
        self.app.post("/echo")(self.echo)
        self.app.get("/plain")(self.plain)
        self.app.get("/stream")(self.stream)

    async def echo(self, request: Request) -> dict[str, object]:
        self.asked.append("echo")
        return {"bytes": len(await request.body())}

    async def plain(self) -> dict[str, object]:
        self.asked.append("plain")
        return {}

    async def stream(self) -> StreamingResponse:
        return StreamingResponse(self._lines())

    async def _lines(self) -> AsyncIterator[bytes]:
        self._count(1)
        try:
            yield b"first"
            await asyncio.get_running_loop().create_future()
        finally:
            self._count(-1)

    def _count(self, more: int) -> None:
        self.streams += more
        self.changed.set()

    async def until_streams(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.streams != count:
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def listener(house: House) -> AsyncIterator[Listener]:
    async with listening(house.app, bound("127.0.0.1", 0)) as listener:
        yield listener


async def answers(listener: Listener, sent: bytes) -> bytes:
    """All that comes back until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    async with asyncio.timeout(PATIENCE_SECONDS):
        writer.write(sent)
        found = await reader.read()
    writer.close()
    return found


def post(*headers: bytes, body: bytes = b"abc") -> bytes:
    return b"POST /echo HTTP/1.1\r\n" + b"".join(headers) + b"\r\n" + body


REFUSED = {
    "bare line feeds": b"POST /echo HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc",
    "a bare carriage return": b"GET /plain HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
    "a folded header": post(HOST, b"X: y\r\n z\r\n", b"Content-Length: 3\r\n"),
    "a space before the colon": post(HOST, b"Content-Length : 3\r\n"),
    "a header before the first": b"GET /plain HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n",
    "two lengths": post(HOST, b"Content-Length: 3\r\n", b"Content-Length: 4\r\n"),
    "one length twice": post(HOST, b"Content-Length: 3\r\n", b"Content-Length: 3\r\n"),
    "a list of lengths": post(HOST, b"Content-Length: 3, 3\r\n"),
    "a signed length": post(HOST, b"Content-Length: +3\r\n"),
    "length and chunks": post(HOST, b"Content-Length: 3\r\n", CHUNKED, body=ABC),
    "chunks and length": post(HOST, CHUNKED, b"Content-Length: 3\r\n", body=ABC),
    "chunks not last": post(HOST, b"Transfer-Encoding: chunked, identity\r\n", body=ABC),
    "chunked twice": post(HOST, CHUNKED, CHUNKED, body=ABC),
    "another encoding": post(HOST, b"Transfer-Encoding: xchunked\r\n", body=ABC),
    "a chunk's size and a space": post(HOST, CHUNKED, body=b"3 \r\nabc\r\n0\r\n\r\n"),
    "a chunk's end that is none": post(HOST, CHUNKED, body=b"3\r\nabcXX0\r\n\r\n"),
    "a size beyond all": post(HOST, CHUNKED, body=b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    "no host": post(b"Content-Length: 3\r\n"),
    "two hosts": post(HOST, HOST, b"Content-Length: 3\r\n"),
    "a NUL": post(HOST, b"X: a\0b\r\n", b"Content-Length: 3\r\n"),
}


@pytest.mark.parametrize("sent", REFUSED.values(), ids=REFUSED.keys())
async def test_what_can_be_read_in_two_ways_is_refused(listener: Listener, house: House, sent: bytes) -> None:
    answer = await answers(listener, sent)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("framing", [b"Content-Length: %d\r\n", CHUNKED], ids=["length", "chunks"])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "after the head"])
async def test_a_body_is_no_other_request_where_another_protocol_is_asked_for(
    listener: Listener, house: House, framing: bytes, at_once: bool
) -> None:
    """As by clients that would rather speak HTTP/2, and by those who smuggle requests through a proxy."""
    inner = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner) if framing is CHUNKED else inner
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
    head += (framing if framing is CHUNKED else framing % len(inner)) + b"\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    async with asyncio.timeout(PATIENCE_SECONDS):
        writer.write(head + body if at_once else head)
        while not at_once and not house.asked:
            await asyncio.to_thread(lambda: None)
        writer.write(b"" if at_once else body)
        answer = await reader.read()
    writer.close()
    assert answer.endswith(b'{"bytes":%d}' % len(inner))
    assert house.asked == ["echo"]


@pytest.mark.parametrize("asks", [b"websocket", b"h2c"])
async def test_another_protocol_is_declined(listener: Listener, house: House, asks: bytes) -> None:
    answer = await answers(
        listener, b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n" % asks
    )
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert house.asked == ["plain"]


async def test_requests_sent_at_once_are_answered_in_order(listener: Listener, house: House) -> None:
    answer = await answers(
        listener,
        b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
        + post(HOST, b"Content-Length: 3\r\n")
        + b"GET /plain HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    assert answer.count(b"HTTP/1.1 200 ") == 3
    assert house.asked == ["plain", "echo", "plain"]


@pytest.mark.parametrize("behind", [b"", b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"], ids=["alone", "two"])
async def test_a_stream_ends_with_its_caller(listener: Listener, house: House, behind: bytes) -> None:
    """Also where the caller has asked for something else meanwhile."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    async with asyncio.timeout(PATIENCE_SECONDS):
        writer.write(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n" + behind)
        await reader.readuntil(b"first")
    await house.until_streams(1)
    writer.transport.abort()
    await house.until_streams(0)
    assert house.asked == []


@pytest.mark.parametrize(
    "sent", [b"\0\0\0\r\n\r\n", post(HOST, HOST), post(HOST, b"Upgrade: x\r\nConnection: upgrade\r\n")]
)
async def test_no_refusal_is_read_as_a_part_of_another_answer(
    listener: Listener, house: House, sent: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    async with asyncio.timeout(PATIENCE_SECONDS):
        writer.write(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"first")
        writer.write(sent)
        assert b"HTTP/1.1" not in await reader.read()
    writer.close()
    await house.until_streams(0)


@pytest.mark.parametrize(
    "sent", [b"", b"\r\n", b"GET /plain HT"], ids=["nothing", "an empty line", "half a line"]
)
@pytest.mark.parametrize("later", [False, True], ids=["at first", "after an answer"])
async def test_who_never_comes_to_the_end_of_a_head_is_cut(
    listener: Listener, sent: bytes, later: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS_MAX", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    async with asyncio.timeout(PATIENCE_SECONDS):
        if later:
            writer.write(b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n")
            await reader.readuntil(b"{}")
        writer.write(sent)
        assert await reader.read() == b""
    writer.close()
