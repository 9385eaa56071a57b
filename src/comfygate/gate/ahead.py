"""Brings the inputs of the job that will probably be next to its server while the present one runs.

Nothing is claimed by that: a better job that comes meanwhile is next all the same, and what was brought for
the other one lies unused in that job's own folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from comfygate.comfy.client import ComfyClient
from comfygate.comfy.errors import ComfyError
from comfygate.domain.errors import GateError
from comfygate.gate.context import Context
from comfygate.gate.stage import InputGone, bring
from comfygate.store import fit as fit_store
from comfygate.store.rows import ServerRow

BETWEEN_SECONDS = 0.2
"""Between two looks at who is next; each is one read."""

log = structlog.get_logger(__name__)


class Ahead:
    """What was brought to one server ahead of its claim: of one job at a time."""

    def __init__(self, ctx: Context, server: ServerRow, client: ComfyClient) -> None:
        self._ctx = ctx
        self._server = server
        self._client = client
        self._job_id = ""
        self._names: dict[str, str] = {}
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")

    def look(self) -> None:
        """Begin to bring what the next job needs, unless that is being done or was done just now."""
        now = asyncio.get_running_loop().time()
        busy = self._looking is not None and not self._looking.done()
        if busy or now - self._looked_at < BETWEEN_SECONDS:
            return
        self._looked_at = now
        self._looking = asyncio.create_task(self._bring(), name=f"ahead of {self._server.name}")

    def take(self, job_id: str) -> Mapping[str, str]:
        """The names under which the job's assets are on the server already, by asset id."""
        names = self._names if job_id == self._job_id else {}
        self.forget()
        return names

    def forget(self) -> None:
        """What was brought is used, or the server may have lost it."""
        self._job_id, self._names = "", {}
        self._ctx.fleet.ahead.pop(self._server.name, None)

    async def close(self) -> None:
        """Stop bringing."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        self.forget()

    async def _bring(self) -> None:
        """Find the first job in order that is not brought to another server, and upload its inputs.

        Trouble is left to the attempt, which meets it again and knows what it means.
        """
        ctx, server = self._ctx, self._server
        elsewhere = {ticket for name, ticket in ctx.fleet.ahead.items() if name != server.name}
        try:
            found = await ctx.store.read(
                fit_store.likely_next, server.name, server.lanes, ctx.now_ms(), elsewhere
            )
            if found is None or found.job_id == self._job_id:
                return
            self.forget()
            ctx.fleet.ahead[server.name] = found.ticket
            self._job_id = found.job_id
            names = await bring(ctx, self._client, found.account_id, found.job_id, found.asset_ids)
            if self._job_id == found.job_id:
                self._names = names
        except (GateError, ComfyError, InputGone) as error:
            self.forget()
            log.info("inputs.not_brought_ahead", server=server.name, error=str(error))
