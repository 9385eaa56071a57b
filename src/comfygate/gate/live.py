"""What is happening to jobs right now, for whoever watches: in this process, in memory, never the truth.

A slow watcher holds nobody up: progress, previews and places in line that it has not read are replaced by
newer ones, other statuses are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from comfygate.domain.errors import TooManyStreams
from comfygate.domain.job import PUBLIC_STATUS, TERMINAL, JobState
from comfygate.gate.gathered import Gathered
from comfygate.gate.looks import Looks
from comfygate.gate.pulse import Pulse
from comfygate.gate.waking import Waking

PROGRESS_INTERVAL_SECONDS = 0.4
"""Least time between two progress events of one job; about two a second, as Comfy API v2 asks for."""
PREVIEW_BYTES_MAX = 512 * 1024
"""Larger previews are not passed on, in bytes."""
STIRS_MAX = 1000
"""Jobs of an account that may wait to be looked at; others are seen at the next look at all of them."""
ACCOUNT_LOOKS_REST = 3.0
"""Looks at accounts rest so many times as long as they took: after one of 15 ms the next is in 45."""
STATUSES_WAITING_MAX = 256
"""Unread status events of one watcher, after which the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """A public status; `position` while queued (0: taken by a server, 1: next)."""

    status: str
    position: int | None = None
    again: bool = False
    """The job went back to its lane: the only step backwards there is."""

    @property
    def order(self) -> int:
        """How far along a status is; what arrives late of an earlier one is not told."""
        steps = {"queued": 0, "running": 2, "canceling": 3}
        return 1 if self.status == "queued" and self.position == 0 else steps.get(self.status, 4)

    @property
    def is_place(self) -> bool:
        """Whether it says nothing but a place in line, which a later one makes worthless."""
        return self.status == "queued" and bool(self.position) and not self.again

    @property
    def ends(self) -> bool:
        return self.status in {PUBLIC_STATUS[state] for state in TERMINAL}


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """A complete snapshot of how far an attempt is. `value` from 0 to 1."""

    value: float
    nodes_done: int
    nodes_total: int
    current_node: str | None = None
    current_node_class: str | None = None
    step: int | None = None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class PreviewEvent:
    """A picture of work in progress."""

    node_id: str
    content_type: str
    data: bytes


LiveEvent = StatusEvent | ProgressEvent | PreviewEvent


class Watch:
    """One watcher's unread events of one job, in order."""

    def __init__(self, job_id: str, lane: str, waking: Waking, ready: asyncio.Event | None = None) -> None:
        self.job_id = job_id
        self.lane = lane
        self._unread: dict[object, LiveEvent] = {}
        self._serial = 0
        self._order = 0
        self._ready = ready or asyncio.Event()
        self._waking = waking
        self.position: int | None = None
        self.doubted = False
        """Whether something may have been missed, so that the job is to be looked at."""

    def put(self, event: LiveEvent) -> None:
        """Add an event; a newer progress, preview or place in line takes the place of an unread older one."""
        if isinstance(event, StatusEvent):
            if event.order < self._order and not event.again:
                return
            self._order = event.order
        key: object = type(event)
        if isinstance(event, StatusEvent):
            self._serial += 1
            key = self._serial
            self._forget_place(event)
            if len(self._unread) >= STATUSES_WAITING_MAX:
                self._unread.pop(next(iter(self._unread)))
        else:
            self._unread.pop(key, None)
        if isinstance(event, StatusEvent):
            self.position = event.position if event.status == "queued" else None
        self._unread[key] = event
        self._waking.wake(self._ready, first=isinstance(event, StatusEvent) and event.ends)

    def _forget_place(self, event: StatusEvent) -> None:
        last = next(reversed(self._unread), None)
        unread = None if last is None else self._unread[last]
        if event.is_place and isinstance(unread, StatusEvent) and unread.is_place:
            del self._unread[last]

    def poke(self) -> None:
        """Have `take` come back."""
        self._waking.wake(self._ready)

    async def take(self) -> list[LiveEvent]:
        """All unread events, oldest first, as soon as there is one; none when it was poked."""
        await self._ready.wait()
        self._ready.clear()
        taken = list(self._unread.values())
        self._unread.clear()
        return taken

    async def next(self) -> LiveEvent:
        """The oldest unread event, as soon as there is one."""
        while not self._unread:
            self._ready.clear()
            await self._ready.wait()
        return self._unread.pop(next(iter(self._unread)))

    def take_now(self) -> list[LiveEvent]:
        """Every unread event, oldest first; for who waits on `ready` for several watches at once."""
        unread = list(self._unread.values())
        self._unread.clear()
        return unread

    async def __aiter__(self) -> AsyncIterator[LiveEvent]:
        """Events up to and with the terminal status."""
        while True:
            event = await self.next()
            yield event
            if isinstance(event, StatusEvent) and event.ends:
                return


class Stirs:
    """Jobs of one account that something happened to, since somebody last looked."""

    def __init__(self) -> None:
        self._jobs: set[str] = set()
        self.account = False
        """Whether anything was heard."""
        self.ready = asyncio.Event()

    def put(self, job_id: str | None) -> None:
        """One more; None: something of the account itself, its credits say."""
        if job_id is not None:
            self._jobs.add(job_id)
        self.account = True
        if len(self._jobs) > STIRS_MAX:
            self._jobs.pop()
        self.ready.set()

    def take(self) -> set[str]:
        """Their ids; the next ones are counted anew."""
        self.account = False
        jobs, self._jobs = self._jobs, set()
        return jobs


