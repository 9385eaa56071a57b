"""Which measured times a job goes by, and what is drawn from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfygate.domain.run_times import ASSUMED, SAMPLES_KEPT, SAMPLES_MIN, Kind, RunTimes, kept_after, pool_of

KIND = Kind("image", "portrait", "small")
MANY, FEW = range(1000, 1000 + SAMPLES_MIN), range(2000, 2000 + SAMPLES_MIN - 1)


@pytest.mark.parametrize(
    ("measured", "runs"),
    [
        ({(KIND, "gpu"): MANY, (KIND, "other"): [9]}, list(MANY)),
        ({(KIND, "gpu"): FEW, (KIND, "other"): MANY}, [*MANY, *FEW]),
        ({(KIND, "gpu"): [7], (KIND._replace(shape="large"), "gpu"): MANY}, [7, *MANY]),
        ({(KIND._replace(workflow="poster"), "gpu"): MANY}, list(MANY)),
        # Too few of everything: the widest that has any.
        ({(KIND, "gpu"): [7], (KIND._replace(workflow="poster"), "gpu"): [9, 8]}, [7, 8, 9]),
        ({(KIND._replace(lane="video"), "gpu"): MANY}, list(ASSUMED.run_ms)),
        ({}, list(ASSUMED.run_ms)),
    ],
)
def test_the_narrowest_pool_that_has_enough_is_taken(
    measured: dict[tuple[Kind, str], list[int]], runs: list[int]
) -> None:
    assert list(RunTimes(measured).pool(KIND, "gpu").run_ms) == runs


def test_without_a_server_all_servers_count_and_without_a_workflow_the_lane() -> None:
    times = RunTimes({(KIND, "a"): [*MANY], (KIND, "b"): [*FEW]})
    assert times.pool(KIND).run_ms == (*MANY, *FEW)
    assert times.pool(Kind("image", "", ""), "a").run_ms == (*MANY, *FEW)


def test_the_newest_runs_are_kept() -> None:
    kept: list[int] = []
    for run_ms in range(SAMPLES_KEPT + 5):
        kept = kept_after(kept, run_ms)
    assert kept == list(range(5, SAMPLES_KEPT + 5))
    assert kept_after([], -3) == [0]


def test_few_runs_leave_more_doubt() -> None:
    assert (
        pool_of([1000]).doubt > pool_of([900, 1000, 1100, 1000, 950]).doubt > pool_of([1000] * 9).doubt == 0
    )


@given(
    st.lists(st.integers(0, 10**8), min_size=1, max_size=40),
    st.floats(0, 0.999),
    st.floats(0, 1e9),
    st.floats(0.1, 10.0),
)
def test_what_is_left_of_a_run_is_never_less_than_nothing_nor_more_than_tenfold(
    runs: list[int], share: float, busy_ms: float, factor: float
) -> None:
    pool = pool_of(runs)
    left = pool.after(share, busy_ms, factor)
    assert left >= -1e-6 * busy_ms
    assert left <= max(max(runs) * factor, 10 * busy_ms, factor)
    assert min(runs) * factor - 1 <= pool.at(share, factor) <= max(*runs, 1) * factor


def test_a_run_that_is_longer_than_all_before_goes_on_for_a_share_of_its_time() -> None:
    pool = pool_of([1000] * 8)
    assert pool.after(0.5, 400.0) == 600.0
    assert 0 < pool.after(0.5, 20_000.0) < 2_000.0
