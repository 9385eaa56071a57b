"""How long silence may last: it grows with what the workflow usually takes."""

from __future__ import annotations

from comfygate.domain.watchdog import Patience, usual_after


def test_a_long_workflow_may_be_silent_for_longer_than_a_short_one() -> None:
    patience = Patience(floor_seconds=60, times_usual=3)
    assert patience.silence_seconds(None) == 60
    assert patience.silence_seconds(5_000) == 60, "the floor"
    assert patience.silence_seconds(1_200_000) == 3600, "a clip of twenty minutes"


def test_the_usual_run_follows_the_newest_ones_slowly() -> None:
    assert usual_after(None, 900) == 900
    assert usual_after(1_000, 2_000) == 1_200
    usual: int | None = None
    for run_ms in [1_000] * 3 + [4_000] * 30:
        usual = usual_after(usual, run_ms)
    assert usual is not None
    assert 3_950 <= usual <= 4_000
