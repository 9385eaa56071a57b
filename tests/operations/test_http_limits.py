"""What a stranger sends before the body of a request is limited, however it is sent."""

import asyncio

import pytest
from fastapi import FastAPI, Request

from comfygate.app.http import bound, listening
from comfygate.app.http_protocol import HEAD_BYTES_MAX

ROUND = b"x" * 4096
ROUNDS_MAX = 100 * HEAD_BYTES_MAX // len(ROUND)


def app() -> FastAPI:
    made = FastAPI()

    @made.post("/echo")
    async def echo(request: Request) -> dict[str, object]:
        return {"bytes": len(await request.body()), "headers": sorted(request.headers.keys())}

    return made


async def sent(*parts: bytes, endless: bytes = b"") -> bytes:
    """Send the parts, then `endless` until the connection is closed, and give the answer."""
    async with listening(app(), bound("127.0.0.1", 0)) as listener, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        try:
            writer.writelines(parts)
            for _ in range(ROUNDS_MAX if endless else 0):
                writer.write(endless)
                await writer.drain()
                if reader.at_eof() or writer.is_closing():
                    break
            else:
                assert not endless, "nothing stopped it"
            return await reader.read()
        except ConnectionError:
            return b"reset"
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("begin", "endless"),
    [
        (b"POST /", ROUND),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nX-Long: ", ROUND),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\n", b"X-Many: y\r\n" * 400),
        (
            b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X-Many: y\r\n" * 400,
        ),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;", ROUND),
    ],
    ids=["line", "header", "headers", "trailers", "chunk extension"],
)
async def test_what_never_comes_to_a_body_is_cut(begin: bytes, endless: bytes) -> None:
    answer = await sent(begin, endless=endless)
    assert answer == b"reset" or b" 400 " in answer.splitlines()[0]


async def test_long_bodies_pass_and_trailers_are_not_headers() -> None:
    body = b"10000\r\n" + b"y" * 0x10000 + b"\r\n"
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await sent(head, *[body] * 8, b"0\r\nX-Trailer: z\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"bytes":524288' in answer
    assert b"x-trailer" not in answer
