"""Tiers at submission: priority by lane, discounts, free jobs of the day, what a tier may not do."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from comfygate.domain.errors import Forbidden, QueueFull
from comfygate.domain.job import Canceled, Failed, JobError, Outcome, Succeeded
from comfygate.domain.order import Tier
from comfygate.domain.pricing import DAY_MS
from comfygate.store import accounts, jobs
from comfygate.store.rows import JobRow
from tests.store.world import KEY_SECONDS, NOW, World, fresh, new_job

TIERS = {
    "regular": Tier("regular", 100, 1000),
    "cheap": Tier("cheap", 100, 1000, discount_percent=30),
    "gift": Tier("gift", 100, 1000, free_jobs_daily=2, free_price_max=3),
    "shop": Tier("shop", 100, 1000, raw_graphs=False),
    "director": Tier("director", 100, 1000, priorities={"video": 5}),
    "three": Tier("three", 100, 3),
}


def account(world: World, tier: str, credits: int = 100) -> str:
    name = fresh("account")
    world.run(accounts.add_account, name, name, tier, fresh("key"), credits, NOW)
    return name


def submit(world: World, account_id: str, **given: Any) -> JobRow:
    return world.run(jobs.submit, new_job(account_id, **given), TIERS, KEY_SECONDS)


def available(world: World, account_id: str) -> int:
    return world.run(accounts.get_account, account_id).balance.available


def finish(world: World, job: JobRow, outcome: Outcome) -> None:
    """Claim the job, which must be the first in line, and settle it."""
    attempt = world.claimed()
    assert attempt.fence.job_id == job.id
    world.settle(attempt.fence, outcome)


def test_a_discount_is_taken_off_and_what_was_held_is_what_is_captured(world: World) -> None:
    ann = account(world, "cheap")
    job = submit(world, ann, price=9)
    assert (job.price, job.base_price) == (7, 9)
    assert available(world, ann) == 93
    finish(world, job, Succeeded())
    balance = world.run(accounts.get_account, ann).balance
    assert (balance.available, balance.held) == (93, 0)


def test_priority_is_the_lanes_own_where_the_tier_names_it(world: World) -> None:
    ann = account(world, "director")
    assert submit(world, ann, lane="video").priority == 5
    assert submit(world, ann, lane="image").priority == 100


def test_so_many_jobs_a_day_are_free_and_the_next_is_paid(world: World) -> None:
    ann = account(world, "gift")
    assert [submit(world, ann, price=3).price for _ in range(3)] == [0, 0, 3]
    assert submit(world, ann, price=4).price == 4
    assert submit(world, ann, price=3, now_ms=NOW + DAY_MS).price == 0
    assert available(world, ann) == 93


@pytest.mark.parametrize(
    ("outcome", "price"),
    [(Failed(JobError("x", "X.")), 0), (Canceled(), 0), (Succeeded(), 3)],
)
def test_a_free_job_that_came_to_nothing_is_given_back(world: World, outcome: Outcome, price: int) -> None:
    ann = account(world, "gift")
    first, _second = submit(world, ann), submit(world, ann)
    finish(world, first, outcome)
    assert submit(world, ann).price == price


def test_a_tier_may_be_without_graphs_of_its_own(world: World) -> None:
    ann = account(world, "shop")
    with pytest.raises(Forbidden, match="order from the catalogue"):
        submit(world, ann, raw=True)
    assert submit(world, ann, raw=False).price == 3
    assert available(world, ann) == 97


def test_a_workflow_for_other_tiers_is_refused_by_name(world: World) -> None:
    ann = account(world, "regular")
    vip = (frozenset({"vip", "regular"}), frozenset({"vip"}))
    with pytest.raises(Forbidden, match="workflow restyle in style glow is for vip only"):
        submit(world, ann, tiers=vip, workflow_name="restyle", style="glow")
    assert submit(world, ann, tiers=vip[:1], workflow_name="restyle", style="glow").style == "glow"


def test_a_tier_change_counts_from_the_next_job_on(world: World) -> None:
    ann = account(world, "regular")
    first = submit(world, ann, price=10, lane="video")
    world.run(accounts.set_tier, ann, "director")
    assert submit(world, ann, price=10, lane="video").priority == 5
    assert world.run(jobs.get_job, first.id).priority == 100
    world.run(accounts.set_tier, ann, "cheap")
    assert submit(world, ann, price=10).price == 7


@pytest.mark.parametrize(("tier", "wanted"), [("gift", [0, 0, 3, 3, 3, 3]), ("three", [3, 3, 3])])
def test_limits_hold_at_their_edge_when_all_come_at_once(world: World, tier: str, wanted: list[int]) -> None:
    ann = account(world, tier)
    together = threading.Barrier(6)

    def one(_number: int) -> int | QueueFull:
        together.wait(20)
        try:
            return submit(world, ann, price=3).price
        except QueueFull as refusal:
            return refusal

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(one, range(6)))
    prices = [one for one in found if isinstance(one, int)]
    refused = [one for one in found if isinstance(one, QueueFull)]
    assert sorted(prices) == wanted
    assert [one.details for one in refused] == [{"limit": "jobs_queued_max", "value": 3}] * (6 - len(wanted))
    assert available(world, ann) == 100 - sum(prices)
