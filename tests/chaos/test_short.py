"""The short form of `make chaos`, on both engines."""

from __future__ import annotations

import pytest

from tests import forked
from tests.chaos.plan import Engine, make_plan
from tests.chaos.run import chaos

JOBS, KILLS, SEED = 60, 6, 20
SECONDS_MAX = 90.0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_kill_9_at_random_moments_breaks_no_promise(engine: Engine) -> None:
    forked.ready()
    plan = make_plan(seed=SEED, engine=engine, jobs=JOBS, kills=KILLS, replicas=3)
    verdict = chaos(plan, seconds_max=SECONDS_MAX, say=print, launch=forked.start)
    assert not verdict.broken, "\n".join(verdict.broken)
    figures = dict(verdict.figures)
    assert figures["jobs accepted"] == str(JOBS)
    kills = sum(int(value) for name, value in verdict.figures if name.startswith("kills of "))
    assert kills == KILLS


def test_a_plan_is_the_same_for_the_same_seed() -> None:
    wanted = {"engine": "postgresql", "jobs": 100, "kills": 20, "replicas": 3}
    first, again = make_plan(seed=1, **wanted), make_plan(seed=1, **wanted)  # type: ignore[arg-type]
    assert first == again
    assert make_plan(seed=2, **wanted) != first  # type: ignore[arg-type]
