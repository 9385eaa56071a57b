"""Lanes, servers and what runs, as they are now, in one look: a document made of parts that stand alone.

Nothing in it moves by itself: times are those at which something began, so that a part that did not change
is the same, to the byte.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from comfygate.domain.buckets import MINUTE_MS
from comfygate.domain.health import ServerState
from comfygate.gate.context import Context
from comfygate.gate.fleet_control import ServerView, look_at_servers
from comfygate.gate.ops_story import learn_models, open_json, server_json
from comfygate.store import buckets as buckets_store
from comfygate.store import lanes as lanes_store
from comfygate.store import metering, ops_lists, ops_story
from comfygate.store.engine import Connection
from comfygate.store.lanes import LaneRow
from comfygate.store.metering import LaneCensus
from comfygate.store.ops_story import OpenAttempt

COUNTED_MAX: Final = 5000
"""Waiting jobs of a lane are counted up to here."""
THROUGHPUT_MINUTES: Final = 10

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scene:
    """What was read of the store at one moment."""

    at_ms: int
    lanes: Mapping[str, Json]
    servers: Mapping[str, Json]
    untold: Json
    views: Sequence[ServerView]
    open_now: Sequence[OpenAttempt]

    def to_json(self, alerts: Sequence[Json], busy: Json) -> Json:
        """The whole document. `busy` is the last hour of every server, by minutes."""
        return {
            "at_ms": self.at_ms,
            "lanes": list(self.lanes.values()),
            "servers": list(self.servers.values()),
            "untold": self.untold,
            "alerts": list(alerts),
            "busy": busy,
        }


async def look(ctx: Context) -> Scene:
    """Look at everything, in one snapshot."""
    return await ctx.store.read(_look, ctx)


def _look(conn: Connection, ctx: Context) -> Scene:
    now_ms = ctx.now_ms()
    views = look_at_servers(conn, ctx)
    open_now = ops_story.open_attempts(conn)
    learn_models(conn, ctx, open_now)
    names = [*ctx.rules.lanes]
    # A lane that was taken out of the settings may have jobs still.
    names += [name for name in ops_lists.lanes_queued(conn) if name not in ctx.rules.lanes]
    census = metering.census(conn, names, COUNTED_MAX)
    noted = lanes_store.list_lanes(conn)
    since_ms = (now_ms // MINUTE_MS - THROUGHPUT_MINUTES) * MINUTE_MS
    ended = buckets_store.ended_since(conn, since_ms)
    minutes = (now_ms - since_ms) / MINUTE_MS
    running = Counter(one.lane for one in open_now)
    on: dict[str, list[Json]] = {}
    for one in open_now:
        on.setdefault(one.server, []).append(open_json(ctx, one))
    return Scene(
        at_ms=now_ms,
        lanes={
            name: {
                **_lane(ctx, noted.get(name, LaneRow(name)), census.lanes[name], views),
                "running": running[name],
                "ended_per_minute": _per_minute(ended.get(name, {}), minutes),
                "last_in_line": ops_story.last_queued(conn, name),
            }
            for name in names
        },
        servers={
            view.row.name: {
                **server_json(ctx, view),
                "running_now": on.get(view.row.name, []),
            }
            for view in views
        },
        untold={"rows": census.untold, "oldest_at_ms": census.untold_oldest_at_ms},
        views=views,
        open_now=open_now,
    )


def _per_minute(ended: Mapping[str, int], minutes: float) -> Json:
    """Jobs a minute that ended, by public status, to one digit: so it changes when something did."""
    return {status: round(times / minutes, 1) for status, times in sorted(ended.items())}


def _lane(ctx: Context, noted: LaneRow, census: LaneCensus, views: Sequence[ServerView]) -> Json:
    rules = ctx.rules.lanes.get(noted.name)
    of_lane = [view for view in views if noted.name in view.row.lanes]
    waiting = sum(census.waiting.values())
    taking = {ServerState.UP.value, ServerState.SUSPECT.value}
    return {
        "name": noted.name,
        "state": "open" if noted.paused_at_ms is None else "paused",
        "paused_at_ms": noted.paused_at_ms,
        "unable_since_at_ms": noted.unable_since_at_ms,
        "in_settings": rules is not None,
        "price": rules.price if rules else None,
        "depth_max": rules.depth_max if rules else None,
        "depth": waiting,
        "depth_is_capped": waiting >= COUNTED_MAX,
        "by_class": [
            {"priority": priority, "tiers": _tiers(ctx, noted.name, priority), "waiting": found}
            for priority, found in sorted(census.waiting.items())
        ],
        "oldest_at_ms": census.oldest_at_ms,
        "servers": [view.row.name for view in of_lane],
        "servers_up": sum(view.state in taking for view in of_lane),
    }


def _tiers(ctx: Context, lane: str, priority: int) -> list[str]:
    return sorted(tier.name for tier in ctx.rules.tiers.values() if tier.priority_in(lane) == priority)
