"""Whether a job may come in: there is room for it, and its inputs are there."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select, func, literal, select

from comfygate.domain.errors import MissingAsset, QueueFull
from comfygate.domain.order import Tier
from comfygate.store.rows import NewJob
from comfygate.store.tables import IS_QUEUED, assets, jobs


def check_room(conn: Connection, new: NewJob, tier: Tier) -> None:
    """Raises QueueFull where account or lane have as many jobs queued as they may."""
    queued = select(literal(1)).where(IS_QUEUED)
    of_account = queued.where(jobs.c.account_id == new.account_id).limit(tier.jobs_queued_max)
    if rows_of(conn, of_account) >= tier.jobs_queued_max:
        raise QueueFull(
            f"this account has {tier.jobs_queued_max} jobs queued, the most that tier {tier.name} may have",
            details={"limit": "jobs_queued_max", "value": tier.jobs_queued_max},
        )
    in_lane = queued.where(jobs.c.lane == new.lane).limit(new.depth_max)
    if rows_of(conn, in_lane) >= new.depth_max:
        raise QueueFull(
            f"lane {new.lane} has {new.depth_max} jobs queued, the most it may hold",
            details={"limit": "depth_max", "value": new.depth_max},
        )


def rows_of(conn: Connection, query: Select[Any]) -> int:
    """How many rows a query has."""
    return conn.execute(select(func.count()).select_from(query.subquery())).scalar_one()


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
