"""One look a second at everything, for all who have the operator's pages open, and none while nobody has.

What changed since the look before is written out once and handed to every viewer, and so is what happened,
every second, however long looks take. A viewer that does not keep up holds nobody: what it has not taken is
replaced by what is newer, and events that it missed are counted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from comfygate.domain.buckets import MINUTE_MS, Measure
from comfygate.domain.errors import GateError, TooManyStreams
from comfygate.gate.context import Context
from comfygate.gate.ops_alerts import Alerts
from comfygate.gate.ops_feed import event_json
from comfygate.gate.ops_now import Scene, look
from comfygate.gate.ops_series import series

LOOK_SECONDS: Final = 1.0
"""Between two looks, and how old an answer to a single question may be."""
REST: Final = 10.0
"""A look rests at least so many times as long as it took: a tenth of one processor at most."""
VIEWERS_MAX: Final = 500
EVENTS_SECONDS: Final = 1.0
"""Between two times that viewers are told what happened."""
EVENTS_AT_ONCE: Final = 200
"""Events that are sent together, as many as a page keeps; of more the oldest are left out, and counted."""

Json = dict[str, Any]
Key = tuple[str, str]

log = structlog.get_logger(__name__)


def frame(name: str, body: Any) -> bytes:
    """A server-sent event. JSON has no line ends, so nothing within can end it."""
    return _framed(name, _written(body))


def _written(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _framed(name: str, body: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), body)


class Happened:
    """What happened, written out once for all viewers who know as much."""

    def __init__(self, ctx: Context) -> None:
        self._feed = ctx.feed
        self._written: tuple[tuple[int, int], bytes] | None = None

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return self._feed.last

    def after(self, number: int) -> bytes:
        """The events above a number, and how many of them are left out; empty if there is none."""
        key = (number, self.last)
        if self._written is None or self._written[0] != key:
            events, missed = self._feed.after(number, EVENTS_AT_ONCE)
            body = {"events": [*map(event_json, events)], "missed": missed}
            self._written = (key, frame("events", body) if events else b"")
        return self._written[1]


class Viewer:
    """One who looks: what changed and was not taken yet, the newest of each thing."""

    def __init__(self, happened: Happened) -> None:
        self._happened = happened
        self._unread: dict[Key, bytes] = {}
        self._ready = asyncio.Event()
        self._seen = max(happened.last - EVENTS_AT_ONCE, 0)

    def begin(self) -> None:
        """Everything was just seen: what is in the box is older than that."""
        self._unread.clear()
        self._ready.set()

    def put(self, changed: Mapping[Key, bytes]) -> None:
        """These things are so now."""
        self._unread.update(changed)
        self.wake()

    def wake(self) -> None:
        """There is something to take."""
        self._ready.set()

    async def take(self) -> bytes:
        """Everything that is new, as soon as there is something."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            unread, self._unread = self._unread, {}
            parts = list(unread.values())
            if events := self._happened.after(self._seen):
                self._seen = self._happened.last
                parts.append(events)
            if parts:
                return b"".join(parts)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A look: when by the loop's clock, what it found, and each part of it written out."""

    at: float
    scene: Scene
    alerts: list[Json]
    busy: Json
    parts: Mapping[Key, bytes]


