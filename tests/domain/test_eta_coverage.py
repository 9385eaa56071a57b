"""What is told comes true as often as it says: half of the jobs end within p50, nine of ten within p90.

Two lanes on four servers of different speed, one of them shared; six workflows in several shapes; VIPs; and
all that is known is learnt on the way. See `eta_street.py`.
"""

from __future__ import annotations

import pytest

from comfygate.domain.eta_error import Errors, Judged, errors_of
from tests.domain.eta_street import TRACE, Job, Street, drawn, read

LEARNING = 0.25
"""The share of the jobs, the first, that nothing is asked of."""


def errors(played: list[tuple[Job, Judged]], *, model: bool = False) -> Errors:
    """Of all after the first: what was told, or what the model alone would have told."""
    rest = played[int(len(played) * LEARNING) :]
    found = errors_of(
        Judged(round(job.model.p50_ms), round(job.model.p90_ms), told.took_ms)
        if model and job.model
        else told
        for job, told in rest
    )
    assert found is not None
    return found


def assert_true_to_its_word(found: Errors) -> None:
    assert 0.40 <= found.within_p50 <= 0.60, found
    assert 0.85 <= found.within_p90 <= 0.95, found


@pytest.mark.parametrize(
    ("load", "seed", "jobs"),
    [(0.5, 1, 1000), (0.5, 2, 1000), (0.8, 1, 1000), (0.8, 2, 1000), (0.95, 1, 1500)],
)
def test_it_comes_true_at_any_load(load: float, seed: int, jobs: int) -> None:
    assert_true_to_its_word(errors(Street(seed=seed).play(drawn(seed, jobs, load))))


def test_it_comes_true_on_the_recorded_trace_and_for_each_lane_and_tier() -> None:
    """Its load swings between a third and more than the servers can do."""
    played = Street().play(read(TRACE))
    assert len(played) == 1200
    assert_true_to_its_word(errors(played))
    for lane, least in (("image", 1000), ("video", 30)):
        of_lane = [one for one in played if one[0].arrival.lane == lane]
        assert len(of_lane) > least
        assert 0.3 <= errors(of_lane).within_p50 <= 0.7
    vips = [one for one in played if one[0].arrival.priority == 0]
    assert 0.35 <= errors(vips).within_p50 <= 0.65
    assert errors(vips).within_p90 >= 0.80


def test_it_learns_what_the_model_cannot_know() -> None:
    """Every job takes half as long again as its slot was busy: the errors say so, and are believed."""
    played = Street(seed=3, drag=1.5).play(drawn(3, 1000, 0.5))
    alone = errors(played, model=True)
    assert alone.within_p50 < 0.25
    assert alone.within_p90 < 0.75
    assert_true_to_its_word(errors(played))