class Live:
    """The watchers of all jobs, and the latest progress and preview of those in flight."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._watches: dict[str, set[Watch]] = {}
        self._waking = Waking()
        self.watchers = 0
        """Watches that are up, of all jobs."""
        self.looks: Looks[Any, Any] = Looks()
        """Looks at jobs by those who follow them."""
        self.pulse = Pulse()
        """Wakes those who follow a job in which nothing happens."""
        self.account_looks: Gathered[Any, Any] = Gathered(ACCOUNT_LOOKS_REST)
        """Looks at accounts by those who follow all their jobs."""
        self._stirs: dict[str, set[Stirs]] = {}
        self._progress: dict[str, ProgressEvent] = {}
        self._preview: dict[str, PreviewEvent] = {}
        self._told_at: dict[tuple[str, type], float] = {}
        self._streams: dict[str, int] = {}
        self.on_progress: Callable[[str, ProgressEvent], None] | None = None
        """Hears the progress that is passed on here and was not heard from another replica."""

    def progress_of(self, job_id: str) -> ProgressEvent | None:
        return self._progress.get(job_id)

    def preview_of(self, job_id: str) -> PreviewEvent | None:
        return self._preview.get(job_id)

    @contextmanager
    def watch(self, job_id: str, lane: str, ready: asyncio.Event | None = None) -> Iterator[Watch]:
        """Watch a job until the block ends. Subscribe first, then read the job: nothing falls between.
        `ready` is set with each event; one of the watch's own if None."""
        watch = Watch(job_id, lane, self._waking, ready)
        self._watches.setdefault(job_id, set()).add(watch)
        self.watchers += 1
        try:
            yield watch
        finally:
            self.watchers -= 1
            watches = self._watches[job_id]
            watches.discard(watch)
            if not watches:
                del self._watches[job_id]

    @contextmanager
    def stirs(self, account_id: str) -> Iterator[Stirs]:
        """Hear of every status of the account's jobs until the block ends."""
        stirs = Stirs()
        self._stirs.setdefault(account_id, set()).add(stirs)
        try:
            yield stirs
        finally:
            self._stirs[account_id].discard(stirs)
            if not self._stirs[account_id]:
                del self._stirs[account_id]

    def stir(self, account_id: str, job_id: str | None) -> None:
        """Say that the status of one of the account's jobs changed, or (None) its credits alone."""
        for stirs in self._stirs.get(account_id, ()):
            stirs.put(job_id)

    @contextmanager
    def stream(self, account_id: str, most: int) -> Iterator[None]:
        """Count one live stream of an account. Raises TooManyStreams above `most`."""
        if self._streams.get(account_id, 0) >= most:
            raise TooManyStreams(
                f"this account has {most} event streams open, the most it may have; close one or poll",
                details={"limit": "streams_per_account_max", "value": most},
            )
        self._streams[account_id] = self._streams.get(account_id, 0) + 1
        try:
            yield
        finally:
            self._streams[account_id] -= 1
            if not self._streams[account_id]:
                del self._streams[account_id]

    @property
    def streams(self) -> int:
        """Live streams that are open, of all accounts."""
        return sum(self._streams.values())

    def doubt(self) -> None:
        """Something may have been missed: whoever follows a job looks at it."""
        for watches in self._watches.values():
            for watch in watches:
                watch.doubted = True
                watch.poke()

    def watched_in(self, lane: str) -> list[Watch]:
        """Watches of jobs of this lane."""
        return [watch for watches in self._watches.values() for watch in watches if watch.lane == lane]

    def publish(self, job_id: str, event: LiveEvent, *, from_outside: bool = False) -> None:
        """Pass an event on to the job's watchers, progress and previews no more than about twice a second."""
        if isinstance(event, ProgressEvent):
            self._progress[job_id] = event
        elif isinstance(event, PreviewEvent):
            if len(event.data) > PREVIEW_BYTES_MAX:
                return
            self._preview[job_id] = event
        elif event.ends or event.status == "queued":
            self.forget(job_id)
        if isinstance(event, ProgressEvent | PreviewEvent) and not self._due(job_id, event):
            return
        if isinstance(event, ProgressEvent) and self.on_progress is not None and not from_outside:
            self.on_progress(job_id, event)
        for watch in self._watches.get(job_id, ()):
            watch.put(event)

    def _due(self, job_id: str, event: LiveEvent) -> bool:
        key, now = (job_id, type(event)), self._monotonic()
        if now - self._told_at.get(key, -PROGRESS_INTERVAL_SECONDS) < PROGRESS_INTERVAL_SECONDS:
            return False
        self._told_at[key] = now
        return True

    def forget(self, job_id: str) -> None:
        """Drop the snapshots of a job that is no longer in flight."""
        self._progress.pop(job_id, None)
        self._preview.pop(job_id, None)
        self._told_at.pop((job_id, ProgressEvent), None)
        self._told_at.pop((job_id, PreviewEvent), None)


def public_status(state: JobState) -> str:
    """One of the contract's seven statuses."""
    return PUBLIC_STATUS[state]
