"""The queue played through: known scenes have known ends, and no scene makes nonsense."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfygate.domain.eta import EXACT_MAX, Scene, Taken, Waiting, estimate, estimate_running
from comfygate.domain.run_times import Kind, RunTimes

TEN = Kind("image", "ten", "")
LONG = Kind("video", "long", "")
TIMES = RunTimes({(TEN, "a"): [10_000] * 9, (TEN, "b"): [10_000] * 9, (LONG, "b"): [60_000] * 9})
ANY, ONLY_A, ONLY_B = frozenset("ab"), frozenset("a"), frozenset("b")
JOB = Waiting(TEN, ANY)
ALONE = Scene(slots={"a": 1, "b": 1}, taken=(), ahead=(), job=JOB)


def rng(seed: int = 1) -> Random:
    return Random(seed)  # noqa: S311 - no secret


def ends(scene: Scene, times: RunTimes = TIMES) -> tuple[float, float]:
    """Until it starts and until it ends, in whole seconds, at p50."""
    found = estimate(scene, times, rng())
    assert found is not None
    assert found.starts is not None
    return round(found.starts.p50_ms / 1000), round(found.ends.p50_ms / 1000)


@pytest.mark.parametrize(
    ("changed", "starts", "ended"),
    [
        ({}, 0, 10),
        ({"ahead": [JOB]}, 0, 10),
        ({"ahead": [JOB] * 2}, 10, 20),
        ({"ahead": [JOB] * 7}, 30, 40),
        ({"taken": [Taken("a", TEN, 4000)]}, 0, 10),
        ({"taken": [Taken("a", TEN, 4000), Taken("b", TEN, 7000)]}, 3, 13),
        # A server's slots are one by one.
        ({"slots": {"a": 4}, "ahead": [JOB] * 4}, 10, 20),
        ({"slots": {"a": 4}, "ahead": [JOB] * 3}, 0, 10),
        # What no slot of this lane waits for does not count.
        ({"ahead": [Waiting(LONG, ONLY_B)] * 3, "job": Waiting(TEN, ONLY_A)}, 0, 10),
        # What is ahead and takes the shared server does.
        ({"slots": {"b": 1}, "ahead": [Waiting(LONG, ONLY_B)], "job": Waiting(TEN, ONLY_B)}, 60, 70),
        # It overtakes what is ahead on a slot that those ahead cannot use.
        ({"ahead": [Waiting(LONG, ONLY_B)] * 9}, 0, 10),
        # Jobs on a server that takes no new ones free no slot for it.
        ({"taken": [Taken("drained", LONG, 0)]}, 0, 10),
        # A server that has fewer slots now than it runs is free when the last but none has ended.
        ({"slots": {"a": 1}, "taken": [Taken("a", TEN, 8000), Taken("a", TEN, 2000)]}, 8, 18),
    ],
)
def test_a_scene_without_chance_ends_when_it_must(changed: dict[str, Any], starts: int, ended: int) -> None:
    assert ends(replace(ALONE, **changed)) == (starts, ended)


@pytest.mark.parametrize("number", [EXACT_MAX, EXACT_MAX + 1, 100, 150])
def test_a_long_line_is_poured_to_the_same_end(number: int) -> None:
    starts, _ = ends(replace(ALONE, ahead=[JOB] * number))
    assert starts == pytest.approx(10 * (number // 2), abs=5)
    split, _ = ends(replace(ALONE, ahead=[JOB] * 20, unread=number))
    assert split == pytest.approx(5 * (number + 20), abs=6)


def test_two_lanes_that_share_a_server_find_their_way_round_each_other() -> None:
    """60 jobs of ten seconds for either, 10 of a minute for one: the other takes most of the short ones."""
    ahead = [Waiting(LONG, ONLY_B)] * 10 + [JOB] * 60
    starts, _ = ends(replace(ALONE, ahead=ahead))
    assert starts == pytest.approx(600, abs=30)


def test_no_server_no_estimate() -> None:
    assert estimate(replace(ALONE, slots={}), TIMES, rng()) is None
    assert estimate(replace(ALONE, job=Waiting(TEN, frozenset("c"))), TIMES, rng()) is None
    assert estimate(replace(ALONE, slots={"a": 0, "b": 0}), TIMES, rng()) is None


def test_what_may_overtake_makes_the_wait_longer() -> None:
    one = Scene(slots={"a": 1}, taken=(), ahead=[JOB] * 10, job=Waiting(TEN, ONLY_A))
    rush = replace(one, overtaking=[Waiting(TEN, ONLY_A)] * 30, watched_ms=600_000)
    assert ends(one)[0] == 100
    # Half of the slot's time goes to those who come.
    assert 170 < ends(rush)[0] < 230


def test_overtaking_without_end_is_given_up_and_not_waited_for() -> None:
    flood = Scene(
        slots={"a": 1},
        taken=(),
        ahead=[JOB] * 200,
        job=Waiting(TEN, ONLY_A),
        overtaking=[Waiting(TEN, ONLY_A)] * 500,
        watched_ms=300_000,
    )
    assert ends(flood)[0] > 2_000


def test_the_longer_it_runs_the_less_is_left_until_it_runs_too_long() -> None:
    left = [
        round(estimate_running(Taken("a", TEN, busy), TIMES, rng()).ends.p50_ms) for busy in (0, 4000, 9000)
    ]
    assert left == [10_000, 6000, 1000]
    late = estimate_running(Taken("a", TEN, 30_000), TIMES, rng())
    assert late.starts is None
    assert 0 < late.ends.p50_ms < 30_000


def test_the_same_chance_gives_the_same_answer() -> None:
    scene = replace(ALONE, ahead=[JOB] * 30, overtaking=[JOB], watched_ms=1000)
    times = RunTimes({(TEN, "a"): [*range(1000, 9000, 500)]})
    assert estimate(scene, times, rng(3)) == estimate(scene, times, rng(3))
    assert estimate(scene, times, rng(3)) != estimate(scene, times, rng(4))


kinds = st.builds(Kind, st.sampled_from(["image", "video"]), st.sampled_from(["", "x", "y"]), st.just(""))
waiting = st.builds(Waiting, kinds, st.sampled_from([ANY, ONLY_A, ONLY_B, frozenset("c")]))
measured = st.dictionaries(
    st.tuples(kinds, st.sampled_from("ab")), st.lists(st.integers(0, 10**7), min_size=1, max_size=8)
)
scenes = st.builds(
    Scene,
    slots=st.dictionaries(st.sampled_from("ab"), st.integers(0, 3)),
    taken=st.lists(st.builds(Taken, st.sampled_from("abc"), kinds, st.floats(0, 1e8)), max_size=6),
    ahead=st.lists(waiting, max_size=2 * EXACT_MAX),
    job=waiting,
    unread=st.integers(0, 20_000),
    overtaking=st.lists(waiting, max_size=10),
    watched_ms=st.floats(0, 1e7),
)


@settings(max_examples=60)
@given(scenes, measured, st.integers(0, 9))
def test_any_scene_has_ordered_quantiles(
    scene: Scene, found: dict[tuple[Kind, str], list[int]], seed: int
) -> None:
    told = estimate(scene, RunTimes(found), rng(seed), draws=20)
    if told is None:
        assert not any(scene.slots.get(name) for name in scene.job.servers)
        return
    assert told.starts is not None
    assert 0 <= told.starts.p50_ms <= told.starts.p90_ms <= told.ends.p90_ms
    assert told.starts.p50_ms <= told.ends.p50_ms <= told.ends.p90_ms


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=20),
    st.integers(1, 4),
    st.integers(0, EXACT_MAX - 1),
    st.integers(0, 9),
)
def test_one_more_ahead_never_makes_it_sooner(runs: list[int], slots: int, number: int, seed: int) -> None:
    """With the same chance for all others, on servers that are alike: any may start later, none earlier."""
    times = RunTimes({(TEN, "a"): runs})
    scene = Scene(slots={"a": slots}, taken=(), ahead=[JOB] * number, job=JOB)
    fewer, more = (
        estimate(replace(scene, ahead=[JOB] * many), times, rng(seed), draws=20)
        for many in (number, number + 1)
    )
    assert fewer is not None
    assert more is not None
    assert fewer.starts is not None
    assert more.starts is not None
    assert fewer.starts.p50_ms <= more.starts.p50_ms
    assert fewer.starts.p90_ms <= more.starts.p90_ms
    assert fewer.ends.p50_ms <= more.ends.p50_ms
    assert fewer.ends.p90_ms <= more.ends.p90_ms
