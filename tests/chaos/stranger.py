"""Somebody else who uses the same servers, straight, and knows nothing of the gateway."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

import aiohttp

AGENT: Final = "stranger"


@dataclass(slots=True)
class Stranger:
    """Submits prompts and never looks back; `sent` are the ids that may be on a server."""

    http: aiohttp.ClientSession
    urls: list[str]
    sent: list[str] = field(default_factory=list)

    async def submit(self, server: int) -> None:
        """One small picture, if the server is there."""
        prompt_id = str(uuid4())
        self.sent.append(prompt_id)
        color = uuid4().int % 0xFFFFFF
        graph = {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": color},
            },
            "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "foreign"}},
        }
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": AGENT}
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self.http.post(
                f"{self.urls[server]}/prompt", json=body, headers={"User-Agent": AGENT}
            ) as answer:
                await answer.read()
