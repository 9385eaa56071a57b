"""The job that a server gets next, made ready while another runs there: the server waits for no commit.

It stays queued like any other, in its place, and may be canceled, expire, or be taken by another server; a
better one that comes displaces it for nothing. What is written ahead is the prompt_id it will be sent under:
whoever finds the row after a crash looks for that on the server. The claim follows the prompt on its heels.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import Enum

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from comfygate.domain.errors import Conflict
from comfygate.domain.job import Fence, JobState
from comfygate.domain.order import Place
from comfygate.store import leases as leases_store
from comfygate.store import turns
from comfygate.store.attempts import Slot, claimed_attempt, leave, open_attempt
from comfygate.store.fit import LOOKS_MAX, Head, Passed, Taste, best, fits
from comfygate.store.jobs import get_job, job_row
from comfygate.store.prepared import Prepared
from comfygate.store.rows import ClaimedAttempt
from comfygate.store.tables import attempts, jobs, pair_quarantines, ready, servers

_SET = Prepared(
    update(ready)
    .where(ready.c.server == bindparam("of_server"))
    .values(
        job_id=bindparam("job"),
        number=bindparam("nth"),
        prompt_id=bindparam("prompt"),
        made_at_ms=bindparam("now_ms"),
    )
)
_ADD = Prepared(insert(ready).inline(), ["server", "job_id", "number", "prompt_id", "made_at_ms"])
# Nothing newer: on PostgreSQL a look that was given up may come late.
_DROP = Prepared(
    delete(ready).where(ready.c.server == bindparam("of_server"), ready.c.made_at_ms <= bindparam("now_ms"))
)
_KEPT_OFF_UNTIL = Prepared(
    select(func.min(pair_quarantines.c.until_at_ms).label("until_at_ms")).where(
        pair_quarantines.c.server == bindparam("of_server"),
        pair_quarantines.c.until_at_ms > bindparam("now_ms"),
    )
)
_USE = Prepared(
    delete(ready).where(ready.c.server == bindparam("of_server"), ready.c.prompt_id == bindparam("prompt"))
)
_TAKE = Prepared(
    update(jobs)
    .where(jobs.c.id == bindparam("job"), jobs.c.state == "queued", jobs.c.attempt == bindparam("before"))
    .values(state=JobState.CLAIMED.value, attempt=jobs.c.attempt + 1)
    .returning(*jobs.c)
)
_MINE = Prepared(
    select(attempts.c.job_id).where(
        attempts.c.job_id == bindparam("job"),
        attempts.c.prompt_id == bindparam("prompt"),
        attempts.c.owner == bindparam("owner"),
        attempts.c.ended_at_ms.is_(None),
    )
)
_DRAINED = Prepared(
    select(servers.c.name).where(servers.c.name == bindparam("server"), servers.c.drained_at_ms.is_not(None))
)


class Late(Enum):
    """What came of claiming a job whose prompt was sent."""

    CLAIMED = "claimed"
    GONE = "gone"
    """The job is no longer to be had: its prompt is to be taken off the server."""
    NOT_OURS = "not ours"
    """The server is another replica's now, who finds the prompt by its row: it is not to be touched."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The attempt that the next one will be, and when it can wait no more. At `sure_until_at_ms` a workflow
    that was kept off the server may come back and be before it; None: there is none."""

    attempt: ClaimedAttempt
    place: Place
    queue_deadline_at_ms: int
    sure_until_at_ms: int | None


def make_ready(
    conn: Connection,
    slot: Slot,
    sole: Collection[str],
    *,
    owner: str,
    prompt_id: str,
    now_ms: int,
    under_lease: str,
    taste: Taste,
) -> Ready | None:
    """Write down the first job in order, whose attempt will be sent under `prompt_id`.

    None, and what was written before is dropped, where the first job must be looked at again when the slot is
    free: its lane is not in `sole` (another server may be free before), has a bound on overtaking, its
    account may have so many jobs at once only, or jobs with warm models may go before it. Raises Conflict
    when `owner` does not hold the server's lease.
    """
    if not leases_store.holds(conn, under_lease, owner, now_ms):
        raise Conflict(f"server {slot.server} belongs to another replica")
    head = _strictly_first(conn, slot, sole, now_ms, taste)
    if head is None:
        _DROP.count(conn, {"of_server": slot.server, "now_ms": now_ms})
        return None
    job = get_job(conn, head.id)
    number = job.attempt + 1
    values = {
        "of_server": slot.server, "job": job.id, "nth": number, "prompt": prompt_id, "now_ms": now_ms
    }  # fmt: skip
    if _SET.count(conn, values) == 0:
        row = {"server": slot.server, "job_id": job.id, "number": number, "prompt_id": prompt_id}
        _ADD.count(conn, {**row, "made_at_ms": now_ms})
    attempt = claimed_attempt(
        conn, replace(job, attempt=number), prompt_id, slot.server, slot.number, adopted=False
    )
    return Ready(
        replace(attempt, ready=True),
        job.place,
        head.queue_deadline_at_ms,
        _KEPT_OFF_UNTIL.scalar(conn, {"of_server": slot.server, "now_ms": now_ms}),
    )


def _strictly_first(
    conn: Connection, slot: Slot, sole: Collection[str], now_ms: int, taste: Taste
) -> Head | None:
    passed = Passed(set(), set())
    for _ in range(LOOKS_MAX):
        head = best(conn, slot.server, slot.lanes, now_ms, taste, passed)
        if head is None or head.lane not in sole or head.running_max is not None:
            return None
        if taste.limits.get(head.lane) or not _needs_no_other(head, taste):
            return None
        if fits(conn, head, slot.server, now_ms, taste):
            return head
    return None


def _needs_no_other(head: Head, taste: Taste) -> bool:
    """Whether no job whose models are warm here may begin before it."""
    return not head.models or head.models == taste.warm or not taste.warm or taste.window == 0


def is_first(
    conn: Connection, slot: Slot, job_id: str, now_ms: int, taste: Taste, *, owner: str, under_lease: str
) -> bool:
    """Whether the job is still the first in order for the server, which is still `owner`'s and may be given
    one."""
    if not leases_store.is_of(conn, under_lease, owner, now_ms):
        return False
    head = best(conn, slot.server, slot.lanes, now_ms, taste, Passed(set(), set()))
    return head is not None and head.id == job_id


def claim_ready(
    conn: Connection,
    attempt: ClaimedAttempt,
    *,
    owner: str,
    lease_ms: int,
    now_ms: int,
    under_lease: str,
    left: Collection[Fence] = (),
) -> Late:
    """Claim the job whose prompt was sent. `left` as in `attempts.claim`. Doing it twice is as once.

    Nothing is written when it is not to be had: it was canceled or expired, another server took it, or this
    one was drained or given to another replica. Raises Conflict when the slot is another's.
    """
    if not leases_store.holds(conn, under_lease, owner, now_ms):
        return Late.NOT_OURS
    mine = {"job": attempt.fence.job_id, "prompt": attempt.prompt_id, "owner": owner}
    if _MINE.one(conn, mine) is not None:
        return Late.CLAIMED
    if _DRAINED.one(conn, {"server": attempt.server}) is not None:
        return Late.GONE
    taken = _TAKE.one(conn, {"job": attempt.fence.job_id, "before": attempt.fence.attempt - 1})
    if taken is None:
        return Late.GONE
    job = job_row(taken)
    turns.began(conn, job.lane, job.priority, job.share)
    for fence in left:
        leave(conn, fence, now_ms)
    slot = Slot(attempt.server, attempt.slot, ())
    open_attempt(conn, job, slot, attempt.prompt_id, owner, lease_ms, now_ms)
    _USE.count(conn, {"of_server": attempt.server, "prompt": attempt.prompt_id})
    return Late.CLAIMED


def found_ready(conn: Connection, server: str) -> ClaimedAttempt | None:
    """What an earlier process made ready here and may have sent: an attempt that nobody claimed yet."""
    row = conn.execute(select(ready).where(ready.c.server == server)).one_or_none()
    if row is None:
        return None
    job = replace(get_job(conn, row.job_id), attempt=row.number)
    return replace(claimed_attempt(conn, job, row.prompt_id, server, 0, adopted=True), ready=True)


def forget_ready(conn: Connection, server: str, prompt_id: str | None = None) -> None:
    """The prompt was not sent, and will not be (None: whatever it is)."""
    query = delete(ready).where(ready.c.server == server)
    if prompt_id is not None:
        query = query.where(ready.c.prompt_id == prompt_id)
    conn.execute(query)
