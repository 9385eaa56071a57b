"""Looks that serve all who ask at once, and the newest answers for those whom an older one does."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Generic, TypeVar

from comfygate.gate.gathered import Gathered, Read

K = TypeVar("K")
V = TypeVar("V")
KEPT_MAX = 2_000
"""Answers that are remembered; of more, the oldest are forgotten."""


class Looks(Generic[K, V]):
    """Looks by what they are at."""

    def __init__(self) -> None:
        self._gathered: Gathered[K, V] = Gathered()
        self._seen: dict[K, tuple[float, V]] = {}

    async def now(self, key: K, look: Read[K, V]) -> V | None:
        """What a look gives that begins after this call, as `Gathered.ask`."""

        async def noted(keys: Collection[K]) -> Mapping[K, V]:
            began = asyncio.get_running_loop().time()
            found = await look(keys)
            for one, seen in found.items():
                self._seen.pop(one, None)
                self._seen[one] = began, seen
            while len(self._seen) > KEPT_MAX:
                del self._seen[next(iter(self._seen))]
            return found

        return await self._gathered.ask(key, noted)

    def lately(self, key: K, seconds: float) -> V | None:
        """What a look gave that began within these seconds."""
        at, found = self._seen.get(key, (float("-inf"), None))
        return found if asyncio.get_running_loop().time() - at <= seconds else None
