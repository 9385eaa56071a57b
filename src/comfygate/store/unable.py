"""Lanes whose jobs no server can take: since when, and the refund of those that waited too long for one."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import Connection, select, update

from comfygate.domain.health import ServerState
from comfygate.store.jobs import end_waiting
from comfygate.store.lanes import make_row
from comfygate.store.tables import IS_QUEUED, jobs, lanes, server_health, servers

_UNABLE = {ServerState.DOWN.value, ServerState.QUARANTINED.value}


def note_unable_lanes(conn: Connection, names: Iterable[str], now_ms: int) -> frozenset[str]:
    """Write down since when each of these lanes has no server that could take a job; the lanes that have
    none.

    A server that is drained, down or in quarantine takes none; one that nobody has looked at yet may.
    """
    states = {
        row.server: row.state for row in conn.execute(select(server_health.c.server, server_health.c.state))
    }
    able: set[str] = set()
    for row in conn.execute(select(servers.c.name, servers.c.lanes).where(servers.c.drained_at_ms.is_(None))):
        if states.get(row.name) not in _UNABLE:
            able |= set(json.loads(row.lanes))
    known = {
        row.name: row.unable_since_at_ms
        for row in conn.execute(select(lanes.c.name, lanes.c.unable_since_at_ms))
    }
    unable = frozenset(names) - able
    for name in sorted(frozenset(names) & able):
        if known.get(name) is not None:
            conn.execute(update(lanes).where(lanes.c.name == name).values(unable_since_at_ms=None))
    for name in sorted(unable):
        if known.get(name) is None:
            make_row(conn, name)
            noted = update(lanes).where(lanes.c.name == name, lanes.c.unable_since_at_ms.is_(None))
            conn.execute(noted.values(unable_since_at_ms=now_ms))
    return unable


def expire_unable(conn: Connection, unable_ms_max: int, now_ms: int, limit: int) -> int:
    """Expire up to `limit` queued jobs of lanes that had no server for so long, each with its refund, if the
    job waited as long itself. Returns how many."""
    since = now_ms - unable_ms_max
    query = (
        select(jobs)
        .join(lanes, lanes.c.name == jobs.c.lane)
        .where(IS_QUEUED, lanes.c.unable_since_at_ms <= since, jobs.c.created_at_ms <= since)
        .order_by(jobs.c.ticket)
        .limit(limit)
        .with_for_update(skip_locked=True, of=jobs)
    )
    return end_waiting(conn, query, "no server could take it", now_ms)
