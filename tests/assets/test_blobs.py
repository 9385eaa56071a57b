"""Blobs stream in and out whole, hashed, limited and atomic; what fails leaves nothing behind."""

import asyncio
import errno
import os
import threading
import tracemalloc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfygate.assets import BlobMissing, BlobStore
from comfygate.assets.blobs import BUFFER_BYTES, HEAD_BYTES, SMALL_BYTES
from comfygate.domain.errors import PayloadTooLarge, ServerTrouble

MIB = 1024 * 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def blobs(folder: Path) -> BlobStore:
    return BlobStore(uploads=folder / "uploads", results=folder / "results")


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def whole(blobs: BlobStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in blobs.read(key, start, end)])


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_what_is_written_is_read_back_with_its_hash_size_and_head(blobs: BlobStore) -> None:
    pieces = [os.urandom(n) for n in (1, 0, 70_000, 300_000)]
    data = b"".join(pieces)
    stored = await blobs.write("uploads", stream(*pieces), bytes_max=len(data))
    assert stored.hash == f"blake3:{blake3(data).hexdigest()}"
    assert stored.size_bytes == len(data) == await blobs.size(stored.key)
    assert stored.head == data[:HEAD_BYTES]
    assert stored.key.startswith(f"uploads/{blake3(data).hexdigest()[:2]}/{blake3(data).hexdigest()}-")
    assert await whole(blobs, stored.key) == data


async def test_nothing_at_all_is_a_blob_too(blobs: BlobStore) -> None:
    stored = await blobs.write("results", stream(), bytes_max=0)
    assert (stored.size_bytes, stored.head) == (0, b"")
    assert await whole(blobs, stored.key) == b""


async def test_equal_bytes_have_two_keys_and_deleting_one_keeps_the_other(blobs: BlobStore) -> None:
    first = await blobs.write("results", stream(b"same"), bytes_max=10)
    second = await blobs.write("results", stream(b"same"), bytes_max=10)
    assert first.hash == second.hash
    assert first.key != second.key
    await blobs.delete(first.key)
    await blobs.delete(first.key)
    assert await whole(blobs, second.key) == b"same"
    with pytest.raises(BlobMissing):
        await whole(blobs, first.key)
    with pytest.raises(BlobMissing):
        await blobs.size(first.key)


@pytest.mark.parametrize("size", [11, BUFFER_BYTES + 1])
async def test_too_much_is_refused_and_leaves_nothing(blobs: BlobStore, folder: Path, size: int) -> None:
    with pytest.raises(PayloadTooLarge) as caught:
        await blobs.write("uploads", stream(b"x" * 10, b"x" * (size - 10)), bytes_max=size - 1)
    assert caught.value.details == {"bytes_max": size - 1}
    assert files(folder) == []


@pytest.mark.parametrize("size", [10, BUFFER_BYTES * 3])
async def test_a_stream_that_breaks_leaves_nothing(blobs: BlobStore, folder: Path, size: int) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"x" * size
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await blobs.write("uploads", breaking(), bytes_max=size)
    assert files(folder) == []


async def test_a_cancelled_write_leaves_nothing(blobs: BlobStore, folder: Path) -> None:
    reached = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"x" * (BUFFER_BYTES * 2)
        reached.set()
        await asyncio.Event().wait()

    write = asyncio.create_task(blobs.write("uploads", stuck(), bytes_max=BUFFER_BYTES * 4))
    async with asyncio.timeout(20):
        await reached.wait()
    assert [key async for key in blobs.keys("uploads")] == []
    write.cancel()
    with pytest.raises(asyncio.CancelledError):
        await write
    assert files(folder) == []


