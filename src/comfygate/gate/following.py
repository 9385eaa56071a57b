"""Following a job to its end: what happens is heard in this process, and the job is looked at in between.

However many follow, those who look at the same moment share one read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from comfygate.domain.job import TERMINAL
from comfygate.gate import views
from comfygate.gate.context import Context
from comfygate.gate.live import LiveEvent, StatusEvent
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
    if lane is None:
        lane = (await views.get_job(ctx, job_id, account_id)).job.lane
    with ctx.live.watch(job_id, lane) as watch:
        # Read now that the watch is up, so that nothing falls between the two.
        view = await look(ctx, job_id, account_id)
        watch.put(StatusEvent(view.status, view.position))
        for snapshot in (ctx.live.progress_of(job_id), ctx.live.preview_of(job_id)):
            if snapshot is not None and view.job.state not in TERMINAL:
                watch.put(snapshot)
        told: StatusEvent | None = None
        while True:
            patience = max(LOOK_SECONDS, ctx.live.watchers / LOOKS_A_SECOND_MAX)
            try:
                async with asyncio.timeout(patience):
                    event = await watch.next()
            except TimeoutError:
                event = await _looked_lately(ctx, (job_id, account_id), patience / 2)
            if isinstance(event, StatusEvent):
                if event == told:
                    continue
                told = event
            yield event
            if isinstance(event, StatusEvent) and event.ends:
                return


async def _looked_lately(ctx: Context, key: Key, seconds: float) -> StatusEvent:
    """The status by a look that another follower took within these seconds, or by one of its own."""
    looks: Looks[Key, JobView] = ctx.live.looks
    view = looks.lately(key, seconds) or await look(ctx, *key)
    return StatusEvent(view.status, view.position)
