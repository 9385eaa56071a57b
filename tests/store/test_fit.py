"""Claims of servers that cannot run everything, or have something warm: who gets what, in which window."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfygate.domain.job import Lost, Succeeded
from comfygate.domain.order import Tier
from comfygate.store import attempts, fit
from comfygate.store.attempts import Slot
from comfygate.store.fit import Taste
from comfygate.store.rows import ClaimedAttempt, JobRow
from tests.store.world import NOW, World, fresh

TIERS = {"regular": Tier("regular", 100, 1_000_000), "black_gold": Tier("black_gold", 0, 1_000_000)}


def submit(world: World, account: str, **given: Any) -> JobRow:
    return world.submit(account, TIERS, **{"price": 0, **given})


def take(world: World, taste: Taste, server: str = "gpu", lane: str = "image") -> ClaimedAttempt | None:
    return world.run(
        attempts.claim,
        Slot(server, 0, (lane,)),
        owner="me",
        prompt_id=fresh("prompt"),
        lease_ms=60_000,
        now_ms=NOW,
        taste=taste,
    )


def begins(world: World, taste: Taste, server: str = "gpu", lane: str = "image") -> str | None:
    """The job that begins, and is done at once."""
    attempt = take(world, taste, server, lane)
    if attempt is None:
        return None
    world.settle(attempt.fence, Succeeded())
    return attempt.fence.job_id


def without(*words: str) -> Taste:
    """A server that can run no graph with one of these words in it."""
    return Taste(judge=lambda graph: next((f"has no {word}" for word in words if word in graph), ""))


def test_a_server_passes_over_what_it_cannot_run_and_another_takes_it(world: World) -> None:
    ann = world.account()
    video = submit(world, ann, graph='{"needs": "sdxl"}', workflow="w1")
    plain = submit(world, ann, graph='{"needs": "flux"}', workflow="w2")
    small, large = without("sdxl"), without()
    assert begins(world, small, "small") == plain.id
    assert begins(world, small, "small") is None
    assert world.run(fit.misfits_of, "w1") == {"small": "has no sdxl"}
    assert begins(world, large, "large") == video.id
    assert large.good == {"w1"}


def test_each_workflow_is_judged_once(world: World) -> None:
    ann, seen = world.account(), []

    def judge(graph: str) -> str:
        seen.append(graph)
        return "has no x" if "bad" in graph else ""

    for number in range(6):
        kind = "bad" if number % 2 else "good"
        submit(world, ann, graph=f'{{"{kind}": {number}}}', workflow=kind)
    taste = Taste(judge=judge)
    while begins(world, taste) is not None:
        continue
    assert len(seen) == 2


def test_a_server_that_learnt_something_is_judged_anew(world: World) -> None:
    ann = world.account()
    job = submit(world, ann, graph="sdxl", workflow="w")
    assert begins(world, without("sdxl")) is None
    assert world.run(fit.forget_misfits, "gpu") == 1
    assert begins(world, without()) == job.id
    assert world.run(fit.forget_old_misfits, NOW + 1) == 0


def test_a_lost_job_is_not_kept_for_a_server_that_cannot_run_it(world: World) -> None:
    ann = world.account()
    submit(world, ann, graph="sdxl", workflow="w")
    assert take(world, without("sdxl"), "small") is None
    attempt = take(world, without(), "large")
    assert attempt is not None
    world.settle(attempt.fence, Lost("gone"))
    assert take(world, without("sdxl"), "small") is None
    assert take(world, without(), "large") is not None


def warm(models: str, **given: Any) -> Taste:
    return Taste(warm=models, good={"w"}, **{"window": 4, "overtakes_max": 2, **given})


def test_what_is_warm_goes_first_within_the_window(world: World) -> None:
    ann = world.account()
    cold = [submit(world, ann, models="a", workflow="w").id for _ in range(2)]
    hot = [submit(world, ann, models="b", workflow="w").id for _ in range(3)]
    begun = [begins(world, warm("b")) for _ in range(5)]
    assert begun == [hot[0], hot[1], cold[0], cold[1], hot[2]]


@pytest.mark.parametrize("given", [{"window": 0}, {"window": 1}, {"overtakes_max": 0}])
def test_outside_the_window_the_order_is_strict(world: World, given: dict[str, int]) -> None:
    ann = world.account()
    wanted = [submit(world, ann, models=models, workflow="w").id for models in ("a", "a", "b")]
    assert [begins(world, warm("b", **given)) for _ in range(3)] == wanted


def test_no_priority_is_ever_crossed_and_jobs_without_models_keep_their_place(world: World) -> None:
    ann, gold = world.account(), world.account(tier="black_gold")
    plain = submit(world, ann, models="", workflow="w").id
    hot = submit(world, ann, models="b", workflow="w").id
    first = submit(world, gold, models="a", workflow="w").id
    assert [begins(world, warm("b")) for _ in range(3)] == [first, plain, hot]


def test_a_job_is_left_to_a_server_that_has_it_warm_but_not_for_long(world: World) -> None:
    ann = world.account()
    job = submit(world, ann, models="a", workflow="w")
    leaving = warm("b", leave_to_others=frozenset({"a"}), leave_ms=1)
    assert begins(world, leaving) is None
    assert leaving.left
    late = warm("b", leave_to_others=frozenset({"a"}), leave_ms=0)
    assert begins(world, late) == job.id
    assert not late.left


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(["a", "b", "c", "", "take a", "take b", "take c", "gold a"]), min_size=1, max_size=40
    ),
    st.integers(0, 5),
    st.integers(0, 3),
)
def test_the_window_holds_for_any_arrivals(
    world: World, steps: list[str], window: int, overtakes: int
) -> None:
    """No job is overtaken by more than `overtakes_max` later ones of its priority, and by no worse one."""
    lane = fresh("lane")
    ann, gold = world.account(), world.account(tier="black_gold")
    queued: list[JobRow] = []
    passed: dict[str, int] = {}

    def one(models: str) -> None:
        begun = begins(world, warm(models, window=window, overtakes_max=overtakes), lane=lane)
        job = next((job for job in queued if job.id == begun), None)
        assert (job is None) == (not queued)
        if job is None:
            return
        queued.remove(job)
        for other in queued:
            assert other.priority >= job.priority
            if other.priority == job.priority and other.ticket < job.ticket:
                passed[other.id] = passed.get(other.id, 0) + 1
                assert passed[other.id] <= overtakes
                assert window > 1

    for step in steps:
        if step.startswith("take "):
            one(step.removeprefix("take "))
        else:
            account = gold if step.startswith("gold") else ann
            models = step.removeprefix("gold ")
            queued.append(submit(world, account, lane=lane, models=models, workflow="w"))
    while queued:
        one("a")
