"""One attempt while it is driven: what it has, and what is known of its prompt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from comfygate.comfy.channel import Channel
from comfygate.comfy.client import ComfyClient
from comfygate.domain.graph import Graph, parse_graph
from comfygate.gate.context import Context
from comfygate.gate.driving import Stands
from comfygate.gate.stage import Staged
from comfygate.store.rows import ClaimedAttempt, NewOutput, Screening


@dataclass(slots=True)
class Link:
    """One server as its attempts use it."""

    name: str
    client: ComfyClient
    channel: Channel
    restart: Callable[[], Awaitable[None]] | None = None
    """How the operator has this ComfyUI started anew, if there is a way."""
    abandoned: set[str] = field(default_factory=set)
    """Prompts that were given up and may still be on the server: they must be gone before anything is
    sent."""
    number: int = -1
    """The largest number that the server gave a prompt of ours: one below it comes from a new process."""
    was_restarted: Callable[[], None] = lambda: None
    """Told when the number fell."""

    async def connected_within(self, seconds: float) -> bool:
        """Wait for the server's socket; whether it is there."""
        try:
            async with asyncio.timeout(seconds):
                await self.channel.wait_connected()
        except TimeoutError:
            return False
        return True

    def numbered(self, number: int) -> None:
        """A prompt was taken under `number`. If ComfyUI was restarted, all that wait for an earlier one
        look."""
        restarted, self.number = number < self.number, number
        if restarted:
            self.channel.doubt()
            self.was_restarted()


@dataclass(frozen=True, slots=True)
class Beforehand:
    """What was done for an attempt that was made ready ahead of its turn."""

    staged: Staged
    brought: Mapping[str, str]
    """Names of its inputs on the server, by asset id."""
    claim: Callable[[], Awaitable[bool]]
    """Claims its job; false if that is gone, NoLongerOurs if the server is another's."""
    sent: asyncio.Event
    """Set when its prompt was answered, or was not."""


class NoLongerOurs(Exception):
    """Another process took the attempt over, or it was settled: this one must not touch the server."""


@dataclass(slots=True)
class Run:
    """What is known of the attempt while it is driven."""

    ctx: Context
    link: Link
    attempt: ClaimedAttempt
    cancel: asyncio.Event
    trouble: Callable[[str], None]
    stuck: Callable[[str], None]
    left: Callable[[], asyncio.Event | None]
    """Told that the prompt has left the server and what it made is being fetched. Gives what is set once the
    next one was sent, if there is one."""
    log: structlog.typing.FilteringBoundLogger
    dropped: Mapping[str, Any] = field(default_factory=dict)
    collects: bool = False
    """Whether it has come to its outputs."""
    kept: list[NewOutput] = field(default_factory=list)
    screening: Screening | None = None
    """What its outputs screened as, once they were."""

    begun_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    """When this process began with it, by the event loop's clock."""
    heard_at: float = 0.0
    """When the prompt last gave a sign of life, by the event loop's clock."""
    is_running: bool = False
    """Whether ComfyUI is known to work on it now: before that, and while its outputs are fetched, it cannot
    hang."""
    marking: asyncio.Task[None] | None = None
    """Writes down that ComfyUI began, beside everything else."""
    inputs: Callable[[str], Awaitable[Mapping[str, str]]] | None = None
    """Gives, once, what of a job's inputs was brought ahead; None when it was asked."""
    brought: Mapping[str, str] = field(default_factory=dict)
    """Names of inputs that are on the server already, by asset id."""
    staged: Staged | None = None
    beforehand: Beforehand | None = None
    """None: it is claimed."""
    claiming: asyncio.Task[bool] | None = None
    stands: Callable[[Stands], None] = lambda _: None
    """Told how the prompt stands with the server, as it is seen."""
    in_doubt: bool = False
    """Whether a prompt may be on the server although no answer said so."""
    sent_as: str | None = None
    """The client id that the prompt was sent under; None when that is not known."""

    def begin_claim(self) -> None:
        """Claim the job beside what follows, if that is not done or being done."""
        if self.beforehand is not None and self.claiming is None:
            self.claiming = asyncio.create_task(self._claim(self.beforehand.claim))

    async def claimed(self) -> None:
        """Be sure that the attempt is written down as ours. Raises NoLongerOurs when its job was not to be
        had."""
        self.begin_claim()
        if self.claiming is not None and not await asyncio.shield(self.claiming):
            raise NoLongerOurs

    async def _claim(self, claim: Callable[[], Awaitable[bool]]) -> bool:
        try:
            got = await claim()
        except NoLongerOurs:
            raise
        except Exception:
            self._take_off()
            raise
        if not got:
            self._take_off()
        return got

    def _take_off(self) -> None:
        self.give_up()
        # It may run there by now.
        self.cancel.set()

    def give_up(self) -> None:
        """The attempt ends without knowing what becomes of its prompt: nothing is sent there before it is
        gone."""
        self.link.abandoned.add(self.attempt.prompt_id)

    def sign_of_life(self) -> None:
        self.heard_at = asyncio.get_running_loop().time()

    def graph(self) -> Graph:
        return parse_graph(json.loads(self.attempt.graph), nodes_max=self.ctx.rules.limits.graph_nodes_max)
