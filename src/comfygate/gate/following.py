"""Following a job to its end: what happens is heard in this process, and the job is looked at in between.

However many follow, those who look at the same moment share one read, and one timer wakes all to whom nothing
happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from comfygate.domain.job import TERMINAL
from comfygate.gate import views
from comfygate.gate.context import Context
from comfygate.gate.live import LiveEvent, StatusEvent, Watch
from comfygate.gate.looks import Looks
from comfygate.gate.views import JobView, Key

LOOK_SECONDS = 5.0
"""How long a follower waits in silence before it looks at the job itself, unless there are very many."""
LOOKS_A_SECOND_MAX = 100
"""So often in a second, about, all followers of this process together look at jobs."""


async def look(ctx: Context, job_id: str, account_id: str | None) -> JobView:
    """As `views.get_job`: the job as it is no earlier than now. One read serves all who ask meanwhile."""
    looks: Looks[Key, JobView] = ctx.live.looks
    view = await looks.now((job_id, account_id), lambda keys: views.get_jobs(ctx, keys))
    return views.found(view, job_id)


async def follow(
    ctx: Context, job_id: str, account_id: str | None, lane: str | None = None
) -> AsyncGenerator[LiveEvent, None]:
    """Present status, latest progress and preview, then every event up to the terminal status.

    Raises NotFound, alike for unknown and foreign. A terminal status is never missed: the job itself is
    looked at whenever nothing was heard for a while. `lane` is the job's, if the caller looked it up.
    """
    async with aclosing(follow_together(ctx, job_id, account_id, lane)) as source:
        async for events in source:
            for event in events:
                yield event


async def follow_together(
    ctx: Context,
    job_id: str,
    account_id: str | None,
    lane: str | None = None,
    *,
    silence_seconds: float = float("inf"),
) -> AsyncGenerator[list[LiveEvent], None]:
    """As `follow`, giving together what happened together; nothing after each silence of so many seconds, or
    up to `pulse.GRAIN_SECONDS` more."""
    if lane is None:
        lane = (await views.get_job(ctx, job_id, account_id)).job.lane
    with ctx.live.watch(job_id, lane) as watch:
        # Read now that the watch is up, so that nothing falls between the two.
        view = await look(ctx, job_id, account_id)
        watch.put(StatusEvent(view.status, view.position))
        for snapshot in (ctx.live.progress_of(job_id), ctx.live.preview_of(job_id)):
            if snapshot is not None and view.job.state not in TERMINAL:
                watch.put(snapshot)
        news = _News(watch)
        clock, wake = asyncio.get_running_loop().time, watch.poke
        told_at = clock()
        try:
            while not news.ended:
                patience = max(LOOK_SECONDS, ctx.live.watchers / LOOKS_A_SECOND_MAX)
                ctx.live.pulse.at(wake, min(news.heard_at + patience, told_at + silence_seconds))
                events = await news.next()
                if watch.doubted:
                    watch.doubted = False
                    view = await look(ctx, job_id, account_id)
                    events += news.of([StatusEvent(view.status, view.position)])
                elif news.heard_at + patience <= clock():
                    events = news.of([await _looked_lately(ctx, (job_id, account_id), patience / 2)])
                if events or told_at + silence_seconds <= clock():
                    yield events
                    told_at = clock()
        finally:
            ctx.live.pulse.leave(wake)


class _News:
    """What of a watch was not told before."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._told: StatusEvent | None = None
        self._clock = asyncio.get_running_loop().time
        self.heard_at = self._clock()
        """When there last was anything, news or not."""
        self.ended = False

    async def next(self) -> list[LiveEvent]:
        """What comes next, or nothing if the watch is poked."""
        return self.of(await self._watch.take())

    def of(self, events: list[LiveEvent]) -> list[LiveEvent]:
        """Of these events those that are news, up to the one that ends the job."""
        if events:
            self.heard_at = self._clock()
        news: list[LiveEvent] = []
        for event in events:
            if self.ended or event == self._told:
                continue
            if isinstance(event, StatusEvent):
                self._told, self.ended = event, event.ends
            news.append(event)
        return news


async def _looked_lately(ctx: Context, key: Key, seconds: float) -> StatusEvent:
    """The status by a look that another follower took within these seconds, or by one of its own."""
    looks: Looks[Key, JobView] = ctx.live.looks
    view = looks.lately(key, seconds) or await look(ctx, *key)
    return StatusEvent(view.status, view.position)
