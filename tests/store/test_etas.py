"""Run times are learnt by settling, what was told is judged by it, and no look disturbs a claim."""

from __future__ import annotations

import threading

import pytest

from comfygate.domain.blame import Blame
from comfygate.domain.eta import Quantiles
from comfygate.domain.eta_error import Judged
from comfygate.domain.job import Failed, JobError, Succeeded
from comfygate.domain.run_times import SAMPLES_KEPT, Kind
from comfygate.store import accounts, attempts, etas, jobs, run_times
from comfygate.store.etas import Told
from tests.store.world import NOW, World

KIND = Kind("image", "portrait", "small")


def told(
    job_id: str, *, priority: int = 100, at_ms: int = NOW, p50_ms: float = 1000, lane: str = "image"
) -> Told:
    return Told(
        job_id, lane, priority, at_ms, Quantiles(p50_ms, 2 * p50_ms), Quantiles(p50_ms + 0.4, 3 * p50_ms)
    )


def test_a_success_teaches_how_long_the_slot_was_busy_and_judges_what_was_told(world: World) -> None:
    account_id = world.account()
    job = world.submit(account_id, workflow="portrait", shape="small")
    assert world.job(job.id).shape == "small"
    world.run(etas.tell_etas, [told(job.id, at_ms=NOW + 1)])
    attempt = world.claimed(server="gpu")
    world.settle(attempt.fence, Succeeded(), now_ms=NOW + 1501)
    assert world.run(run_times.measured, "image", ()) == {(KIND, "gpu"): [1501]}
    assert world.run(etas.judged, "image") == {100: [Judged(1000, 3000, 1500)]}
    assert world.run(etas.models_judged, "image", 100) == [(Quantiles(1000, 2000), 1500)]


def test_what_does_not_succeed_teaches_nothing_and_is_not_judged(world: World) -> None:
    account_id = world.account()
    failed, canceled = (world.submit(account_id, workflow="w").id for _ in range(2))
    world.run(etas.tell_etas, [told(failed), told(canceled)])
    outcome = Failed(JobError("workflow_failed", "no"), "a cause", Blame.WORKFLOW)
    world.settle(world.claimed().fence, outcome)
    world.run(jobs.cancel, canceled, None, NOW)
    assert world.run(run_times.measured, "image", ("w",)) == {}
    assert world.run(etas.judged, "image") == {}
    assert world.run(etas.lanes_judged) == []


def test_only_the_newest_runs_are_kept(world: World) -> None:
    for run_ms in range(SAMPLES_KEPT + 3):
        world.run(run_times.learn_sample, KIND, "gpu", run_ms, NOW + run_ms)
    assert world.run(run_times.measured, "image", ()) == {(KIND, "gpu"): [*range(3, SAMPLES_KEPT + 3)]}
    assert world.sql("SELECT runs FROM run_samples") == [(SAMPLES_KEPT + 3,)]


