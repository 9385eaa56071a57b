"""Several submissions in one transaction, each statement for all of them.

Only those are taken that surely come in and need nothing looked up for them alone. All others are left to
`jobs.submit`, which alone knows why something is refused: so there is one place that says no.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Text, func, select, update

from comfygate.domain.credits import MOVES, EntryKind, HoldState
from comfygate.domain.errors import LedgerViolation
from comfygate.domain.job import JobState
from comfygate.domain.order import Tier
from comfygate.domain.pricing import charge, may_be_free
from comfygate.store.admission import Depths, queued_of_account, surely_room
from comfygate.store.jobs import may_submit
from comfygate.store.prepared import Prepared
from comfygate.store.rows import JobRow, NewJob
from comfygate.store.tables import accounts, entries, idempotency_keys, job_graphs, jobs, outbox
from comfygate.store.together import SQLITE, Insert, Look, given, many

_LOCKED = Look(
    lambda ids: (
        select(accounts.c.id, accounts.c.tier, accounts.c.available, accounts.c.disabled_at_ms)
        .where(accounts.c.id.in_(select(ids.c.id)))
        # Who has one of them locked is not waited for: nothing else would come in meanwhile.
        .with_for_update(key_share=True, skip_locked=True)
    ),
    id=Text,
)
_ROOM = Look(
    lambda ids: select(
        ids.c.id,
        queued_of_account(ids.c.id).label("queued"),
        select(func.max(jobs.c.ticket)).scalar_subquery().label("newest"),
    ),
    id=Text,
)
_USED = Look(
    lambda keys: select(idempotency_keys.c.account_id, idempotency_keys.c.key).where(
        idempotency_keys.c.account_id == keys.c.account_id, idempotency_keys.c.key == keys.c.key
    ),
    account_id=Text,
    key=Text,
)
_DEBITED: Final = ("account_id", "amount")
_DEBIT: Final = {}
for _dialect in (SQLITE, "postgresql"):
    _due = many(_dialect, account_id=Text, amount=BigInteger)
    _DEBIT[_dialect] = Prepared(
        update(accounts)
        .where(accounts.c.id == _due.c.account_id, accounts.c.available >= _due.c.amount)
        .values(available=accounts.c.available - _due.c.amount, held=accounts.c.held + _due.c.amount)
    )
_NEW_JOBS = Insert(
    jobs,
    "id", "account_id", "lane", "priority", "state", "price", "base_price", "hold", "created_at_ms",
    "queue_deadline_at_ms", "expires_at_ms", "workflow", "retry_of", "workflow_name", "style", "deliver",
    "running_max", "models", "shape",
)  # fmt: skip
_NEW_GRAPHS = Insert(job_graphs, "job_id", "graph")
_NEW_KEYS = Insert(idempotency_keys, "account_id", "key", "request_hash", "made_id", "created_at_ms")
_HOLDS = Insert(entries, "kind", "account_id", "from_side", "to_side", "amount", "job_id", "created_at_ms")
_TOLD = Insert(outbox, "job_id", "account_id", "lane", "kind", "payload", "created_at_ms")


@dataclass(frozen=True, slots=True)
class _Taken:
    """A job that comes in, and what it costs its account."""

    new: NewJob
    tier: Tier
    price: int


@dataclass(slots=True)
class _Account:
    """An account that is locked, and what is left of it after those that were taken."""

    tier: Tier
    available: int
    queued: int


def submit_all(
    conn: Connection, wanted: Sequence[NewJob], tiers: Mapping[str, Tier], depths: Depths
) -> dict[str, JobRow]:
    """Accept those of the jobs that surely can be, as `jobs.submit` would, in their order; by id.

    Those that are not in the answer are as they were: submit them one by one. If it raises, nothing of any
    of them may be kept.
    """
    simple = [new for new in wanted if not new.inputs and not new.fair_share]
    owners = _owners(conn, {new.account_id for new in simple}, tiers)
    used = _used_keys(conn, [new for new in simple if new.idempotency_key is not None])
    room = _ROOM.rows(conn, [(account_id,) for account_id in owners], most=_most(owners)) if owners else []
    newest = 0
    for account_id, queued, ticket in room:
        owners[account_id].queued, newest = queued, ticket or 0
    taken: list[_Taken] = []
    lanes: Counter[str] = Counter()
    for new in simple:
        key = (new.account_id, new.idempotency_key)
        if new.idempotency_key is not None and key in used:
            continue
        if not surely_room(new, lanes[new.lane], depths, newest):
            continue
        if (one := _take(new, owners.get(new.account_id))) is not None:
            taken.append(one)
            lanes[new.lane] += 1
            used.add(key)
    return _write(conn, taken) if taken else {}


def _owners(conn: Connection, ids: Collection[str], tiers: Mapping[str, Tier]) -> dict[str, _Account]:
    """The accounts that may submit at all, locked until this transaction ends."""
    if not ids:
        return {}
    return {
        account_id: _Account(tiers[tier], available, 0)
        for account_id, tier, available, disabled_at_ms in _LOCKED.rows(conn, [(one,) for one in ids])
        if disabled_at_ms is None and tier in tiers
    }


def _used_keys(conn: Connection, keyed: Sequence[NewJob]) -> set[tuple[str, str | None]]:
    if not keyed:
        return set()
    found = _USED.rows(conn, [(new.account_id, new.idempotency_key) for new in keyed])
    return {(account_id, key) for account_id, key in found}


def _most(owners: Mapping[str, _Account]) -> int:
    return max(one.tier.jobs_queued_max for one in owners.values())


def _take(new: NewJob, owner: _Account | None) -> _Taken | None:
    """The job with its price, taken off what its account has left; None if that is not for sure."""
    if owner is None or owner.queued >= owner.tier.jobs_queued_max:
        return None
    if may_be_free(new.price, owner.tier) or not may_submit(new, owner.tier):
        return None
    price = charge(new.price, owner.tier, 0).charged
    if price > owner.available:
        return None
    owner.available -= price
    owner.queued += 1
    return _Taken(new, owner.tier, price)


def _write(conn: Connection, taken: Sequence[_Taken]) -> dict[str, JobRow]:
    _debit(conn, taken)
    tickets = _NEW_JOBS.numbered(conn, [_columns(one) for one in taken])
    news = [one.new for one in taken]
    _NEW_GRAPHS.run(conn, [(new.id, new.graph) for new in news])
    source, target = MOVES[EntryKind.HOLD]
    holds = [
        (EntryKind.HOLD.value, one.new.account_id, source.value, target.value, one.price, one.new.id,
         one.new.now_ms)
        for one in taken
        if one.price
    ]  # fmt: skip
    if holds:
        _HOLDS.run(conn, holds)
    keys = [
        (new.account_id, new.idempotency_key, new.request_hash, new.id, new.now_ms)
        for new in news
        if new.idempotency_key is not None
    ]
    if keys:
        _NEW_KEYS.run(conn, keys)
    _TOLD.run(
        conn,
        [
            (one.new.id, one.new.account_id, one.new.lane, "job.queued", json.dumps({"price": one.price}),
             one.new.now_ms)
            for one in taken
        ],
    )  # fmt: skip
    return {one.new.id: _row(one, ticket) for one, ticket in zip(taken, tickets, strict=True)}


def _debit(conn: Connection, taken: Sequence[_Taken]) -> None:
    due: Counter[str] = Counter()
    for one in taken:
        due[one.new.account_id] += one.price
    rows = [(account_id, amount) for account_id, amount in due.items() if amount]
    if not rows:
        return
    dialect = conn.dialect.name
    changed = _DEBIT[dialect].count(conn, given(dialect, _DEBITED, rows))
    if changed != len(rows):
        raise LedgerViolation(f"{len(rows)} accounts were to be debited and {changed} could be")


def _columns(one: _Taken) -> tuple[Any, ...]:
    new, tier = one.new, one.tier
    return (
        new.id, new.account_id, new.lane, tier.priority_in(new.lane), JobState.QUEUED.value, one.price,
        new.price, _hold(one).value, new.now_ms, new.queue_deadline_at_ms, new.expires_at_ms, new.workflow,
        new.retry_of, new.workflow_name, new.style, json.dumps(list(new.deliver)),
        tier.jobs_running_max or None, new.models, new.shape,
    )  # fmt: skip


def _hold(one: _Taken) -> HoldState:
    return HoldState.PLACED if one.price else HoldState.NONE


def _row(one: _Taken, ticket: int) -> JobRow:
    """The job as the database has it now."""
    new, tier = one.new, one.tier
    return JobRow(
        ticket=ticket,
        id=new.id,
        account_id=new.account_id,
        lane=new.lane,
        priority=tier.priority_in(new.lane),
        state=JobState.QUEUED,
        attempt=0,
        price=one.price,
        hold=_hold(one),
        error=None,
        cause="",
        created_at_ms=new.now_ms,
        started_at_ms=None,
        completed_at_ms=None,
        expires_at_ms=new.expires_at_ms,
        workflow=new.workflow,
        retry_of=new.retry_of,
        workflow_name=new.workflow_name,
        style=new.style,
        base_price=new.price,
        deliver=new.deliver,
        share=0,
        running_max=tier.jobs_running_max or None,
        models=new.models,
        shape=new.shape,
    )
