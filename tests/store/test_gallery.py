"""The gallery's pages: all of what is there, once, in order, each after a look at so many and no more."""

from __future__ import annotations

import pytest

from benchmarks import crowd
from comfygate.domain.job import JobState
from comfygate.store import gallery
from comfygate.store.gallery import EXAMINED_MAX, Wanted
from tests.store.world import NOW, World

JOBS = 11_000
"""Half of them are the heavy account's: more than one page looks at."""


@pytest.fixture
def crowded(world: World) -> World:
    world.run(crowd.write_house, 100, NOW)
    world.run(crowd.write_jobs, 0, JOBS, 100, NOW)
    world.run(crowd.settled)
    return world


WANTED: tuple[tuple[tuple[JobState, ...], str | None, str], ...] = (
    ((JobState.SUCCEEDED,), "two", "state = 'succeeded' AND workflow_name = 'two'"),
    ((JobState.FAILED, JobState.EXPIRED), None, "state = 'failed'"),
    ((), None, "true"),
    ((JobState.CANCELED,), None, "false"),
)
"""States, workflow, and the same in SQL."""


def test_every_job_is_on_one_page_in_order(crowded: World) -> None:
    seen = f"completed_at_ms IS NULL OR expires_at_ms > {NOW}"
    windows = (JOBS // 2 + crowd.WAITING // 2) // EXAMINED_MAX + 1
    pages = 0
    for states, workflow, where in WANTED:
        expected = crowded.sql(
            f"SELECT ticket FROM jobs WHERE account_id = '{crowd.HEAVY}' AND ({seen}) AND {where}"  # noqa: S608
            " ORDER BY ticket DESC"
        )
        found: list[int] = []
        pages, before = 0, None
        while pages == 0 or before is not None:
            wanted = Wanted(states, workflow, before)
            rows, following = crowded.run(gallery.page, crowd.HEAVY, wanted, 100, NOW)
            assert before is None or following is None or following < before
            found += [row.ticket for row in rows]
            pages, before = pages + 1, following
        assert found == [row.ticket for row in expected], where
        assert pages >= windows
    assert pages == windows, "where there is nothing, each page looked at all that it may"


def test_what_is_open_is_found_among_all_that_ended(crowded: World) -> None:
    found = crowded.run(gallery.open_jobs, crowd.HEAVY, 20)
    assert [job.id for job in found] == [crowd.waiting_id(number) for number in range(0, 40, 2)]
    claimed = crowded.claimed("image").fence.job_id
    assert claimed == crowd.waiting_id(0)
    assert claimed in {job.id for job in crowded.run(gallery.open_jobs, crowd.HEAVY, 20)}
