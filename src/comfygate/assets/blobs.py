"""Streams in, streams out: no blob is ever whole in memory, none is visible before its last byte is on disk.

A blob is hashed while it is written, under a staging name that no key can name; then it is forced to the disk
and renamed, which is atomic within one folder tree. A key is `area/ab/<blake3>-<random>`: two rows with equal
bytes have two keys, so deleting one row's bytes never hits another's.
"""

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, get_args

import obstore
from blake3 import blake3
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from comfygate.assets.small import force_folder_to_disk, write_small
from comfygate.domain.errors import BlobNotFound, PayloadTooLarge, ServerTrouble

Area = Literal["uploads", "results"]

HEAD_BYTES: Final = 4096
"""How much of the beginning `write` hands back, for telling the content type."""
CHUNK_BYTES: Final = 256 * 1024
"""Bytes hashed at a time on the event loop, and the least that `read` yields but for the last piece."""
SMALL_BYTES: Final = 64 * 1024
"""What is no longer is gathered and written whole."""
BUFFER_BYTES: Final = 4 * 1024 * 1024
"""Bytes a writer gathers before it goes to the disk; with `_PARTS_AT_ONCE` this bounds its memory."""
_PARTS_AT_ONCE: Final = 2
_STAGING: Final = ".staging"
_KEY: Final = re.compile(r"(uploads|results)/([0-9a-f]{2}/[0-9a-f]{64}-[0-9a-z]{8,64})")


class BlobMissing(BlobNotFound):
    """No bytes under this key: they expired, or the key was never written."""


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """What was written: its key, `blake3:<hex>`, its size and its first bytes (4 KiB at most)."""

    key: str
    hash: str
    size_bytes: int
    head: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One blob as the folder has it; for finding bytes that no row refers to."""

    key: str
    size_bytes: int
    modified_at: datetime


class BlobStore:
    """The bytes of uploads and results, in one folder each. Folders are made when missing."""

    def __init__(
        self, *, uploads: Path, results: Path, token: Callable[[], str] = lambda: secrets.token_hex(8)
    ) -> None:
        self._roots: dict[str, Path] = {"uploads": uploads, "results": results}
        self._stores = {area: LocalStore(root, mkdir=True) for area, root in self._roots.items()}
        self._token = token

    async def write(self, area: Area, chunks: AsyncIterable[bytes], *, bytes_max: int) -> StoredBlob:
        """Store a stream. Leaves nothing behind when the stream fails, is cancelled or is too long.

        Raises PayloadTooLarge above `bytes_max`, and ServerTrouble when the disk refuses.
        """
        staged = f"{_STAGING}/{self._token()}"
        coming = aiter(chunks)
        start = await _beginning(coming, bytes_max)
        if len(start) <= SMALL_BYTES:
            return await self._write_whole(area, staged, start)
        try:
            digest, size, head = await self._stage(area, staged, _joined(start, coming), bytes_max)
            key = f"{area}/{digest[:2]}/{digest}-{self._token()}"
            await self._publish(area, staged, key)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._drop_staged, area, staged))
            raise
        return StoredBlob(key=key, hash=f"blake3:{digest}", size_bytes=size, head=head)

    async def _write_whole(self, area: Area, staged: str, content: bytes) -> StoredBlob:
        digest = blake3(content).hexdigest()
        path = f"{digest[:2]}/{digest}-{self._token()}"
        root = self._roots[area]
        writing = asyncio.create_task(asyncio.to_thread(write_small, root, staged, path, content))
        try:
            with _disk_trouble(f"write to {area}", None):
                await asyncio.shield(writing)
        except asyncio.CancelledError:
            # The thread goes on: nobody will know what it made.
            await asyncio.wait({writing})
            if writing.exception() is None:
                (root / path).unlink(missing_ok=True)
            raise
        return StoredBlob(f"{area}/{path}", f"blake3:{digest}", len(content), content[:HEAD_BYTES])

    async def size(self, key: str) -> int:
        """Give the bytes a blob has. Raises BlobMissing."""
        area, path = _split(key)
        with _disk_trouble(f"look at {key}", key):
            return (await obstore.head_async(self._stores[area], path))["size"]

    def file_of(self, key: str) -> Path:
        """Where the bytes lie on this machine, for a process that decodes them; they may be gone by then.

        Raises BlobMissing for what is no key.
        """
        area, path = _split(key)
        return self._roots[area] / path

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Stream the bytes from `start` up to but without `end`; all by default. Raises BlobMissing.

        A range beyond the end is cut to what there is.
        """
        area, path = _split(key)
        size = await self.size(key)
        stop = size if end is None else min(end, size)
        if start >= stop:
            return
        with _disk_trouble(f"read {key}", key):
            got = await obstore.get_async(self._stores[area], path, options={"range": (start, stop)})
        stream = aiter(got.stream(min_chunk_size=CHUNK_BYTES))
        while True:
            with _disk_trouble(f"read {key}", key):
                piece = await anext(stream, None)
            if piece is None:
                return
            yield bytes(piece)

    async def delete(self, key: str) -> None:
        """Remove the bytes; removing what is not there is no error."""
        area, path = _split(key)
        with contextlib.suppress(BlobMissing), _disk_trouble(f"delete {key}", key):
            await obstore.delete_async(self._stores[area], path)

    async def keys(self, area: Area) -> AsyncIterator[StoredKey]:
        """List every finished blob of an area, in no particular order."""
        with _disk_trouble(f"list {area}", None):
            pages = aiter(obstore.list(self._stores[area]))
        while True:
            with _disk_trouble(f"list {area}", None):
                page = await anext(pages, None)
            if page is None:
                return
            for meta in page:
                key = f"{area}/{meta['path']}"
                if _KEY.fullmatch(key):
                    yield StoredKey(key=key, size_bytes=meta["size"], modified_at=meta["last_modified"])

    async def sweep_unfinished(self, before: datetime) -> int:
        """Remove what writers left that died before they were done; gives how many files went.

        `before` must lie further back than the longest upload, or one still under way loses its bytes.
        """
        return await asyncio.to_thread(self._sweep_staged, before.timestamp())

    async def _stage(
        self, area: Area, staged: str, chunks: AsyncIterable[bytes], bytes_max: int
    ) -> tuple[str, int, bytes]:
        hasher, size, head = blake3(), 0, bytearray()
        writer = obstore.open_writer_async(
            self._stores[area], staged, buffer_size=BUFFER_BYTES, max_concurrency=_PARTS_AT_ONCE
        )
        try:
            async for chunk in chunks:
                size += len(chunk)
                _check_size(size, bytes_max)
                head += chunk[: HEAD_BYTES - len(head)]
                for piece in _pieces(chunk):
                    hasher.update(piece)
                    with _disk_trouble(f"write to {area}", None):
                        await writer.write(piece)
        except BaseException as problem:
            with contextlib.suppress(OSError, BaseError):  # the problem itself goes on up
                await writer.__aexit__(type(problem), problem, problem.__traceback__)
            raise
        with _disk_trouble(f"write to {area}", None):
            await writer.close()
        return hasher.hexdigest(), size, bytes(head)

    async def _publish(self, area: Area, staged: str, key: str) -> None:
        path = _split(key)[1]
        root = self._roots[area]
        with _disk_trouble(f"write to {area}", None):
            await asyncio.to_thread(_force_to_disk, root / staged)
            await obstore.rename_async(self._stores[area], staged, path, overwrite=False)
            await asyncio.to_thread(force_folder_to_disk, (root / path).parent)

    def _drop_staged(self, area: Area, staged: str) -> None:
        """Remove a staged blob and the part file that the writer keeps beside it while it is open."""
        name = Path(staged).name
        for left in (self._roots[area] / _STAGING).glob(f"{name}*"):
            left.unlink(missing_ok=True)

    def _sweep_staged(self, before: float) -> int:
        swept = 0
        for root in self._roots.values():
            for left in (root / _STAGING).glob("*"):
                with contextlib.suppress(FileNotFoundError):
                    if left.stat().st_mtime < before:
                        left.unlink()
                        swept += 1
        return swept


