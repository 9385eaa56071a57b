"""One attempt while it is driven: what it has, and what is known of its prompt."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from comfygate.comfy.channel import Channel
from comfygate.comfy.client import ComfyClient
from comfygate.domain.graph import Graph, parse_graph
from comfygate.gate.context import Context
from comfygate.gate.stage import Staged
from comfygate.store.rows import ClaimedAttempt, NewOutput


@dataclass(frozen=True, slots=True)
class Link:
    """One server as its attempts use it."""

    name: str
    client: ComfyClient
    channel: Channel
    abandoned: set[str] = field(default_factory=set)
    """Prompts that were given up and may still be on the server: they must be gone before anything is
    sent."""


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
    log: structlog.typing.FilteringBoundLogger
    dropped: Mapping[str, Any] = field(default_factory=dict)
    kept: list[NewOutput] = field(default_factory=list)

    staged: Staged | None = None
    in_doubt: bool = False
    """Whether a prompt may be on the server although no answer said so."""
    sent_as: str | None = None
    """The client id that the prompt was sent under; None when that is not known."""

    def graph(self) -> Graph:
        return parse_graph(json.loads(self.attempt.graph), nodes_max=self.ctx.rules.limits.graph_nodes_max)
