"""Which jobs may be retried, on both engines."""

from __future__ import annotations

import pytest

from comfygate.domain.errors import Conflict, NotFound
from comfygate.domain.job import Failed, JobError
from comfygate.store import jobs, retries
from tests.store.world import NOW, TIERS, Waiter, World, new_job

WHY = JobError("workflow_failed", "It failed.")


def _failed(world: World, account: str) -> str:
    attempt = world.running(account)
    world.settle(attempt.fence, Failed(WHY), attempts_max=1)
    return attempt.fence.job_id


def _copy(world: World, account: str, job_id: str) -> str:
    return world.submit(account, retry_of=job_id).id


def test_a_failed_canceled_or_expired_job_may_be_retried(world: World) -> None:
    account = world.account()
    failed = _failed(world, account)
    canceled = world.submit(account)
    world.run(jobs.cancel, canceled.id, None, NOW)
    expired = world.submit(account, queue_deadline_at_ms=NOW - 1)
    world.run(jobs.expire_queued, NOW, 10)
    for job_id in (failed, canceled.id, expired.id):
        assert world.run(retries.may_retry, job_id).id == job_id


def test_what_has_not_ended_or_succeeded_is_refused(world: World) -> None:
    account = world.account()
    queued = world.submit(account)
    done = world.running(account)
    world.succeed(done.fence)
    with pytest.raises(Conflict, match="only a job that has ended"):
        world.run(retries.may_retry, queued.id)
    with pytest.raises(Conflict, match="succeeded"):
        world.run(retries.may_retry, done.fence.job_id)
    with pytest.raises(NotFound):
        world.run(retries.may_retry, "nobody's")


def test_a_copy_that_waits_or_succeeded_refuses_a_second_and_is_named(world: World) -> None:
    account = world.account()
    job_id = _failed(world, account)
    copy = _copy(world, account, job_id)
    with pytest.raises(Conflict, match=copy) as refused:
        world.run(retries.may_retry, job_id)
    assert refused.value.details == {"retried_as": copy}
    world.run(jobs.cancel, copy, None, NOW)
    assert world.run(retries.may_retry, job_id).id == job_id
    _copy(world, account, job_id)
    attempt = world.claimed("image")
    world.succeed(attempt.fence)
    with pytest.raises(Conflict, match="which is succeeded"):
        world.run(retries.may_retry, job_id)


def test_of_two_retries_at_once_one_is_refused(pg_world: World) -> None:
    account = pg_world.account()
    job_id = _failed(pg_world, account)
    with pg_world.engine.connect() as conn, conn.begin():
        retries.may_retry(conn, job_id)
        second = Waiter(pg_world, lambda c: retries.may_retry(c, job_id))
        second.until_blocked()
        jobs.submit(conn, new_job(account, retry_of=job_id), TIERS, 60)
    with pytest.raises(Conflict, match="retried already"):
        second.done()
