"""One life of a gateway process: the real service over simulated parts, until it is stopped or dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar, cast

from comfygate.assets.blobs import BlobStore
from comfygate.gate.context import Context
from comfygate.gate.live import Live
from comfygate.gate.service import Service, running
from comfygate.store.rows import OutboxRow, ServerRow
from tests.sim.clock import OWNER, pause
from tests.sim.database import SimStore
from tests.sim.disk import SimBlobs
from tests.sim.network import link_to

if TYPE_CHECKING:
    from tests.sim.world import World

R = TypeVar("R")


class Unknown(Exception):
    """The process died while it did something for a user, who does not know whether it was done."""


class Process:
    """A gateway process. Frozen for good it is dead; frozen for a while the system merely stopped it."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"gate{number}"
        self.frozen = False
        self.held: list[asyncio.Handle] = []
        self.dead = False
        self.over = False
        self.database_away = False
        self.gone: asyncio.Future[None] = world.loop.create_future()
        self.ready: asyncio.Future[None] = world.loop.create_future()
        self._stop = asyncio.Event()
        self._calls = 0
        self._owned = copy_context()
        self._owned.run(OWNER.set, self)
        self.ctx = Context(
            store=SimStore(self, world.database),
            blobs=cast("BlobStore", SimBlobs(self, world.disk)),
            rules=world.rules,
            now_ms=world.now_ms,
            new_id=world.new_id,
            owner=self.name,
            live=Live(world.loop.time),
            # Nothing here is a picture, and a process of its own has no virtual clock.
            eyes=None,
        )

    def start(self) -> None:
        self.world.note(f"{self.name}: starts")
        task = asyncio.get_running_loop().create_task(self._main(), context=self._owned)
        task.add_done_callback(self._ended, context=self.world.loop.world.copy())

    async def _main(self) -> None:
        async with running(self.ctx, self._connect) as service:
            service.subscribers.append(self._told)
            self.ready.set_result(None)
            await self._stop.wait()
            await self._drain(service)

    async def _drain(self, service: Service) -> None:
        ended = await service.drain(asyncio.Event())
        self.world.note(f"{self.name}: drained: {ended}")

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or self.dead or self.over:
            return
        if error := task.exception():
            self.world.fail(f"the service ended by itself: {error!r}")
        self.world.note(f"{self.name}: stopped")
        self.dead = True
        self.world.loop.freeze(self)
        self.gone.set_result(None)

    def _connect(self, server: ServerRow) -> Any:
        return link_to(self, self.world.servers[server.name])

    async def _told(self, row: OutboxRow) -> None:
        """A subscriber beyond the process: a bot's message, say."""
        await self.reach("tell", "before")
        if self.world.rng.random() < self.world.weather.store_error:
            raise ConnectionError("the subscriber is away")
        self.world.auditor.was_told(row)
        await self.reach("tell", "during")
        await self.reach("tell", "after")

    async def reach(self, kind: str, phase: str, dice: Random | None = None) -> None:
        """An effect begins, has happened, or was heard of: time passes, by the world's dice unless by
        others, and the process may die here."""
        if self.over:
            raise asyncio.CancelledError
        self.world.effects += 1
        if phase != "before":
            self.world.note(f"{self.name}: {kind} {phase}")
        if self.world.dies_at(kind, phase):
            self.world.note(f"{self.name}: dies {phase} {kind}")
            self.kill()
        if self.dead:
            await asyncio.get_running_loop().create_future()
        await pause((dice or self.world.rng).uniform(0.0, 0.01))

    def kill(self) -> None:
        """kill -9."""
        if self.dead:
            return
        self.world.note(f"{self.name}: killed")
        self.dead = True
        self.world.loop.freeze(self)
        self.gone.set_result(None)

    def stop(self) -> None:
        """SIGTERM."""
        if not self.dead:
            self.world.note(f"{self.name}: told to stop")
            self._stop.set()

    async def use(self, act: Callable[[Context], Awaitable[R]]) -> R:
        """Do something in this process on behalf of a user outside.

        Raises Unknown when the process dies meanwhile, and what the use case raises.
        """
        self._calls += 1

        async def run() -> R:
            return await act(self.ctx)

        context = self._owned.copy()
        task = asyncio.get_running_loop().create_task(run(), context=context)
        ends: list[asyncio.Future[Any]] = [task, self.gone]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Unknown
        return task.result()

    def dissolve(self) -> None:
        """After the run: let what is left unwind; its effects are cancelled."""
        self.over = True
        self.world.loop.thaw(self)