class Board:
    """Looks, and tells viewers."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self.alerts = Alerts(ctx)
        self._viewers: set[Viewer] = set()
        self._happened = Happened(ctx)
        self._seen: _Seen | None = None
        self._busy: tuple[int, Json] | None = None
        self._whole: tuple[_Seen, bytes] | None = None
        self._looking: asyncio.Task[_Seen] | None = None
        self._loops: tuple[asyncio.Task[None], ...] = ()

    @property
    def viewers(self) -> int:
        return len(self._viewers)

    async def now(self) -> bytes:
        """Everything as it is, or was a second ago, as JSON. Raises StoreTrouble."""
        seen = await self._lately()
        # Written once, however many come at once.
        if self._whole is None or self._whole[0] is not seen:
            self._whole = (seen, _written(seen.scene.to_json(seen.alerts, seen.busy)))
        return self._whole[1]

    @contextmanager
    def viewer(self) -> Iterator[Viewer]:
        """Look on until the block ends. Raises TooManyStreams."""
        if len(self._viewers) >= VIEWERS_MAX:
            raise TooManyStreams(
                f"{VIEWERS_MAX} have the operator's pages open, the most this process serves",
                details={"limit": "viewers_max", "value": VIEWERS_MAX},
            )
        one = Viewer(self._happened)
        self._viewers.add(one)
        if not self._loops:
            self._loops = (
                asyncio.create_task(self._keep_looking(), name="operations board"),
                asyncio.create_task(self._keep_telling(), name="operations events"),
            )
        try:
            yield one
        finally:
            self._viewers.discard(one)
            if not self._viewers:
                for loop in self._loops:
                    loop.cancel()
                self._loops = ()

    async def told(self, viewer: Viewer) -> AsyncIterator[bytes]:
        """What a viewer is sent: everything once, then whatever changes."""
        everything = await self.now()
        viewer.begin()
        yield _framed("now", everything)
        while True:
            yield await viewer.take()

    async def _lately(self) -> _Seen:
        """The last look, if it is not old. However many ask, one looks."""
        if self._seen is not None and asyncio.get_running_loop().time() - self._seen.at < LOOK_SECONDS:
            return self._seen
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="operations look")
            self._looking.add_done_callback(_heard_of)
        return await asyncio.shield(self._looking)

    async def _look(self) -> _Seen:
        scene = await look(self._ctx)
        alerts = await self.alerts.of(scene)
        busy = await self._last_hour(scene.at_ms)
        parts = _parts(scene, alerts) | {("busy", ""): frame("busy", busy)}
        seen = _Seen(asyncio.get_running_loop().time(), scene, alerts, busy, parts)
        before, self._seen = self._seen, seen
        if before is not None:
            self._note_states(before.scene, scene)
            changed = _changed(before.parts, seen.parts)
            if changed:
                for viewer in list(self._viewers):
                    viewer.put(changed)
        return seen

    async def _last_hour(self, now_ms: int) -> Json:
        """How busy servers were, by minutes: read once a minute."""
        minute = now_ms // MINUTE_MS
        if self._busy is None or self._busy[0] != minute:
            self._busy = (minute, await series(self._ctx, Measure.BUSY.value, "1h"))
        return self._busy[1]

    async def _keep_looking(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._lately()
            except GateError as error:
                log.info("board.no_look", error=error.message)
            except Exception:
                # Who looks on goes on looking, whatever one look came to.
                log.exception("board.look_broke")
            await asyncio.sleep(max(LOOK_SECONDS, REST * (loop.time() - began)))

    async def _keep_telling(self) -> None:
        told = self._happened.last
        while True:
            await asyncio.sleep(EVENTS_SECONDS)
            if self._happened.last != told:
                told = self._happened.last
                for viewer in list(self._viewers):
                    viewer.wake()

    def _note_states(self, before: Scene, now: Scene) -> None:
        """What became of servers is an event too."""
        for name, server in now.servers.items():
            was = before.servers.get(name)
            if was is None or was["state"] != server["state"]:
                said = {"server": name, "state": server["state"], "was": was["state"] if was else None}
                self._ctx.feed.note(now.at_ms, "server", **said)


def _heard_of(looking: asyncio.Task[_Seen]) -> None:
    """Whoever asked may have gone before the answer came."""
    if not looking.cancelled():
        looking.exception()


def _parts(scene: Scene, alerts: list[Json]) -> dict[Key, bytes]:
    found = {("lane", name): frame("lane", lane) for name, lane in scene.lanes.items()}
    found |= {("server", name): frame("server", server) for name, server in scene.servers.items()}
    found["untold", ""] = frame("untold", scene.untold)
    found["alerts", ""] = frame("alerts", alerts)
    return found


def _changed(before: Mapping[Key, bytes], now: Mapping[Key, bytes]) -> dict[Key, bytes]:
    changed = {key: part for key, part in now.items() if before.get(key) != part}
    for key in before.keys() - now.keys():
        changed[key] = frame("gone", {"what": key[0], "name": key[1]})
    return changed
