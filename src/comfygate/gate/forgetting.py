"""Takes our own prompts off a server's history, beside the next jobs."""

from __future__ import annotations

import asyncio

import structlog

from comfygate.comfy.client import ComfyClient
from comfygate.comfy.errors import ComfyError

log = structlog.get_logger(__name__)


class Forgetting:
    """What is being forgotten on one server. What fails is left there: it is no harm, and ages out."""

    def __init__(self, server: str, client: ComfyClient) -> None:
        self._client = client
        self._log = log.bind(server=server)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, prompt_id: str) -> None:
        """Delete the entry of a prompt that was settled."""
        task = asyncio.create_task(self._forget(prompt_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def done(self) -> None:
        """Wait until what was begun is over."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await self.done()

    async def _forget(self, prompt_id: str) -> None:
        try:
            await self._client.forget(prompt_id)
        except ComfyError as error:
            self._log.info("history.not_deleted", error=str(error))
