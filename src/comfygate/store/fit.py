"""Which job goes to which server: order, pauses, drains, and pairs that do not go together."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Integer, Select, Text, bindparam, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from comfygate.store import turns
from comfygate.store.prepared import Prepared
from comfygate.store.rows import JobRow
from comfygate.store.tables import (
    ELSEWHERE,
    IS_QUEUED,
    attempts,
    job_graphs,
    job_inputs,
    jobs,
    lanes,
    misfits,
    overtaken,
    pair_quarantines,
    servers,
)

LOOKS_MAX = 100
"""So many jobs are looked at in one claim before it comes back with none."""


@dataclass(slots=True)
class Taste:
    """What a server brings to a claim beside its name. All of it is optional.

    `judge` says of a graph (JSON text) what this server has not that it needs, '' if nothing; `good` are the
    workflows it was content with. `warm`: the models that are loaded here. Of the first `window` jobs of a
    priority one with these may begin before others, none of which more than `overtakes_max` jobs then ever
    overtook so. `leave_to_others`: models that a free server has warm beside this one; a job that needs them
    and came less than `leave_ms` ago is left to it, and `left` says so. `limits`: bounds on overtaking by
    lane.
    """

    judge: Callable[[str], str] | None = None
    good: set[str] = field(default_factory=set)
    warm: str = ""
    window: int = 0
    overtakes_max: int = 0
    leave_to_others: frozenset[str] = frozenset()
    leave_ms: int = 0
    left: bool = False
    limits: Mapping[str, int] = field(default_factory=dict)


class Head(NamedTuple):
    """A queued job, as far as a claim looks at it."""

    priority: int
    share: int
    ticket: int
    id: str
    lane: str
    account_id: str
    running_max: int | None
    workflow: str
    models: str
    created_at_ms: int
    queue_deadline_at_ms: int


_MINE = Prepared(
    select(jobs.c.ticket)
    .where(jobs.c.ticket == bindparam("ticket"), IS_QUEUED)
    .with_for_update(skip_locked=True)
)
_GRAPH = Prepared(select(job_graphs.c.graph).where(job_graphs.c.job_id == bindparam("job_id")))


def first_for(
    conn: Connection, server: str, of_lanes: Sequence[str], now_ms: int, taste: Taste
) -> Head | None:
    """The best of the lanes' first jobs that this server may run, locked. Nothing else is: a job that is
    looked at here and not taken must not be passed over by another server meanwhile.

    In a lane with a bound on overtaking that is reached, the oldest job comes before all else. An account
    that has as many jobs on servers as it may has no job here; neither has a workflow that this server cannot
    run.
    """
    passed = Passed(set(), set())
    for _ in range(LOOKS_MAX):
        head = best(conn, server, of_lanes, now_ms, taste, passed)
        if head is None:
            return None
        if not fits(conn, head, server, now_ms, taste):
            continue
        if head.running_max is not None and not turns.may_begin(conn, head.account_id, head.running_max):
            passed.accounts.add(head.account_id)
            continue
        chosen, before = _warm_or(conn, head, server, now_ms, taste)
        if chosen is None:
            return None
        if before and not _count_overtakes(conn, before, taste.overtakes_max):
            chosen = head
        if _MINE.one(conn, {"ticket": chosen.ticket}) is None:
            # Another server is taking it, or has.
            passed.tickets.add(chosen.ticket)
            continue
        return chosen
    return None


@dataclass(frozen=True, slots=True)
class Likely:
    """The job that a server will probably get next, and the assets it needs there."""

    ticket: int
    job_id: str
    account_id: str
    asset_ids: tuple[str, ...]


def likely_next(
    conn: Connection, server: str, of_lanes: Sequence[str], now_ms: int, elsewhere: Collection[int]
) -> Likely | None:
    """The first job in order for this server, but for the tickets `elsewhere`. A guess: it takes and locks
    nothing, and looks at no limits, fit or warm models."""
    head = best(conn, server, of_lanes, now_ms, Taste(), Passed(set(), set(elsewhere)))
    if head is None:
        return None
    wanted = select(job_inputs.c.asset_id).where(job_inputs.c.job_id == head.id).distinct()
    return Likely(head.ticket, head.id, head.account_id, tuple(conn.execute(wanted).scalars()))


@dataclass(frozen=True, slots=True)
class Passed:
    """What a claim has seen that it cannot take: accounts at their limit, jobs that others are taking."""

    accounts: set[str]
    tickets: set[int]


def best(
    conn: Connection, server: str, of_lanes: Sequence[str], now_ms: int, taste: Taste, passed: Passed
) -> Head | None:
    """The first job in order of these lanes that nothing known keeps off the server, but for `passed`."""
    heads: list[tuple[int, int, int, Head]] = []
    for lane in of_lanes:
        bound = taste.limits.get(lane, 0)
        oldest = bool(bound) and turns.overtakes_in(conn, lane) >= bound
        row = _first_in(conn, lane, server, now_ms, passed, oldest=oldest)
        if row is not None:
            heads.append((0 if oldest else 1, row.priority, row.ticket, row))
    return min(heads, key=lambda one: one[:3])[3] if heads else None


def fits(conn: Connection, job: Head, server: str, now_ms: int, taste: Taste) -> bool:
    """Whether the server can run it; found out once a workflow, and kept where it cannot."""
    if taste.judge is None or not job.workflow or job.workflow in taste.good:
        return True
    reason = taste.judge(_GRAPH.one(conn, {"job_id": job.id}).graph)
    if not reason:
        taste.good.add(job.workflow)
        return True
    conn.execute(
        insert(misfits).values(workflow=job.workflow, server=server, reason=reason, judged_at_ms=now_ms)
    )
    return False


def _warm_or(
    conn: Connection, head: Head, server: str, now_ms: int, taste: Taste
) -> tuple[Head | None, Sequence[int]]:
    """A job whose models are warm here, if one may begin before `head`, and the tickets it overtakes; None if
    `head` is left to a server where its own are warm; else `head`."""
    if not head.models or head.models == taste.warm:
        return head, ()
    if head.models in taste.leave_to_others and now_ms - head.created_at_ms < taste.leave_ms:
        taste.left = True
        return None, ()
    if not taste.warm or taste.limits.get(head.lane):
        return head, ()
    values = {"lane": head.lane, "server": server, "now_ms": now_ms, "priority": head.priority}
    before: list[int] = []
    for row in _near().rows(conn, {**values, "most": taste.window}):
        if row.models == taste.warm and row.workflow in taste.good and row.running_max is None:
            return Head._make(row), before
        before.append(row.ticket)
    return head, ()


def _count_overtakes(conn: Connection, tickets: Sequence[int], times_max: int) -> bool:
    """Count these jobs as overtaken once more; False, and nothing counted, if one was so often enough.

    In one order, so that two claims never wait for each other.
    """
    try:
        with conn.begin_nested() as counting:
            for ticket in sorted(tickets):
                mine = overtaken.c.ticket == ticket
                known = conn.execute(select(overtaken.c.times).where(mine)).scalar()
                if known is None and times_max > 0:
                    conn.execute(insert(overtaken).values(ticket=ticket, times=1))
                    continue
                once_more = update(overtaken).where(mine, overtaken.c.times < times_max)
                if conn.execute(once_more.values(times=overtaken.c.times + 1)).rowcount == 0:
                    counting.rollback()
                    return False
    except IntegrityError:
        # Another claim counts it just now.
        return False
    return True


def forget_overtaken(conn: Connection) -> int:
    """Drop the counts of jobs that wait no more. Returns how many."""
    waits = exists().where(jobs.c.ticket == overtaken.c.ticket, IS_QUEUED)
    return conn.execute(delete(overtaken).where(~waits)).rowcount


@cache
def _first_query(*, oldest: bool, past_accounts: bool, past_tickets: bool) -> Select[Any]:
    """Built once each: building a statement costs more than running it. Binds `lane`, `server`, `now_ms`, and
    `accounts` and `tickets` where those are passed over."""
    lane, server = bindparam("lane", type_=Text), bindparam("server", type_=Text)
    failed_there = exists().where(attempts.c.job_id == jobs.c.id, attempts.c.server == server, ELSEWHERE)
    hung_there = exists().where(
        pair_quarantines.c.workflow == jobs.c.workflow,
        pair_quarantines.c.server == server,
        pair_quarantines.c.until_at_ms > bindparam("now_ms"),
    )
    unfit = exists().where(misfits.c.workflow == jobs.c.workflow, misfits.c.server == server)
    paused = exists().where(lanes.c.name == lane, lanes.c.paused_at_ms.is_not(None))
    drained = exists().where(servers.c.name == server, servers.c.drained_at_ms.is_not(None))
    order = (jobs.c.ticket,) if oldest else (jobs.c.priority, jobs.c.share, jobs.c.ticket)
    query = (
        select(*(jobs.c[name] for name in Head._fields))
        .where(jobs.c.lane == lane, IS_QUEUED, ~failed_there, ~hung_there, ~unfit, ~paused, ~drained)
        .order_by(*order)
    )
    if past_accounts:
        query = query.where(jobs.c.account_id.not_in(bindparam("accounts", expanding=True)))
    if past_tickets:
        query = query.where(jobs.c.ticket.not_in(bindparam("tickets", expanding=True)))
    return query.limit(bindparam("most", type_=Integer))


@cache
def _first(*, oldest: bool) -> Prepared:
    return Prepared(_first_query(oldest=oldest, past_accounts=False, past_tickets=False))


@cache
def _near() -> Prepared:
    first = _first_query(oldest=False, past_accounts=False, past_tickets=False)
    return Prepared(first.where(jobs.c.priority == bindparam("priority")))


def _first_in(
    conn: Connection, lane: str, server: str, now_ms: int, passed: Passed, *, oldest: bool
) -> Head | None:
    values: dict[str, object] = {"lane": lane, "server": server, "now_ms": now_ms, "most": 1}
    if not (passed.accounts or passed.tickets):
        found = _first(oldest=oldest).one(conn, values)
        return None if found is None else Head._make(found)
    query = _first_query(
        oldest=oldest, past_accounts=bool(passed.accounts), past_tickets=bool(passed.tickets)
    )
    if passed.accounts:
        values["accounts"] = sorted(passed.accounts)
    if passed.tickets:
        values["tickets"] = sorted(passed.tickets)
    row = conn.execute(query, values).one_or_none()
    return None if row is None else Head._make(row)


def other_server_for(conn: Connection, job: JobRow, *, besides: str, now_ms: int) -> bool:
    """Whether another server has the job's lane, is not drained, can run it as far as is known, and neither
    this job nor its workflow is kept off it. One that is down counts: it may come back."""
    out = set(
        conn.execute(
            select(attempts.c.server).where(attempts.c.job_id == job.id, attempts.c.elsewhere)
        ).scalars()
    )
    out |= set(
        conn.execute(
            select(pair_quarantines.c.server).where(
                pair_quarantines.c.workflow == job.workflow, pair_quarantines.c.until_at_ms > now_ms
            )
        ).scalars()
    )
    out |= set(conn.execute(select(misfits.c.server).where(misfits.c.workflow == job.workflow)).scalars())
    return any(
        job.lane in json.loads(row.lanes)
        for row in conn.execute(
            select(servers.c.name, servers.c.lanes).where(
                servers.c.name != besides, servers.c.drained_at_ms.is_(None)
            )
        )
        if row.name not in out
    )


def misfits_of(conn: Connection, workflow: str) -> dict[str, str]:
    """Servers that were found to be unable to run a workflow, and what they have not."""
    query = select(misfits.c.server, misfits.c.reason).where(misfits.c.workflow == workflow)
    return {row.server: row.reason for row in conn.execute(query)}


def forget_misfits(conn: Connection, server: str) -> int:
    """What the server has may be another now: look anew at every workflow. Returns how many were kept off."""
    return conn.execute(delete(misfits).where(misfits.c.server == server)).rowcount


def forget_old_misfits(conn: Connection, before_ms: int) -> int:
    """Drop what was found out before then; it is found out again when it matters. Returns how many."""
    return conn.execute(delete(misfits).where(misfits.c.judged_at_ms < before_ms)).rowcount


def quarantine_pair(conn: Connection, workflow: str, server: str, reason: str, until_at_ms: int) -> None:
    """Keep a workflow off a server until then. A job of an older schema has no workflow: nothing is kept."""
    if not workflow:
        return
    conn.execute(
        delete(pair_quarantines).where(
            pair_quarantines.c.workflow == workflow, pair_quarantines.c.server == server
        )
    )
    conn.execute(
        insert(pair_quarantines).values(
            workflow=workflow, server=server, reason=reason, until_at_ms=until_at_ms
        )
    )


def forget_old_pairs(conn: Connection, now_ms: int) -> int:
    """Drop quarantines that are over. Returns how many."""
    return conn.execute(delete(pair_quarantines).where(pair_quarantines.c.until_at_ms <= now_ms)).rowcount
