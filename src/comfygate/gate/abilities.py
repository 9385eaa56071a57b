"""What servers can run: their node classes. What several have alike is parsed, and kept, once.

The answer to /object_info is megabytes of JSON, and the servers of a fleet mostly give the same one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from hashlib import blake2b

from comfygate.comfy.answers import object_info
from comfygate.comfy.client import ComfyClient
from comfygate.domain.graph import NodeClass, node_classes

PARSE_ASIDE_BYTES = 256 * 1024
"""Longer answers are parsed in a thread, so that the event loop keeps turning."""

Classes = Mapping[str, NodeClass]


class Abilities:
    """Asks servers what they can run."""

    def __init__(self) -> None:
        self._known: dict[bytes, Classes] = {}

    async def ask(self, client: ComfyClient, in_use: Collection[Classes]) -> Classes:
        """The server's node classes now: the same object for equal answers. What is no longer `in_use` is
        forgotten. Raises what the client raises.
        """
        body = await client.object_info_body()
        if len(body) < PARSE_ASIDE_BYTES:
            digest, found = self._read(body, client.server)
        else:
            digest, found = await asyncio.to_thread(self._read, body, client.server)
        self._known = {key: one for key, one in self._known.items() if any(one is used for used in in_use)}
        return self._known.setdefault(digest, found)

    def _read(self, body: bytes, server: str) -> tuple[bytes, Classes]:
        digest = blake2b(body, digest_size=16).digest()
        known = self._known.get(digest)
        return digest, node_classes(object_info(body, server)) if known is None else known
