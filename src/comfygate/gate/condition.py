"""One server's health while this process owns it: evidence in, open slots out, each change logged and
kept."""

from __future__ import annotations

from dataclasses import replace

import structlog

from comfygate.domain.errors import StoreTrouble
from comfygate.domain.health import Evidence, Health, ServerState, after, may_queue_ahead, slots_open
from comfygate.gate.context import HEALTH, Context, ServerStatus
from comfygate.store import server_health as health_store
from comfygate.store.rows import ServerRow

log = structlog.get_logger(__name__)


class Condition:
    """Begins where an earlier owner of the server left off."""

    def __init__(self, ctx: Context, server: ServerRow) -> None:
        self._ctx = ctx
        self._server = server
        self._health = Health()
        self._kept: Health | None = None
        self._log = log.bind(server=server.name)
        self.status = ServerStatus(
            lanes=server.lanes, slots=server.slots, ahead=server.ahead, last_error=self._health.reason
        )
        ctx.fleet.status[server.name] = self.status

    async def load(self) -> None:
        """Read what was kept. Raises StoreTrouble."""
        found = await self._ctx.store.read(health_store.health_of, self._server.name)
        if found is not None:
            self._health = self._kept = found.health
            self._show()

    @property
    def answers(self) -> bool:
        """Whether the last look at the server was answered."""
        return self._health.answers

    @property
    def quarantined_until_at_ms(self) -> int | None:
        return self._health.quarantined_until_at_ms

    def open_slots(self, running: int, behind: int) -> int:
        """How many more jobs the server may be given, while so many run there and so many that left are not
        judged yet."""
        return slots_open(self._health, self._server.slots, running, behind)

    @property
    def may_queue_ahead(self) -> bool:
        """Whether a job may wait on the server behind those that run."""
        return may_queue_ahead(self._health)

    def see(self, evidence: Evidence) -> bool:
        """Take evidence in; whether the state changed."""
        before = self._health
        self._health = after(before, evidence, self._ctx.now_ms(), self._ctx.rules.health)
        self._show()
        changed = (before.state, before.reason) != (self._health.state, self._health.reason)
        if changed:
            well = self._health.state is ServerState.UP
            (self._log.info if well else self._log.warning)(
                f"server.{self._health.state.value}", reason=self._health.reason, was=before.state.value
            )
        return changed

    async def pardon(self) -> None:
        """Hear of the operator who ended a quarantine, perhaps through another process."""
        if self._health.state is not ServerState.QUARANTINED:
            return
        try:
            found = await self._ctx.store.read(health_store.health_of, self._server.name)
        except StoreTrouble as error:
            self._log.error("health.not_read", error=error.message)
            return
        until = self._health.quarantined_until_at_ms
        kept = None if found is None else found.quarantined_until_at_ms
        if kept is not None and until is not None and kept < until:
            self._health = replace(self._health, quarantined_until_at_ms=kept, trips=0)

    async def keep(self) -> None:
        """Write the present health, if it is not what was written last; trouble waits for the next time."""
        health = self._health
        if self._kept is not None and _shown(self._kept) == _shown(health):
            return
        try:
            await self._ctx.store.run(
                health_store.keep_health,
                self._server.name,
                health,
                self.status.version,
                self._ctx.now_ms(),
            )
        except StoreTrouble as error:
            self._log.error("health.not_kept", error=error.message)
        else:
            self._kept = health
            # Other replicas show what this one found out.
            self._ctx.bells.ring(HEALTH)

    def holds(self, prompts: int) -> None:
        """So many prompts of ours hold slots there."""
        self.status.running = min(prompts, self._server.slots)
        self._note()

    def warmed(self, models: str) -> None:
        """These models are loaded there now; '' if none are known to be."""
        self.status.warm = models
        self._note()

    def gone(self) -> None:
        """The server is no longer this process's."""
        self._ctx.fleet.idle.forget(self._server.name)
        self._ctx.fleet.status.pop(self._server.name, None)

    def _show(self) -> None:
        self.status.state, self.status.last_error = self._health.state, self._health.reason
        self._note()

    def _note(self) -> None:
        status, idle = self.status, self._ctx.fleet.idle
        if status.free:
            idle.note(self._server.name, status.lanes, status.warm)
        else:
            idle.forget(self._server.name)


def _shown(health: Health) -> tuple[object, ...]:
    """What of a health is kept."""
    return health.state, health.reason, health.failures, health.trips, health.quarantined_until_at_ms
