"""Tells watchers of queued jobs their place in line: one look at a lane's front serves all of them."""

from __future__ import annotations

import asyncio

from comfygate.gate.context import Context, heard
from comfygate.gate.live import StatusEvent
from comfygate.gate.relay import POSITIONS_TOPIC
from comfygate.store import jobs as jobs_store

INTERVAL_SECONDS = 0.2
"""Least time between two looks at one lane."""
PLACES_A_SECOND_MAX = 2_000
"""So many places are told in a second, about: where more watch a lane, it is looked at less often."""
POLL_SECONDS = 5.0
"""The safety net: how old a shown position can get when another process moved the lane."""


async def tell_positions(ctx: Context, lane: str) -> None:
    """Run for one lane until cancelled."""
    bell = ctx.bells.hang(frozenset({f"{POSITIONS_TOPIC}:{lane}"}))
    try:
        while True:
            await heard(bell, POLL_SECONDS)
            bell.clear()
            watchers = await tell_once(ctx, lane)
            await asyncio.sleep(max(INTERVAL_SECONDS, watchers / PLACES_A_SECOND_MAX))
    finally:
        ctx.bells.remove(bell)


async def tell_once(ctx: Context, lane: str) -> int:
    """Tell every watcher of a queued job in the lane its place, if it changed. How many watch there."""
    if not ctx.live.watched_in(lane):
        return 0
    cap = ctx.rules.limits.position_cap
    front = await ctx.store.read(jobs_store.front_of_lane, lane, cap)
    places = {job_id: place for place, job_id in enumerate(front, start=1)}
    watched = ctx.live.watched_in(lane)
    for watch in watched:
        place = places.get(watch.job_id)
        if place is not None and place != watch.position:
            watch.put(StatusEvent("queued", place))
    return len(watched)
