"""What must be off a server, or found on it, before it is given anything: prompts that were given up, and one
that an earlier process may have sent."""

from __future__ import annotations

import asyncio

import structlog

from comfygate.comfy.errors import ProtocolError
from comfygate.comfy.wire import CancelResult, Located
from comfygate.gate.begin import SECOND_LOOK_SECONDS
from comfygate.gate.context import Context
from comfygate.gate.run import Link
from comfygate.store import attempts as attempts_store
from comfygate.store import ready as ready_store
from comfygate.store.rows import ClaimedAttempt

log = structlog.get_logger(__name__)


class Clearing:
    """One server's. Every call that asks the server raises ComfyError when it does not answer."""

    def __init__(self, ctx: Context, server: str, link: Link) -> None:
        self._ctx = ctx
        self._server = server
        self._link = link
        self.recalled = False
        """Whether it is known what earlier processes, and earlier loops, left on the server."""
        self.free_first = False
        """Whether the server's memory is to be freed before its next job."""
        self._log = log.bind(server=server)

    @property
    def is_clear(self) -> bool:
        """Whether the server may be given a job without being asked anything."""
        return self.recalled and not self._link.abandoned and not self.free_first

    async def recall(self) -> ClaimedAttempt | None:
        """Find the prompts here that were given up, and what was made ready and was sent: that is given, to
        be claimed. Whoever has done so sets `recalled`."""
        queue = await self._link.client.queue()
        here = queue.running | queue.pending
        given_up = await self._ctx.store.read(attempts_store.given_up, self._server, here)
        self._link.abandoned.update(given_up)
        return await self._found_ready()

    async def _found_ready(self) -> ClaimedAttempt | None:
        found = await self._ctx.store.read(ready_store.found_ready, self._server)
        if found is None:
            return None
        where = await self._where(found.prompt_id)
        if where is Located.UNKNOWN:
            # A POST of a dead process may still be on its way.
            await asyncio.sleep(SECOND_LOOK_SECONDS)
            where = await self._where(found.prompt_id)
        if where is Located.UNKNOWN:
            await self._ctx.store.run(ready_store.forget_ready, self._server, found.prompt_id)
            return None
        self._log.info("attempt.found_ready", job=found.fence.job_id, where=where.value)
        return found

    async def _where(self, prompt_id: str) -> Located:
        try:
            return (await self._link.client.locate(prompt_id))[0]
        except ProtocolError:
            # Something is there under this id; what it means is for its attempt to find out.
            return Located.FINISHED

    async def cleared(self) -> bool:
        """Whether every prompt that was given up is off the server; memory is freed if that is due.

        Prompts that are still there are asked to stop.
        """
        client = self._link.client
        for prompt_id in list(self._link.abandoned):
            result = await client.cancel(prompt_id)
            if result is not CancelResult.NOT_THERE:
                self._log.info("prompt.still_there", prompt_id=prompt_id, result=result.value)
                return False
            # It may have been one that was ready and could not be claimed.
            await self._ctx.store.run(ready_store.forget_ready, self._server, prompt_id)
            self._link.abandoned.discard(prompt_id)
            await client.forget(prompt_id)
        if self.free_first:
            await client.free()
            self.free_first = False
            self._log.info("server.memory_freed")
        return True
