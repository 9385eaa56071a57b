"""Looks at one server now and then: does it answer, what waits there, and what can it run.

A deep look (version, the ways it cancels, its node classes) is taken when it comes back, after any sign of
trouble, and every `object_info_seconds`; between these one small request says whether it is there. A well
server that answered something else meanwhile, as one that works for us does, is not asked for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from zlib import crc32

import structlog

from comfygate.comfy.errors import ComfyError
from comfygate.domain.graph import NodeClass
from comfygate.domain.health import Answered, ServerState, Silent
from comfygate.gate.condition import Condition
from comfygate.gate.context import Context, heard
from comfygate.gate.run import Link
from comfygate.store import fit as fit_store

DOWN_PROBE_SECONDS = 1.0
"""Between two probes of a server that does not answer."""
SPREAD = 0.25
"""Servers are looked at up to so much more often than the settings say, each in a rhythm of its own, so that
those which came up together do not go on being asked together."""

log = structlog.get_logger(__name__)


class Prober:
    """`held` is how many prompts of ours are there. `see` takes evidence; `able` hears that what the server
    can run is new."""

    def __init__(
        self,
        ctx: Context,
        link: Link,
        condition: Condition,
        *,
        held: Callable[[], int],
        see: Callable[[Answered | Silent], None],
        able: Callable[[], None],
    ) -> None:
        self._ctx = ctx
        self._link = link
        self._condition = condition
        self._held, self._see, self._able = held, see, able
        self._look_now = asyncio.Event()
        self._asked_at = float("-inf")
        self._classes: Mapping[str, NodeClass] | None = None
        self._new = False
        """Whether what it can run is another than what misfits were found by."""
        self._often = 1.0 - SPREAD * crc32(link.name.encode()) / 2**32
        self._log = log.bind(server=link.name)

    async def run(self) -> None:
        """Until cancelled."""
        await self._condition.load()
        troubled = True
        while True:
            self._look_now.clear()
            await self._condition.pardon()
            await self._probe(deep=troubled)
            await self._condition.keep()
            troubled = await self._until_due()

    def look_now(self, *, at_abilities: bool = False) -> None:
        """Something is amiss, or health is to be kept; `at_abilities`: what it can run may be another now."""
        if at_abilities:
            self._asked_at = float("-inf")
        self._look_now.set()

    async def _until_due(self) -> bool:
        """Wait until the server must be looked at; whether there is trouble."""
        wait = self._until_probe()
        while not await heard(self._look_now, wait):
            wait = self._answered_at() + self._until_probe() - asyncio.get_running_loop().time()
            remaining = self._link.channel.queue_remaining
            if wait <= 0 or remaining is None:
                return False
            self._condition.status.foreign = max(remaining - self._held(), 0)
        return True

    def _answered_at(self) -> float:
        """When the server was last heard of, where that is as good as a look."""
        well = self._condition.status.state is ServerState.UP
        if not well or self._asks_abilities(asyncio.get_running_loop().time()):
            return float("-inf")
        return self._link.client.answered_at

    def _asks_abilities(self, now: float) -> bool:
        return not self._condition.answers or now - self._asked_at >= self._ctx.rules.object_info_seconds

    def _until_probe(self) -> float:
        """Seconds: soon for a server that does not answer, and right when a quarantine is over."""
        if not self._condition.answers:
            return DOWN_PROBE_SECONDS
        wait = self._ctx.rules.probe_seconds * self._often
        until = self._condition.quarantined_until_at_ms
        if until is None:
            return wait
        return min(wait, max((until - self._ctx.now_ms()) / 1000, 0.0) + 0.01)

    async def _probe(self, *, deep: bool) -> None:
        condition, client = self._condition, self._link.client
        now = asyncio.get_running_loop().time()
        ask = self._asks_abilities(now)
        try:
            if deep or ask:
                condition.status.version = (await client.probe()).version
            condition.status.foreign = max(await client.queue_depth() - self._held(), 0)
            if ask:
                await self._ask_abilities()
                self._asked_at = now
        except ComfyError as error:
            self._see(Silent(str(error)))
            return
        self._see(Answered())

    async def _ask_abilities(self) -> None:
        """Learn node classes and model files anew; what did not fit before may fit now."""
        fleet, name = self._ctx.fleet, self._link.name
        classes = await fleet.abilities.ask(self._link.client, fleet.classes.values())
        # Not what the fleet knows: of a server that was another replica's nothing was forgotten for that.
        known, self._classes = self._classes, classes
        fleet.classes[name] = classes
        self._new = self._new or (known is not classes and known != classes)
        if not self._new:
            return
        # Until this is done it is due: trouble of the database must not keep a workflow off for days.
        await self._ctx.store.run(fit_store.forget_misfits, name)
        self._new = False
        self._able()
        if known is not None:
            self._log.info("server.abilities_changed", node_classes=len(classes))
