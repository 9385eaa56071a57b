"""Scores, reviews and suspicions, on both engines."""

from __future__ import annotations

import pytest

from comfygate.domain.blame import Blame
from comfygate.domain.errors import Conflict, NotFound
from comfygate.domain.job import Failed, Fence, JobError, JobState, Succeeded
from comfygate.domain.screening import Finding, Suspicion
from comfygate.store import accounts, assets, audit_log, gallery, reviews, screening, settle
from comfygate.store.rows import JobScore, NewOutput, Screening
from comfygate.store.settle import Settled
from tests.store.world import DAY_MS, NOW, World, blob, fresh

HELD = Failed(JobError("held_for_review", "Held."), "screened", Blame.POLICY)
WEEK_SECONDS = 7 * 86_400


def output(name: str = "a.png") -> NewOutput:
    return NewOutput(fresh("asset"), blob(fresh("bytes")), "9", name, "image", "image/png")


def found(*outputs: NewOutput, score: float = 0.9) -> tuple[JobScore, ...]:
    return tuple(
        JobScore(n, one.name, one.content_type, one.blob.hash, score, Finding.EXPLICIT)
        for n, one in enumerate(outputs)
    )


def settled(world: World, fence: Fence, outcome: Failed | Succeeded, given: Screening) -> Settled:
    return world.run(
        settle.settle,
        fence,
        outcome,
        attempts_max=3,
        results_seconds=WEEK_SECONDS,
        now_ms=NOW,
        screening=given,
    )


def held(world: World, *outputs: NewOutput, account_id: str | None = None) -> str:
    """A job whose outputs wait for the operator; its id."""
    fence = world.running(account_id or world.account()).fence
    given = Screening(found(*outputs), Suspicion.OUTPUT, outputs, suspicions_max=3)
    assert settled(world, fence, HELD, given) is Settled.DONE
    return fence.job_id


def swept(world: World) -> list[str]:
    return world.run(assets.drop_unreferenced_blobs, NOW + 30 * DAY_MS, 100)


def test_scores_are_kept_by_bytes_and_model(world: World) -> None:
    world.run(screening.keep_score, "h1", "m1", 0.25, NOW)
    world.run(screening.keep_score, "h1", "m1", 0.75, NOW)
    world.run(screening.keep_score, "h2", "m2", 0.5, NOW)
    assert world.run(screening.known_scores, ["h1", "h2", "h3"], "m1") == {"h1": 0.25}
    world.run(screening.forget_scores, NOW + 1)
    assert world.run(screening.known_scores, ["h1", "h2"], "m1") == {}


def test_what_outputs_scored_is_remembered_by_the_write_that_settles(world: World) -> None:
    one, two = output(), output()
    world.run(screening.keep_score, one.blob.hash, "m1", 0.5, NOW)
    given = Screening(found(one, two, score=0.125), model="m1")
    fence = world.running(world.account()).fence
    assert settled(world, fence, Succeeded(), given) is Settled.DONE
    known = world.run(screening.known_scores, [one.blob.hash, two.blob.hash], "m1")
    assert known == {one.blob.hash: 0.5, two.blob.hash: 0.125}
    assert [score.score for score in world.run(screening.scores_of_job, fence.job_id)] == [0.125, 0.125]
    stale = Screening(found(three := output(), score=0.25), model="m1")
    assert settled(world, fence, Succeeded(), stale) is Settled.STALE
    assert world.run(screening.known_scores, [three.blob.hash], "m1") == {}


def test_held_outputs_are_nobody_s_until_they_are_released(world: World) -> None:
    one, two = output("a.png"), output("b.png")
    job_id = held(world, one, two)
    assert world.state(job_id) is JobState.FAILED
    world.assert_books_balance()
    assert world.run(assets.outputs_of, [job_id]) == {}
    (waiting,) = world.run(reviews.list_reviews, "waiting", 10)
    assert (waiting.job_id, waiting.score, waiting.state) == (job_id, 0.9, "waiting")
    assert swept(world) == []
    account_id = waiting.account_id
    with pytest.raises(NotFound):
        world.run(assets.get_asset, one.asset_id, account_id, NOW)
    world.run(reviews.release, job_id, 2 * WEEK_SECONDS * 1000, NOW + 5)
    delivered = world.run(assets.outputs_of, [job_id])[job_id]
    assert [asset.name for asset in delivered] == ["a.png", "b.png"]
    assert {asset.account_id for asset in delivered} == {account_id}
    assert {asset.key for asset in delivered} == {one.blob.key, two.blob.key}
    assert world.state(job_id) is JobState.FAILED
    world.assert_books_balance()
    with pytest.raises(Conflict, match="released"):
        world.run(reviews.release, job_id, 1000, NOW + 6)
    with pytest.raises(Conflict, match="released"):
        world.run(reviews.reject, job_id, NOW + 6)


def test_what_its_account_deleted_is_released_by_nobody(world: World) -> None:
    one = output()
    job_id = held(world, one)
    (waiting,) = world.run(reviews.list_reviews, "waiting", 10)
    world.run(gallery.forget, job_id, waiting.account_id, NOW + 5)
    with pytest.raises(Conflict, match="rejected"):
        world.run(reviews.release, job_id, 1000, NOW + 6)
    assert swept(world) == [one.blob.key]
    assert world.run(screening.suspicion_counts) == {waiting.account_id: 1}


