"""Uploads: any order of fields, every way a form can be wrong, limits at their edges, and memory."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from comfygate.api import multipart
from comfygate.simulator import Simulator
from tests.api.house import PATIENCE_SECONDS, Client, Gateway, file_graph, hash_of, png

BOUNDARY = "b0undary"
MIB = 1024 * 1024
GOOD = [("content_type", b"text/plain"), ("file_path", b"note.txt")]


def part(name: str, value: bytes, *, filename: str | None = None) -> bytes:
    """One part of a form."""
    file = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + value + b"\r\n"


def form(*fields: tuple[str, bytes]) -> bytes:
    """A whole form; the field `file` is the file."""
    parts = [part(name, value, filename="x" if name == "file" else None) for name, value in fields]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def post(client: Client, body: Any, content_type: str | None = None, **headers: str) -> httpx.Response:
    """Send a body as it is."""
    kind = f"multipart/form-data; boundary={BOUNDARY}" if content_type is None else content_type
    return await client.http.post("/api/v2/assets", content=body, headers={"Content-Type": kind, **headers})


@pytest.fixture
async def client(house: Gateway) -> AsyncIterator[Client]:
    """An account of a gateway without a server."""
    async with house.client(await house.add_account()) as ann:
        yield ann


async def test_the_file_may_stand_anywhere(client: Client) -> None:
    for position in range(3):
        fields = [*GOOD]
        fields.insert(position, ("file", b"hello"))
        answer = await post(client, form(*fields, ("tags", b"a"), ("tags", b"b"), ("expires_in", b"60")))
        assert answer.status_code == (200 if position else 201), answer.text
        asset = answer.json()
        assert (asset["file_path"], asset["size_bytes"], asset["hash"]) == ("note.txt", 5, hash_of(b"hello"))
        assert await client.download(asset) == b"hello"


async def test_any_cut_of_the_body_reads_the_same(client: Client) -> None:
    content = b"\r\n--b0undar\r\n--\r\n--b0undary-not" + bytes(range(256))
    body = form(GOOD[0], ("file", content), GOOD[1])

    async def pieces(size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    for size in (1, 7, 64, len(body)):
        answer = await post(client, pieces(size))
        assert answer.status_code in {200, 201}, answer.text
        assert answer.json()["hash"] == hash_of(content)


WRONG_FORMS = [
    (form(*GOOD), "file"),
    (form(("file", b"x"), GOOD[0]), "file_path"),
    (form(("file", b"x"), GOOD[1]), "content_type"),
    (form(*GOOD, ("file", b"x"), ("file", b"y")), "file"),
    (form(*GOOD, ("file", b"x"), GOOD[1]), "file_path"),
    (form(*GOOD, ("file", b"x"), ("colour", b"red")), "colour"),
    (form(*GOOD, ("file", b"x"), ("expires_in", b"59")), "expires_in"),
    (form(("expires_in", b"604801"), *GOOD, ("file", b"x")), "expires_in"),
    (form(("expires_in", b"1e3"), *GOOD, ("file", b"x")), "expires_in"),
    (form(("expires_in", b"9" * 5000), *GOOD, ("file", b"x")), "expires_in"),
    (form(("expected_hash", b"md5:0"), *GOOD, ("file", b"x")), "expected_hash"),
    (form(GOOD[0], ("file_path", b""), ("file", b"x")), "file_path"),
    (form(GOOD[0], ("file_path", b"../x"), ("file", b"x")), "file_path"),
    (form(GOOD[0], ("file_path", b"/x"), ("file", b"x")), "file_path"),
    (form(GOOD[0], ("file_path", b"a\\b"), ("file", b"x")), "file_path"),
    (form(GOOD[0], ("file_path", b"a\0b"), ("file", b"x")), "file_path"),
    (form(GOOD[0], ("file_path", b"\xff\xfe"), ("file", b"x")), "file_path"),
    (form(GOOD[0], ("file_path", b"x" * 256), ("file", b"x")), "file_path"),
    (form(GOOD[0], ("file_path", b"x" * 10_000), ("file", b"x")), "file_path"),
    (form(*GOOD, *[("tags", b"t")] * 33, ("file", b"x")), "tags"),
    (form(*GOOD, *[("tags", b"t")] * 100, ("file", b"x")), "body"),
    (form(*GOOD, ("file", b"x"))[:-12], "body"),
    (form(*GOOD)[:40], "body"),
    (b"", "body"),
    (b"no multipart at all", "body"),
    (b"--b0undary\r\nX: y\r\n\r\nz\r\n--b0undary--\r\n", "body"),
    (b"--b0undary\r\n" + b"X-Long: " + b"y" * 20_000 + b"\r\n\r\nz\r\n--b0undary--\r\n", "body"),
    (b"--b0undary\r\n" + b"X: y\r\n" * 50 + b"\r\nz\r\n--b0undary--\r\n", "body"),
]


async def test_a_wrong_form_is_refused_by_field(house: Gateway, client: Client) -> None:
    for body, field in WRONG_FORMS:
        answer = await post(client, body)
        assert answer.status_code == 422, answer.text
        error = answer.json()["error"]
        assert (error["code"], error["details"]) == ("invalid_request", {"field": field}), body[:200]
        assert field in error["message"]
    assert stored(house) == []


def stored(house: Gateway) -> list[Path]:
    """Every file of uploads on the disk, half-written ones too."""
    return [path for path in Path(house.settings.uploads_path).rglob("*") if path.is_file()]


async def test_what_is_no_multipart_is_refused(client: Client) -> None:
    multipart_kind = "multipart/form-data"
    for kind in ("", "application/json", multipart_kind, f"{multipart_kind}; boundary={'x' * 200}"):
        answer = await post(client, form(*GOOD, ("file", b"x")), kind)
        assert answer.status_code == 422
        assert answer.json()["error"]["details"] == {"field": "Content-Type"}


async def test_announced_hash(house: Gateway, client: Client) -> None:
    good = hash_of(b"hello").encode()
    for order in (
        [("expected_hash", good), ("file", b"hello")],
        [("file", b"hello"), ("expected_hash", good)],
    ):
        assert (await post(client, form(*GOOD, *order))).status_code in {200, 201}
    before = stored(house)
    answer = await post(client, form(*GOOD, ("expected_hash", good), ("file", b"other")))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "hash_mismatch")
    assert stored(house) == before


@pytest.mark.parametrize("changes", [{"limits": {"upload_bytes_max": 1000}}])
async def test_the_size_limit_at_its_edge(house: Gateway, client: Client, changes: dict[str, Any]) -> None:
    assert (await post(client, form(*GOOD, ("file", b"x" * 1000)))).status_code == 201
    before = stored(house)
    answer = await post(client, form(*GOOD, ("file", b"x" * 1001)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "payload_too_large")
    assert stored(house) == before


@pytest.mark.parametrize("changes", [{"limits": {"upload_bytes_max": 8 * MIB}}])
async def test_too_much_is_refused_without_being_kept_or_read(
    house: Gateway, client: Client, changes: dict[str, Any]
) -> None:
    sent = 0

    async def endless(most: int) -> AsyncIterator[bytes]:
        nonlocal sent
        yield b"".join(part(name, value) for name, value in GOOD)
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'.encode()
        piece = b"x" * 65_536
        while sent < most:
            yield piece
            sent += len(piece)
        yield f"\r\n--{BOUNDARY}--\r\n".encode()

    answer = await post(client, endless(64 * MIB))
    assert answer.status_code == 413
    assert stored(house) == []


@pytest.mark.parametrize("changes", [{"limits": {"upload_bytes_max": 8 * MIB}}])
async def test_what_is_announced_as_too_much_is_refused_unread(
    house: Gateway, client: Client, changes: dict[str, Any]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.http.port)
    head = (
        "POST /api/v2/assets HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {house.keys['ann']}\r\nContent-Length: {64 * MIB}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
    )
    writer.write(head.encode())
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert b" 413 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


async def test_a_large_upload_stays_out_of_memory(client: Client) -> None:
    size = 64 * MIB
    piece = b"x" * 65_536

    async def body() -> AsyncIterator[bytes]:
        yield b"".join(part(name, value) for name, value in GOOD)
        yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'.encode()
        for _ in range(size // len(piece)):
            yield piece
        yield f"\r\n--{BOUNDARY}--\r\n".encode()

    tracemalloc.start()
    try:
        answer = await post(client, body())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.json()["size_bytes"] == size
    assert peak < 12 * MIB, f"{peak} bytes at the peak"


async def test_a_client_that_hangs_up_leaves_nothing(house: Gateway, client: Client) -> None:
    class HungUpError(Exception):
        pass

    async def body() -> AsyncIterator[bytes]:
        yield form(*GOOD, ("file", b"x" * 100_000))[:-50_000]
        raise HungUpError

    with pytest.raises(HungUpError):
        await post(client, body())
    assert (await post(client, form(*GOOD, ("file", b"y")))).status_code == 201
    assert len(stored(house)) == 1


async def test_the_newest_upload_of_a_name_is_meant(ann: Client, sim: Simulator) -> None:
    await ann.asset(png((0, 0, 0)), "photo.png")
    await ann.asset(png((255, 255, 255)), "photo.png")
    job = await ann.run(file_graph("photo.png"))
    assert job["status"] == "succeeded", job["error"]
    made = await ann.download(job["outputs"][0])
    assert _pixels(made) == {(0, 0, 0)}


def _pixels(content: bytes) -> set[tuple[int, ...]]:
    from io import BytesIO

    from PIL import Image

    picture = Image.open(BytesIO(content)).convert("RGB")
    return {picture.getpixel((x, y)) for x in range(3) for y in range(3)}  # type: ignore[misc]


def test_the_slack_covers_all_that_a_form_may_hold() -> None:
    largest = multipart.PARTS_MAX * (multipart.HEADERS_MAX * 256 + multipart.FIELD_BYTES_MAX)
    assert largest == multipart.SLACK_BYTES
