"""The gate's own log lines go into the trace, and what it calls a bug of its own is a failure here."""

from __future__ import annotations

import re
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

import structlog

from comfygate.domain.errors import ServerTrouble

if TYPE_CHECKING:
    from tests.sim.world import World

BUGS = {"attempt.broke", "loop.broke", "server.part_broke", "attempt.left_open"}
"""Lines that nothing but a bug, or trouble that the weather made, may cause."""
EXPECTED = (ServerTrouble,)
SHOWN = ("job", "server", "cause", "error", "reason", "outcome", "result", "where", "adopted")

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}")
_world: list[World] = []


def listen_to_the_gate(world: World | None) -> None:
    """From now on the gate's log is this world's; None: nobody's."""
    _world[:] = [] if world is None else [world]
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, _hear])


def _hear(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> dict[str, Any]:
    for world in _world:
        said = [f"{name}={_short(world, line[name])}" for name in SHOWN if name in line]
        event = str(line.get("event"))
        world.note(f"    [{event}] {' '.join(said)}")
        if event == "attempt.claimed":
            world.auditor.begins(str(line["job"]), str(line["server"]))
        error = sys.exc_info()[1]
        if event in BUGS and not isinstance(error, EXPECTED):
            world.fail(f"the gate says {event}: {error!r} {line}")
    raise structlog.DropEvent


def _short(world: World, value: object) -> str:
    # Some ids are made by the gate at random, so only those of this world may show.
    return _ID.sub(lambda found: world.alias(found[0]) if world.knows(found[0]) else "?", str(value))[:120]