def test_rejected_bytes_go(world: World) -> None:
    one = output()
    job_id = held(world, one)
    world.run(reviews.reject, job_id, NOW + 5)
    assert swept(world) == [one.blob.key]
    (left,) = world.run(reviews.outputs_held, job_id)
    assert left.key is None
    with pytest.raises(Conflict, match="rejected"):
        world.run(reviews.release, job_id, 1000, NOW + 6)


def test_what_nobody_decides_expires_with_its_bytes(world: World) -> None:
    one = output()
    job_id = held(world, one)
    end = NOW + WEEK_SECONDS * 1000
    assert world.run(reviews.expire_reviews, end - 1) == 0
    with pytest.raises(Conflict, match="expired"):
        world.run(reviews.release, job_id, 1000, end)
    assert world.run(reviews.expire_reviews, end) == 1
    assert swept(world) == [one.blob.key]
    assert world.run(reviews.get_review, job_id).state == "expired"


def test_a_job_that_was_never_held_has_no_review(world: World) -> None:
    with pytest.raises(NotFound):
        world.run(reviews.release, "unknown", 1000, NOW)
    assert world.run(reviews.list_reviews, None, 10) == []


def test_a_late_answer_of_an_old_attempt_records_nothing(world: World) -> None:
    fence = world.running(world.account()).fence
    late = Fence(fence.job_id, fence.attempt + 1)
    one = output()
    given = Screening(found(one), Suspicion.OUTPUT, (one,), suspicions_max=1)
    assert settled(world, late, HELD, given) is Settled.STALE
    assert world.run(screening.scores_of_job, fence.job_id) == []
    assert world.run(screening.suspicion_counts) == {}
    assert settled(world, fence, HELD, given) is Settled.DONE
    assert settled(world, fence, HELD, given) is Settled.STALE
    assert list(world.run(screening.suspicion_counts).values()) == [1]


def test_what_a_job_made_is_recorded_when_it_is_delivered_too(world: World) -> None:
    fence = world.running(world.account()).fence
    one = JobScore(0, "a.png", "image/png", "h", 0.1, Finding.SAFE)
    assert settled(world, fence, Succeeded(), Screening((one,))) is Settled.DONE
    assert world.run(screening.scores_of_job, fence.job_id) == [one]
    assert world.run(screening.suspicion_counts) == {}


def test_only_a_job_that_fails_for_it_is_held(world: World) -> None:
    fence = world.running(world.account()).fence
    one = output()
    given = Screening(found(one), Suspicion.OUTPUT, (one,), suspicions_max=0)
    assert settled(world, fence, Succeeded(), given) is Settled.DONE
    assert world.run(reviews.list_reviews, None, 9) == []


def test_the_last_suspicion_suspends_and_forgiving_lifts_it(world: World) -> None:
    account_id = world.account()
    for number in range(2):
        assert not world.run(
            screening.suspect, account_id, Suspicion.INPUT, f"h{number}", 0.9, 3, NOW + number
        )
    assert not world.run(screening.suspect, account_id, Suspicion.INPUT, "h0", 0.9, 3, NOW)
    assert world.run(accounts.get_account, account_id).disabled_at_ms is None
    assert world.run(screening.suspect, account_id, Suspicion.INPUT, "h3", 0.9, 3, NOW + 9)
    assert world.run(accounts.get_account, account_id).disabled_at_ms == NOW + 9
    (row,) = world.run(audit_log.list_audit, 10)
    assert (row.actor, row.operation) == ("screening", "accounts.suspend")
    assert account_id in row.arguments
    assert world.run(screening.suspicion_counts) == {account_id: 3}
    assert [one.suspended for one in world.run(screening.suspicions_of, account_id, 9)] == [
        True,
        False,
        False,
    ]
    account = world.run(accounts.get_account, account_id)
    assert world.run(screening.forgive, account, NOW + 10) == 3
    assert world.run(accounts.get_account, account_id).disabled_at_ms is None
    assert world.run(screening.suspicion_counts) == {}
    assert world.run(screening.forgive, account, NOW + 11) == 0


def test_zero_never_suspends_and_another_s_suspension_stays(world: World) -> None:
    account_id = world.account()
    for number in range(5):
        assert not world.run(screening.suspect, account_id, Suspicion.INPUT, f"h{number}", 0.9, 0, NOW)
    world.sql("UPDATE accounts SET disabled_at_ms = 17")
    assert not world.run(screening.suspect, account_id, Suspicion.INPUT, "h9", 0.9, 1, NOW)
    world.run(screening.forgive, world.run(accounts.get_account, account_id), NOW)
    assert world.run(accounts.get_account, account_id).disabled_at_ms == 17


def test_forgiving_one_job_leaves_the_others(world: World) -> None:
    account_id = world.account(credits=100)
    first = held(world, output(), account_id=account_id)
    held(world, output(), account_id=account_id)
    account = world.run(accounts.get_account, account_id)
    assert world.run(screening.forgive, account, NOW, job_id=first) == 1
    assert world.run(screening.suspicion_counts) == {account_id: 1}
