"""Running an ended job once more: what is asked before a copy of it is submitted."""

from __future__ import annotations

from sqlalchemy import Connection, select

from comfygate.domain.errors import Conflict
from comfygate.domain.job import TERMINAL, JobState
from comfygate.store.jobs import get_job, job_row
from comfygate.store.rows import JobRow
from comfygate.store.tables import jobs


def may_retry(conn: Connection, job_id: str) -> JobRow:
    """The job, locked, if a copy of it may be submitted in this transaction.

    Raises NotFound, and Conflict when it has not ended, succeeded, or has a copy that waits, runs or
    succeeded.
    """
    get_job(conn, job_id)
    # Of two retries at once the second sees the first's copy.
    job = job_row(conn.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).one())
    if job.state not in TERMINAL:
        raise Conflict(f"job {job.id} is {job.state}: only a job that has ended can be retried")
    if job.state is JobState.SUCCEEDED:
        raise Conflict(f"job {job.id} succeeded: there is nothing to retry; submit its graph anew instead")
    # By the account's index: a copy is the same account's, and younger.
    copies = select(jobs).where(
        jobs.c.account_id == job.account_id, jobs.c.ticket > job.ticket, jobs.c.retry_of == job.id
    )
    for row in conn.execute(copies.order_by(jobs.c.ticket)):
        copy = job_row(row)
        if copy.state not in TERMINAL or copy.state is JobState.SUCCEEDED:
            raise Conflict(
                f"job {job.id} was retried already, as job {copy.id}, which is {copy.state}; see that one",
                details={"retried_as": copy.id},
            )
    return job
