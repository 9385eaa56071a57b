"""Whether a job may come in: there is room for it, and its inputs are there.

Room costs the same however deep the lane is. Tickets only grow, so a lane that had `depth` jobs queued when
`ticket` was the newest has at most one more for each ticket given since. It is counted, up to its limit,
only where that bound does not say that there is room.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    ScalarSelect,
    Select,
    bindparam,
    func,
    literal_column,
    select,
)

from comfygate.domain.errors import MissingAsset, QueueFull
from comfygate.domain.order import Tier
from comfygate.store.prepared import Prepared
from comfygate.store.rows import NewJob
from comfygate.store.tables import IS_QUEUED, assets, jobs

JOBS_COUNTED_A_MS = 1000
"""A full lane is counted again at most once in its limit / this ms, or callers who are refused would keep the
database busy: room may be seen 10 ms late at a limit of 10,000, and at one below 1,000 at once."""

_MOST = bindparam("most", type_=Integer)
_LANE = jobs.c.lane == bindparam("lane")


def queued_of_account(account_id: ColumnElement[str]) -> ScalarSelect[int]:
    """How many jobs an account has queued, counted up to `most`."""
    counted: Select[Any] = (
        select(literal_column("1").label("one"))
        .where(IS_QUEUED, jobs.c.account_id == account_id)
        # A table of keys around it is not one of its own.
        .correlate_except(jobs)
        .limit(_MOST)
    )
    return select(func.count()).select_from(counted.subquery()).scalar_subquery()


_IN_LANE: Select[Any] = select(literal_column("1").label("one")).where(IS_QUEUED, _LANE).limit(_MOST)
_ROOM = Prepared(
    select(
        queued_of_account(bindparam("account_id")).label("of_account"),
        select(func.max(jobs.c.ticket)).scalar_subquery().label("newest"),
    )
)
_OLDEST = Prepared(select(func.min(jobs.c.ticket).label("ticket")).where(IS_QUEUED, _LANE))
_COUNTED = Prepared(select(func.count().label("depth")).select_from(_IN_LANE.subquery()))


@dataclass(slots=True)
class Depths:
    """What one process knows of how deep lanes can be; an empty one knows nothing, which costs a count.

    Several threads may use it: a pair that one overwrites with an older one is still a bound.
    """

    known: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By lane: so many were queued at most when this ticket was the newest."""
    full_at_ms: dict[str, int] = field(default_factory=dict)
    """By lane: when it was last counted and found full."""


def check_room(conn: Connection, new: NewJob, tier: Tier, depths: Depths | None = None) -> None:
    """Raises QueueFull where account or lane have as many jobs queued as they may.

    The account's limit is exact while the account is locked. The lane's may be overshot by one for each
    submission that another connection has not committed yet, and by the jobs that were on servers when it was
    counted and came back.
    """
    found = _ROOM.one(conn, {"account_id": new.account_id, "most": tier.jobs_queued_max})
    if found.of_account >= tier.jobs_queued_max:
        raise QueueFull(
            f"this account has {tier.jobs_queued_max} jobs queued, the most that tier {tier.name} may have",
            details={"limit": "jobs_queued_max", "value": tier.jobs_queued_max},
        )
    depths = Depths() if depths is None else depths
    if _is_full(conn, new, depths, found.newest or 0):
        raise QueueFull(
            f"lane {new.lane} has {new.depth_max} jobs queued, the most it may hold",
            details={"limit": "depth_max", "value": new.depth_max},
        )


def surely_room(new: NewJob, more: int, depths: Depths, newest: int) -> bool:
    """Whether its lane surely has room for it and `more` jobs, as far as that is known without a look."""
    if new.lane not in depths.known:
        return False
    depth, ticket = depths.known[new.lane]
    return depth + max(newest - ticket, 0) + more < new.depth_max


def _is_full(conn: Connection, new: NewJob, depths: Depths, newest: int) -> bool:
    depth, ticket = depths.known.get(new.lane, (new.depth_max, newest))
    if depth + max(newest - ticket, 0) < new.depth_max:
        return False
    since_ms = new.now_ms - depths.full_at_ms.get(new.lane, -new.depth_max)
    if 0 <= since_ms < new.depth_max // JOBS_COUNTED_A_MS:
        return True
    oldest = _OLDEST.one(conn, {"lane": new.lane}).ticket
    depth = 0 if oldest is None else newest - oldest + 1
    if depth >= new.depth_max:
        depth = _COUNTED.one(conn, {"lane": new.lane, "most": new.depth_max}).depth
    depths.known[new.lane] = (depth, newest)
    if depth < new.depth_max:
        return False
    depths.full_at_ms[new.lane] = new.now_ms
    return True


def check_inputs(conn: Connection, new: NewJob) -> None:
    """Raises MissingAsset where an input is not the account's, or has expired; the others stay until this
    transaction ends."""
    wanted = {item.asset_id for item in new.inputs}
    if not wanted:
        return
    owned = set(
        conn.execute(
            select(assets.c.id)
            .where(
                assets.c.id.in_(wanted),
                assets.c.account_id == new.account_id,
                assets.c.expires_at_ms > new.now_ms,
            )
            # Until this commits nobody deletes them, not knowing of the job.
            .with_for_update(read=True)
        ).scalars()
    )
    for item in new.inputs:
        if item.asset_id not in owned:
            raise missing_asset(item.node_id, ".".join(str(part) for part in item.path), item.asset_id)


def missing_asset(node_id: str, field: str, name: str) -> MissingAsset:
    """The refusal of a reference to a file that is not the caller's."""
    return MissingAsset(
        f"node {node_id}, field {field!r}: no asset {name!r} among your uploads; upload it first",
        details={"node_errors": {node_id: [{"field": field, "reason": f"missing_asset: {name}"}]}},
    )
