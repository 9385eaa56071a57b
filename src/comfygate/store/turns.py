"""Turns within a lane: fair share between accounts, a bound on overtaking, limits on what runs at once."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, exists, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.domain.order import Tier, start_tag, virtual_cost
from comfygate.store.lanes import make_row
from comfygate.store.rows import NewJob
from comfygate.store.run_times import usual_run_ms
from comfygate.store.tables import IN_FLIGHT, IS_QUEUED, accounts, fair_clocks, jobs, lanes

PREDICTED_MS = 10_000
"""What a workflow that never ran is taken to run, in ms."""
LOOKED_AT_MAX = 200
"""Of an account's newest jobs so many are looked through for the one whose turn ends last."""


def turn_of(conn: Connection, new: NewJob, tier: Tier) -> tuple[int, int]:
    """The start tag of a job about to be submitted and the length of its turn; (0, 0) without fair share.

    Its account must be locked, as `submit` does: two of one account would have the same turn.
    """
    if not new.fair_share:
        return 0, 0
    priority = tier.priority_in(new.lane)
    newest = (
        select(jobs.c.ticket, jobs.c.lane, jobs.c.priority, jobs.c.state, jobs.c.share, jobs.c.share_cost)
        .where(jobs.c.account_id == new.account_id)
        .order_by(jobs.c.ticket.desc())
        .limit(LOOKED_AT_MAX)
        .subquery()
    )
    last_finish = conn.execute(
        select(newest.c.share + newest.c.share_cost)
        .where(
            newest.c.lane == new.lane,
            newest.c.priority == priority,
            # What was never run took no time of anybody's.
            newest.c.state.not_in(["canceled", "expired"]),
        )
        .order_by(newest.c.ticket.desc())
        .limit(1)
    ).scalar()
    share = start_tag(_clock(conn, new.lane, priority), last_finish or 0)
    predicted_ms = usual_run_ms(conn, new.workflow) if new.workflow else None
    return share, virtual_cost(PREDICTED_MS if predicted_ms is None else predicted_ms, tier.weight)


def _clock(conn: Connection, lane: str, priority: int) -> int:
    at: int | None = conn.execute(
        select(fair_clocks.c.at).where(fair_clocks.c.lane == lane, fair_clocks.c.priority == priority)
    ).scalar()
    return at or 0


def began(conn: Connection, lane: str, priority: int, share: int) -> None:
    """A job with this start tag begins: the lane's virtual time is there now, if it was not beyond."""
    if share <= 0:
        return
    mine = (fair_clocks.c.lane == lane) & (fair_clocks.c.priority == priority)
    if conn.execute(select(literal(1)).where(mine)).scalar() is None:
        try:
            with conn.begin_nested():
                conn.execute(insert(fair_clocks).values(lane=lane, priority=priority, at=share))
        except IntegrityError:
            # Another replica was the first; its clock is moved below.
            conn.execute(update(fair_clocks).where(mine, fair_clocks.c.at < share).values(at=share))
        return
    conn.execute(update(fair_clocks).where(mine, fair_clocks.c.at < share).values(at=share))


def forget_turns(conn: Connection, fair_lanes: Collection[str]) -> int:
    """Where fair share is off, queued jobs go by ticket, whatever it was when they came. Returns how many."""
    return conn.execute(
        update(jobs).where(IS_QUEUED, jobs.c.share > 0, jobs.c.lane.not_in(fair_lanes)).values(share=0)
    ).rowcount


def overtakes_in(conn: Connection, lane: str) -> int:
    """Starts in a row that overtook an older job of this lane."""
    return conn.execute(select(lanes.c.overtakes).where(lanes.c.name == lane)).scalar() or 0


def count_overtake(conn: Connection, lane: str, priority: int, ticket: int) -> None:
    """Note whether the job that begins overtakes an older one of the lane that has a worse priority."""
    make_row(conn, lane)
    overtakes = conn.execute(
        select(
            exists().where(IS_QUEUED, jobs.c.lane == lane, jobs.c.ticket < ticket, jobs.c.priority > priority)
        )
    ).scalar()
    counted = lanes.c.overtakes + 1 if overtakes else 0
    conn.execute(update(lanes).where(lanes.c.name == lane).values(overtakes=counted))


def running_of(conn: Connection, account_id: str) -> int:
    """Jobs of the account that are on servers."""
    query = select(func.count()).where(jobs.c.account_id == account_id, IN_FLIGHT)
    return conn.execute(query).scalar_one()


def may_begin(conn: Connection, account_id: str, running_max: int) -> bool:
    """Whether one more job of the account may begin. Locks the account, so that two servers cannot both
    think so."""
    conn.execute(select(accounts.c.id).where(accounts.c.id == account_id).with_for_update(key_share=True))
    return running_of(conn, account_id) < running_max