def _split(key: str) -> tuple[Area, str]:
    """Take a key apart. Anything that is no key of ours, a path out of the folder say, is simply missing."""
    match = _KEY.fullmatch(key)
    if match is None:
        message = f"no bytes are stored under {key[:120]!r}"
        raise BlobMissing(message)
    area = next(area for area in get_args(Area) if area == match[1])
    return area, match[2]


async def _beginning(chunks: AsyncIterator[bytes], bytes_max: int) -> bytes:
    """The first SMALL_BYTES of a stream and up to a chunk more; all of it if it is no longer. Raises
    PayloadTooLarge."""
    start = bytearray()
    async for chunk in chunks:
        start += chunk
        _check_size(len(start), bytes_max)
        if len(start) > SMALL_BYTES:
            break
    return bytes(start)


async def _joined(start: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield start
    async for chunk in rest:
        yield chunk


def _check_size(size_bytes: int, bytes_max: int) -> None:
    if size_bytes > bytes_max:
        message = f"more than {bytes_max} bytes were sent, which is the limit"
        raise PayloadTooLarge(message, details={"bytes_max": bytes_max})


def _pieces(chunk: bytes) -> Iterator[bytes]:
    if len(chunk) <= CHUNK_BYTES:
        yield chunk
        return
    for start in range(0, len(chunk), CHUNK_BYTES):
        yield chunk[start : start + CHUNK_BYTES]


@contextlib.contextmanager
def _disk_trouble(doing: str, key: str | None) -> Iterator[None]:
    """Turn the storage library's errors into the tree's; only storage calls stand inside."""
    try:
        yield
    except FileNotFoundError:
        message = f"no bytes are stored under {key!r}"
        raise BlobMissing(message) from None
    except (OSError, BaseError) as problem:
        reason = str(problem).split("\n", 1)[0][:200]
        message = f"cannot {doing}: {reason}"
        raise ServerTrouble(message) from problem


def _force_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
