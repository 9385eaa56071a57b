"""Errors are measured in the estimate's own width, and correct the next by what they have in common."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfygate.domain.eta import HORIZON_MS, Quantiles
from comfygate.domain.eta_error import SCORES_MIN, Judged, corrected, errors_of, score

MODEL = Quantiles(10_000, 20_000)


def test_a_score_is_0_at_p50_and_1_at_p90() -> None:
    assert score(MODEL, 10_000) == 0
    assert score(MODEL, 20_000) == pytest.approx(1.0)
    assert score(MODEL, 40_000) == pytest.approx(2.0)
    assert score(MODEL, 5_000) == pytest.approx(-1.0)
    assert math.isfinite(score(Quantiles(0, 0), 0))


def test_too_few_errors_correct_nothing() -> None:
    assert corrected(MODEL, [2.0] * (SCORES_MIN - 1)) == MODEL


def test_what_always_took_twice_as_long_is_told_nearly_twice_as_long() -> None:
    scores = [score(MODEL, 20_000)] * 200
    told = corrected(MODEL, scores)
    assert 18_000 < told.p50_ms <= 20_000
    assert told.p90_ms == pytest.approx(20_000)


def test_a_model_that_is_right_is_left_alone() -> None:
    rng = Random(1)  # noqa: S311 - no secret
    scores = [rng.gauss(0.0, 1 / 1.2816) for _ in range(200)]
    told = corrected(MODEL, scores)
    assert told.p50_ms == pytest.approx(MODEL.p50_ms, rel=0.1)
    assert told.p90_ms == pytest.approx(MODEL.p90_ms, rel=0.15)


def test_errors_that_repeat_each_other_correct_less() -> None:
    """A hundred jobs of one line were late together, a hundred of another were on time: that is two errors,
    not two hundred."""
    mixed = [2.0, 0.0] * 100
    in_turn = [2.0] * 100 + [0.0] * 100
    assert corrected(MODEL, in_turn).p90_ms < corrected(MODEL, mixed).p90_ms


@given(
    st.floats(0, HORIZON_MS),
    st.floats(0, HORIZON_MS),
    st.lists(st.floats(-12, 12), max_size=250),
)
def test_p50_is_never_above_p90_and_both_are_finite(low: float, high: float, scores: list[float]) -> None:
    told = corrected(Quantiles(min(low, high), max(low, high)), scores)
    assert 0 <= told.p50_ms <= told.p90_ms <= HORIZON_MS


def test_the_report_counts_what_ended_in_time() -> None:
    assert errors_of([]) is None
    found = errors_of([Judged(1000, 2000, took) for took in (500, 1000, 1500, 4000)])
    assert found is not None
    assert (found.jobs, found.within_p50, found.within_p90) == (4, 0.5, 0.75)
    assert (found.error_p50_ms, found.error_p90_ms) == (500, 3000)
    assert (found.relative_p50, found.relative_p90) == (0.5, 3.0)
