"""Looks at an address before it is a server of ours: whether ComfyUI answers there, and what it has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from comfygate.comfy.address import ServerAddress
from comfygate.comfy.client import ComfyClient
from comfygate.comfy.wire import Capabilities, Timeouts

TRIAL_SECONDS: Final = 20.0
"""The whole look may take so long."""
_PATIENCE: Final = Timeouts(connect_seconds=3.0, answer_seconds=8.0, object_info_seconds=15.0)


@dataclass(frozen=True, slots=True)
class Trial:
    """What answered. `described` is ComfyUI's own description of its node classes; `waiting` counts prompts
    of anybody that run or wait there."""

    capabilities: Capabilities
    described: Mapping[str, Any]
    waiting: int


async def tried(address: ServerAddress) -> Trial:
    """Ask for version, node classes and queue; nothing is changed there.

    Raises ComfyError, and TimeoutError after TRIAL_SECONDS.
    """
    async with (
        asyncio.timeout(TRIAL_SECONDS),
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
    ):
        client = ComfyClient(address, session=session, timeouts=_PATIENCE)
        capabilities = await client.probe()
        return Trial(capabilities, await client.object_info(), await client.queue_depth())
