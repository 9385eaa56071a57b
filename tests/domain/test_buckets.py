"""What goes into which bucket, and what comes out of it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfygate.domain.buckets import (
    DAY_MS,
    HOUR_MS,
    KEPT_MS,
    LENGTH_MS,
    MINUTE_MS,
    RATIO_BIN_MAX,
    Grain,
    Measure,
    Sample,
    added_up,
    busy,
    quantile,
    ratio_bin,
    ratio_of,
    wait_bin,
    wait_ms,
)

NOW = 1_800_000_000_000


@given(st.integers(min_value=1, max_value=30 * DAY_MS))
def test_a_wait_comes_out_of_its_bin_within_nine_per_cent(ms: int) -> None:
    assert wait_ms(wait_bin(ms)) == pytest.approx(ms, rel=0.091)


@given(st.lists(st.integers(min_value=1, max_value=DAY_MS), min_size=1, max_size=50))
def test_a_quantile_of_bins_is_that_of_the_waits(waits: list[int]) -> None:
    bins: dict[int, int] = {}
    for ms in waits:
        bins[wait_bin(ms)] = bins.get(wait_bin(ms), 0) + 1
    for share in (0.5, 0.95):
        true = sorted(waits)[math.ceil(len(waits) * share) - 1]
        number = quantile(bins, share)
        assert number is not None
        assert wait_ms(number) == pytest.approx(true, rel=0.091)


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantile({}, 0.5) is None
    assert wait_bin(0) == wait_bin(1) == 0


@given(st.integers(min_value=0, max_value=10**12), st.integers(min_value=0, max_value=10**12))
def test_a_ratio_is_bounded_and_comes_out_near(took: int, told: int) -> None:
    number = ratio_bin(took, told)
    assert -RATIO_BIN_MAX <= number <= RATIO_BIN_MAX
    if abs(number) < RATIO_BIN_MAX:
        assert ratio_of(number) == pytest.approx(max(took, 1) / max(told, 1), rel=0.05)


@given(st.integers(min_value=0, max_value=3 * HOUR_MS), st.integers(min_value=0, max_value=3 * HOUR_MS))
def test_busy_time_is_spread_and_none_is_lost(begin: int, length: int) -> None:
    found = list(busy("gpu", NOW + begin, NOW + begin + length))
    assert sum(sample.total for sample in found) == length
    assert all(0 < sample.total <= MINUTE_MS for sample in found)
    for sample in found:
        assert sample.at_ms // MINUTE_MS == (sample.at_ms + sample.total - 1) // MINUTE_MS


def test_a_sample_is_in_one_bucket_of_each_grain() -> None:
    sums = added_up([Sample(Measure.ENDED, NOW - 1, "image", "failed", total=5)] * 2, NOW)
    assert {key[0]: found for key, found in sums.items()} == dict.fromkeys(Grain, (2, 10))
    assert all(key[2] % LENGTH_MS[Grain(key[0])] == 0 for key in sums)


def test_what_is_too_old_for_a_grain_is_left_out_of_it() -> None:
    at_ms = NOW - 3 * DAY_MS
    sums = added_up([Sample(Measure.ENDED, at_ms, "image", "failed")], NOW)
    assert {key[0] for key in sums} == {"hour", "day"}
    assert KEPT_MS[Grain.DAY] is None
