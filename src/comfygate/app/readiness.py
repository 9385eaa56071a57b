"""Whether this process can do its work now, in sentences: for /readyz, and so without names or secrets.

Only a fault makes it not ready: something without which requests or servers get nothing from this process.
What hurts everybody alike (a lane without a server, screening that is down) is a warning: taking a process
out of its balancer for that would only make things worse, because its queue is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog

from comfygate.app.metrics import free_bytes
from comfygate.cli.findings import Finding
from comfygate.domain.errors import GateError
from comfygate.gate.context import Context
from comfygate.store.schema import current_revision, known_revisions, newest_revision

LOOK_SECONDS: Final = 2.0
"""How long an answer is given again before somebody looks anew."""
PATIENCE_SECONDS: Final = 2.0
"""How long the database may take to answer."""
DISK_LOW_BYTES: Final = 2 * 1024**3
DISK_FULL_BYTES: Final = 128 * 1024**2

log = structlog.get_logger(__name__)


class Readiness:
    """Looks at what this process needs. `dispatching`: it gives work to servers."""

    def __init__(self, ctx: Context, *, dispatching: bool, folders: Mapping[str, Path]) -> None:
        self._ctx, self._dispatching, self._folders = ctx, dispatching, folders
        self.stopping = False
        """Set once the process was told to stop."""
        self.disk_low_bytes, self.disk_full_bytes = DISK_LOW_BYTES, DISK_FULL_BYTES
        self.patience_seconds = PATIENCE_SECONDS
        self._newest, self._known = newest_revision(), known_revisions()
        self._asking: asyncio.Task[str | None] | None = None
        self._found: list[Finding] = []
        self._looked_at = float("-inf")

    async def look(self) -> list[Finding]:
        """Everything that was looked at, the answer of a moment ago where there is one."""
        now = asyncio.get_running_loop().time()
        if now - self._looked_at >= LOOK_SECONDS:
            found = [await self._database(), *await self._disks(), *self._lanes(), self._screening()]
            self._found, self._looked_at = found, now
        return [*self._process(), *self._found]

    def _process(self) -> list[Finding]:
        found = []
        if self.stopping:
            found.append(Finding("fault", "process", "This process was told to stop and takes nothing on."))
        if self._dispatching and not self._ctx.lease.in_force:
            says = "The lease of this process on its servers is not in force, so it gives them no work."
            found.append(Finding("fault", "lease", says))
        return found

    async def _database(self) -> Finding:
        """One question at a time: a database that hangs must not use up the connections."""
        asking = self._asking = self._asking or asyncio.create_task(
            self._ctx.store.read(current_revision), name="readiness"
        )
        await asyncio.wait({asking}, timeout=self.patience_seconds)
        if not asking.done():
            says = f"The database did not answer within {self.patience_seconds:g} s."
            return Finding("fault", "database", says)
        self._asking = None
        try:
            revision = asking.result()
        except GateError as error:
            # Its own words may name a user or a host, which are nobody's business here.
            log.warning("readiness.no_database", error=error.message)
            return Finding("fault", "database", "The database cannot be reached; the log says why.")
        if revision == self._newest:
            return Finding("ok", "database", f"The database answers, at schema {revision}.")
        if revision in self._known or revision is None:
            says = f"The database's schema is at {revision}, and this version needs {self._newest}."
            return Finding("fault", "schema", says)
        says = f"The database's schema is at {revision}, which is newer than {self._newest} of this version."
        return Finding("warn", "schema", says)

    async def _disks(self) -> list[Finding]:
        found = []
        free = await asyncio.to_thread(free_bytes, self._folders)
        for name in self._folders:
            if name not in free:
                found.append(Finding("fault", "disk", f"The folder of {name} cannot be looked at."))
                continue
            says = f"The disk of {name} has {free[name] // 1024**2} MiB free."
            if free[name] < self.disk_full_bytes:
                found.append(Finding("fault", "disk", f"The disk of {name} is full. {says}"))
            elif free[name] < self.disk_low_bytes:
                found.append(Finding("warn", "disk", f"The disk of {name} is nearly full. {says}"))
            else:
                found.append(Finding("ok", "disk", says))
        return found

    def _lanes(self) -> list[Finding]:
        found = []
        fleet = list(self._ctx.fleet.status.values())
        for lane in self._ctx.rules.lanes:
            servers = [status for status in fleet if lane in status.lanes]
            up = sum(status.up for status in servers)
            if not servers:
                found.append(
                    Finding("note", f"lane {lane}", f"Lane {lane} has no server that is known here.")
                )
            elif not up:
                says = f"No server of lane {lane} is up; its jobs wait."
                found.append(Finding("warn", f"lane {lane}", says))
            else:
                found.append(Finding("ok", f"lane {lane}", f"Servers up in lane {lane}: {up}."))
        return found

    def _screening(self) -> Finding:
        eyes = self._ctx.eyes
        if eyes is not None and eyes.classifier.trouble:
            says = "Pictures cannot be screened, so jobs with pictures are refused."
            return Finding("warn", "screening", says)
        return Finding("ok", "screening", "Nothing is known to be wrong with screening.")