async def test_a_full_disk_is_the_servers_trouble(
    blobs: BlobStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(obstore, "rename_async", full)
    with pytest.raises(ServerTrouble, match="No space left"):
        await blobs.write("uploads", stream(b"x" * (SMALL_BYTES + 1)), bytes_max=MIB)
    assert files(folder) == []


@pytest.mark.parametrize("call", ["fsync", "link"])
async def test_a_disk_that_is_full_for_a_small_blob_is_too(
    blobs: BlobStore, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(ServerTrouble, match="No space left"):
        await blobs.write("uploads", stream(b"x"), bytes_max=1)
    assert files(folder) == []


@pytest.mark.parametrize("size", [0, 1, SMALL_BYTES, SMALL_BYTES + 1, 3 * SMALL_BYTES])
@pytest.mark.parametrize("piece", [1000, SMALL_BYTES, 2 * SMALL_BYTES])
async def test_small_and_large_blobs_are_alike(blobs: BlobStore, folder: Path, size: int, piece: int) -> None:
    data = os.urandom(size)
    pieces = [data[at : at + piece] for at in range(0, size, piece)]
    stored = await blobs.write("results", stream(*pieces), bytes_max=size)
    digest = blake3(data).hexdigest()
    assert (stored.hash, stored.size_bytes, stored.head) == (f"blake3:{digest}", size, data[:HEAD_BYTES])
    assert await whole(blobs, stored.key) == data
    assert files(folder) == [blobs.file_of(stored.key)]
    with pytest.raises(PayloadTooLarge):
        await blobs.write("results", stream(*pieces, b"x"), bytes_max=size)
    assert files(folder) == [blobs.file_of(stored.key)]


async def test_no_key_is_used_twice(tmp_path: Path) -> None:
    blobs = BlobStore(uploads=tmp_path / "u", results=tmp_path / "r", token=lambda: "12345678")
    first = await blobs.write("uploads", stream(b"x"), bytes_max=1)
    with pytest.raises(ServerTrouble, match="exists"):
        await blobs.write("uploads", stream(b"x"), bytes_max=1)
    assert files(tmp_path) == [blobs.file_of(first.key)]


async def test_a_small_write_that_is_cancelled_leaves_nothing(
    blobs: BlobStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, go, really = asyncio.Event(), threading.Event(), os.fsync
    loop = asyncio.get_running_loop()

    def held_up(handle: int) -> None:
        loop.call_soon_threadsafe(reached.set)
        go.wait(20)
        really(handle)

    monkeypatch.setattr(os, "fsync", held_up)
    write = asyncio.create_task(blobs.write("uploads", stream(b"x"), bytes_max=1))
    async with asyncio.timeout(20):
        await reached.wait()
        write.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await write
    assert files(folder) == []


@pytest.mark.parametrize(
    "key",
    [
        "uploads/../../etc/passwd",
        "/etc/passwd",
        "elsewhere/ab/" + "a" * 64 + "-" + "b" * 16,
        "uploads/ab/" + "a" * 64 + "-" + "b" * 16,
        "uploads/.staging/abcdef",
        "",
    ],
)
async def test_what_is_no_key_of_ours_is_missing(blobs: BlobStore, key: str) -> None:
    with pytest.raises(BlobMissing):
        await whole(blobs, key)
    with pytest.raises(BlobMissing):
        await blobs.size(key)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 60), end=st.none() | st.integers(0, 60))
def test_a_range_is_a_slice(tmp_path: Path, start: int, end: int | None) -> None:
    data = bytes(range(50))

    async def check() -> None:
        blobs = BlobStore(uploads=tmp_path / "u", results=tmp_path / "r")
        stored = await blobs.write("uploads", stream(data), bytes_max=50)
        assert await whole(blobs, stored.key, start, end) == data[start:end]

    asyncio.run(check())


async def test_a_large_blob_never_stands_in_memory(blobs: BlobStore) -> None:
    """Peak of Python's own memory while 64 MiB pass through; the writer's buffer beside it is bounded."""

    async def much() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"\x00" * MIB

    tracemalloc.start()
    try:
        stored = await blobs.write("results", much(), bytes_max=64 * MIB)
        size = sum([len(piece) async for piece in blobs.read(stored.key)])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 64 * MIB
    assert peak < 16 * MIB


async def test_keys_lists_what_is_done_and_the_sweep_takes_what_died(blobs: BlobStore, folder: Path) -> None:
    stored = await blobs.write("uploads", stream(b"abc"), bytes_max=3)
    await blobs.write("results", stream(b"abcd"), bytes_max=4)
    left = folder / "uploads" / ".staging" / "deadbeef#1"
    left.write_bytes(b"half a picture")
    listed = [entry async for entry in blobs.keys("uploads")]
    assert [(entry.key, entry.size_bytes) for entry in listed] == [(stored.key, 3)]
    now = datetime.now(UTC)
    assert await blobs.sweep_unfinished(now - timedelta(hours=1)) == 0
    assert await blobs.sweep_unfinished(now + timedelta(seconds=5)) == 1
    assert not left.exists()
    assert await whole(blobs, stored.key) == b"abc"
