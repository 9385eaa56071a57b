"""Tells watchers of queued jobs their place in line: one look at a lane's front serves all of them."""

from __future__ import annotations

import asyncio

from comfygate.gate.context import Context, heard
from comfygate.gate.live import StatusEvent
from comfygate.gate.relay import POSITIONS_TOPIC
from comfygate.store import jobs as jobs_store

INTERVAL_SECONDS = 0.2
"""Least time between two looks at one lane."""
POLL_SECONDS = 5.0
"""The safety net: how old a shown position can get when another process moved the lane."""


async def tell_positions(ctx: Context, lane: str) -> None:
    """Run for one lane until cancelled."""
    bell = ctx.bells.hang(frozenset({f"{POSITIONS_TOPIC}:{lane}"}))
    try:
        while True:
            await heard(bell, POLL_SECONDS)
            bell.clear()
            await tell_once(ctx, lane)
            await asyncio.sleep(INTERVAL_SECONDS)
    finally:
        ctx.bells.remove(bell)


async def tell_once(ctx: Context, lane: str) -> None:
    """Tell every watcher of a queued job in the lane its place, if it changed."""
    if not ctx.live.watched_in(lane):
        return
    cap = ctx.rules.limits.position_cap
    front = await ctx.store.read(jobs_store.front_of_lane, lane, cap)
    places = {job_id: place for place, job_id in enumerate(front, start=1)}
    for watch in ctx.live.watched_in(lane):
        place = places.get(watch.job_id)
        if place is not None and place != watch.position:
            watch.put(StatusEvent("queued", place))