@pytest.mark.postgresql
def test_two_replicas_that_learn_the_same_at_once_lose_nothing(pg_world: World) -> None:
    barrier = threading.Barrier(4)

    def learn(run_ms: int) -> None:
        barrier.wait(10)
        pg_world.run(run_times.learn_sample, KIND, "gpu", run_ms, NOW)

    threads = [threading.Thread(target=learn, args=(run_ms,)) for run_ms in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    ((_, kept),) = pg_world.run(run_times.measured, "image", ()).items()
    assert sorted(kept) == [1, 2, 3, 4]


def test_workflows_that_matter_are_read_however_many_others_there_are(world: World) -> None:
    world.run(run_times.learn_sample, KIND, "gpu", 7, NOW)
    for number in range(run_times.SAMPLE_ROWS_MAX):
        world.run(run_times.learn_sample, KIND._replace(workflow=f"{number}"), "gpu", 1, NOW + 1 + number)
    assert (KIND, "gpu") not in world.run(run_times.measured, "image", ())
    assert world.run(run_times.measured, "image", ("portrait",))[KIND, "gpu"] == [7]
    assert world.run(run_times.measured, "video", ("portrait",)) == {}


def test_a_job_is_told_once(world: World) -> None:
    job = world.submit(world.account())
    assert world.run(etas.tell_etas, [told(job.id)]) == 1
    assert world.run(etas.tell_etas, [told(job.id, p50_ms=9), told("other")]) == 1
    assert world.sql("SELECT p50_ms FROM etas WHERE job_id = :id", id=job.id) == [(1000,)]


@pytest.mark.postgresql
def test_telling_waits_for_no_claim_and_holds_none_up(pg_world: World) -> None:
    """A claim passes over a job whose row somebody locks, and the next in order would go first (I4)."""
    first = pg_world.submit(pg_world.account())
    pg_world.submit(pg_world.account())
    with pg_world.open() as telling:
        etas.tell_etas(telling, [told(first.id)])
        etas.judge(telling, first.id, NOW)
        assert pg_world.claimed().fence.job_id == first.id


def test_where_prompts_wait_on_the_server_a_run_is_measured_from_its_start(world: World) -> None:
    """Its claim says how long the one before it took."""
    account_id = world.account()
    for server, ahead in (("gpu", 0), ("queues", 1)):
        world.run(accounts.add_server, server, "http://127.0.0.1:8188", 1, ("image",), NOW, ahead)
        world.submit(account_id, workflow="portrait", shape="small")
        attempt = world.claimed(server=server)
        world.run(attempts.mark_started, attempt.fence, NOW + 1000)
        assert [one.started_at_ms for one in world.run(etas.in_flight)] == [NOW + 1000]
        world.settle(attempt.fence, Succeeded(), now_ms=NOW + 1500)
    found = world.run(run_times.measured, "image", ())
    assert found == {(KIND, "gpu"): [1500], (KIND, "queues"): [500]}


def test_the_untold_are_the_open_jobs_of_late_newest_first(world: World) -> None:
    account_id = world.account()
    old, new, running, ended = (world.submit(account_id).id for _ in range(4))
    world.run(jobs.cancel, ended, None, NOW)
    assert [job.id for job in world.run(etas.untold, 9)] == [running, new, old]
    assert [job.id for job in world.run(etas.untold, 1)] == [running]
    world.run(etas.tell_etas, [told(new)])
    assert world.claimed().fence.job_id == old
    assert [job.id for job in world.run(etas.untold, 9)] == [running, old]
    world.sql("UPDATE jobs SET ticket = ticket + 10000 WHERE id = :id", id=running)
    assert [job.id for job in world.run(etas.untold, 9)] == [running]


def test_lines_and_slots_as_they_are(world: World) -> None:
    account_id, gold = world.account(), world.account(tier="black_gold")
    one, two = (world.submit(account_id, workflow="w", shape="s") for _ in range(2))
    best = world.submit(gold)
    film = world.submit(account_id, lane="video")
    assert [job.id for job in world.run(etas.line_of, "image", 9)] == [best.id, one.id, two.id]
    assert [job.id for job in world.run(etas.line_of, "image", 2)] == [best.id, one.id]
    assert world.run(etas.count_before, "image", (100, 0, two.ticket), 9) == 2
    assert world.run(etas.count_before, "image", (100, 0, two.ticket), 1) == 1
    assert world.run(etas.count_before, "image", (0, 0, best.ticket), 9) == 0
    assert [job.id for job in world.run(etas.came_lately)] == [film.id, best.id, two.id, one.id]
    assert world.run(etas.in_flight) == []
    world.claim("image", server="gpu")
    world.claim("image", server="gpu", number=1)
    found = world.run(etas.in_flight)
    assert [(one.job_id, one.server, one.claimed_at_ms) for one in found] == [
        (best.id, "gpu", NOW),
        (one.id, "gpu", NOW),
    ]
    assert found[1].kind == Kind("image", "w", "s")


def test_errors_are_kept_by_lane_and_priority_in_the_order_of_their_ends(world: World) -> None:
    for number, (lane, priority) in enumerate([("image", 0), ("image", 100), ("video", 100), ("image", 100)]):
        world.run(etas.tell_etas, [told(f"{number}", lane=lane, priority=priority)])
        world.run(etas.judge, f"{number}", NOW + 10 - number)
    assert world.run(etas.lanes_judged) == ["image", "video"]
    assert {p: len(found) for p, found in world.run(etas.judged, "image").items()} == {0: 1, 100: 2}
    assert [took for _, took in world.run(etas.models_judged, "image", 100)] == [7, 9]
    world.run(etas.judge, "1", NOW + 99)
    assert [took for _, took in world.run(etas.models_judged, "image", 100)] == [7, 9], "judged once"


def test_what_is_old_is_forgotten(world: World) -> None:
    world.run(etas.tell_etas, [told("old", at_ms=NOW - 1), told("new")])
    assert world.run(etas.forget_etas, NOW) == 1
    world.run(run_times.learn_sample, KIND, "old", 1, NOW - 1)
    world.run(run_times.learn_sample, KIND, "new", 1, NOW)
    world.run(run_times.forget_runs, NOW)
    assert list(world.run(run_times.measured, "image", ())) == [(KIND, "new")]


def test_pairs_that_are_kept_apart_now(world: World) -> None:
    world.sql(
        "INSERT INTO pair_quarantines (workflow, server, until_at_ms)"
        " VALUES ('w', 'gpu', :now), ('x', 'gpu', 1)",
        now=NOW + 1,
    )
    assert world.run(etas.pairs_apart, NOW) == {("w", "gpu")}
