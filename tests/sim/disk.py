"""Stored bytes in memory, with the interface of `assets.blobs.BlobStore`, on a disk that may be full."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blake3 import blake3

from comfygate.assets.blobs import Area, BlobMissing, StoredBlob, StoredKey
from comfygate.assets.on_disk import left_of
from comfygate.assets.seen import Piece
from comfygate.domain.errors import PayloadTooLarge, ServerTrouble

if TYPE_CHECKING:
    from tests.sim.process import Process


@dataclass(frozen=True, slots=True)
class Kept:
    """Some bytes, and when they were written."""

    data: bytes
    at_ms: int


class SimBlobs:
    """What one process sees of the disk that all share."""

    def __init__(self, process: Process, disk: dict[str, Kept]) -> None:
        self._process = process
        self._disk = disk

    async def write(
        self, area: Area, chunks: AsyncIterable[bytes], *, bytes_max: int, lasting: bool = True
    ) -> StoredBlob:
        # Processes die here, machines do not: what was written lasts.
        data = b"".join([chunk async for chunk in chunks])
        if len(data) > bytes_max:
            raise PayloadTooLarge("too much")
        await self._process.reach("blob write", "before")
        world = self._process.world
        if world.rng.random() < world.weather.blob_error:
            raise ServerTrouble("cannot write to results: No space left on device")
        digest = blake3(data).hexdigest()
        key = f"{area}/{digest[:2]}/{digest}-{world.rng.getrandbits(64):016x}"
        self._disk[key] = Kept(data, world.now_ms())
        await self._process.reach("blob write", "during")
        await self._process.reach("blob write", "after")
        return StoredBlob(key=key, hash=f"blake3:{digest}", size_bytes=len(data), head=data[:4096])

    async def make_lasting(self, key: str) -> None:
        self._found(key)
        await self._process.reach("blob last", "after")

    async def rewrite(self, key: str, pieces: list[Piece], *, bytes_max: int) -> StoredBlob:
        stored = await self.write("results", self.read_planned(key, pieces), bytes_max=bytes_max)
        await self.delete(key)
        return stored

    async def read_planned(self, key: str, pieces: list[Piece]) -> AsyncIterator[bytes]:
        await self._process.reach("blob read", "before")
        yield left_of(self._found(key).data, pieces)

    async def size(self, key: str) -> int:
        await self._process.reach("blob read", "before")
        return len(self._found(key).data)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        await self._process.reach("blob read", "before")
        yield self._found(key).data[start:end]

    async def delete(self, key: str) -> None:
        await self._process.reach("blob delete", "before")
        self._disk.pop(key, None)
        self._process.world.note(f"{self._process.name}: deleted bytes {key[:20]}")
        await self._process.reach("blob delete", "after")

    async def keys(self, area: Area) -> AsyncIterator[StoredKey]:
        await self._process.reach("blob list", "before")
        for key, kept in list(self._disk.items()):
            if key.startswith(area):
                yield StoredKey(key, len(kept.data), datetime.fromtimestamp(kept.at_ms / 1000, UTC))

    async def sweep_unfinished(self, before: datetime) -> int:
        await self._process.reach(f"sweep {before.year}", "before")
        return 0

    def _found(self, key: str) -> Kept:
        kept = self._disk.get(key)
        if kept is None:
            raise BlobMissing("no such bytes")
        return kept
