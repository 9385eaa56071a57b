"""Turns: fair share between accounts, the bound on overtaking, the limit on what runs at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfygate.domain.job import Succeeded
from comfygate.domain.order import Tier
from comfygate.store import attempts, jobs, run_times, turns
from comfygate.store.attempts import Slot
from comfygate.store.fit import Taste
from comfygate.store.rows import ClaimedAttempt, JobRow
from tests.store.world import NOW, World, fresh

TIERS = {
    "regular": Tier("regular", 100, 1_000_000),
    "double": Tier("double", 100, 1_000_000, weight=2.0),
    "black_gold": Tier("black_gold", 0, 1_000_000),
    "one": Tier("one", 100, 1_000_000, jobs_running_max=1),
}


def submit(world: World, account: str, **given: Any) -> JobRow:
    return world.submit(account, TIERS, **{"fair_share": True, "price": 0, **given})


def take(world: World, lane: str = "image", number: int = 0, bound: int = 0) -> ClaimedAttempt | None:
    return world.run(
        attempts.claim,
        Slot("gpu", number, (lane,)),
        owner="me",
        prompt_id=fresh("prompt"),
        lease_ms=60_000,
        now_ms=NOW,
        taste=Taste(limits={lane: bound} if bound else {}),
    )


def order(world: World, lane: str = "image", bound: int = 0) -> list[str]:
    """Ids of the jobs in the order they begin, one at a time."""
    begun: list[str] = []
    while (attempt := take(world, lane, bound=bound)) is not None:
        begun.append(attempt.fence.job_id)
        world.settle(attempt.fence, Succeeded())
    return begun


def test_a_flood_of_one_account_does_not_hold_up_the_others(world: World) -> None:
    flood, nine = world.account(), [world.account() for _ in range(9)]
    for _ in range(60):
        submit(world, flood)
    for _ in range(3):
        attempt = take(world)
        assert attempt is not None
        world.settle(attempt.fence, Succeeded())
    theirs = [submit(world, account).id for account in nine]
    begun = order(world)
    places = [begun.index(job_id) for job_id in theirs]
    assert sorted(places) == list(range(9))


def test_without_fair_share_first_come_is_first_served(world: World) -> None:
    flood, other = world.account(), world.account()
    wanted = [submit(world, flood, fair_share=False).id for _ in range(5)]
    wanted.append(submit(world, other, fair_share=False).id)
    assert order(world) == wanted


def test_twice_the_weight_is_twice_the_turns(world: World) -> None:
    ann, ben = world.account(tier="regular"), world.account(tier="double")
    hers = {submit(world, ann).id for _ in range(20)}
    for _ in range(20):
        submit(world, ben)
    first = order(world)[:15]
    assert 4 <= len(hers & set(first)) <= 6


def test_long_jobs_count_for_more_than_short_ones(world: World) -> None:
    world.run(run_times.learn_run, "long", 40_000, NOW)
    world.run(run_times.learn_run, "short", 10_000, NOW)
    ann, ben = world.account(), world.account()
    longs = {submit(world, ann, workflow="long").id for _ in range(10)}
    for _ in range(10):
        submit(world, ben, workflow="short")
    first = order(world)[:10]
    assert 1 <= len(longs & set(first)) <= 3


def test_a_better_priority_goes_first_whatever_the_turns(world: World) -> None:
    ann, gold = world.account(), world.account(tier="black_gold")
    hers = [submit(world, ann).id for _ in range(3)]
    his = [submit(world, gold).id for _ in range(5)]
    assert order(world) == his + hers


def test_what_was_canceled_took_nobodys_turn(world: World) -> None:
    ann, ben = world.account(), world.account()
    for _ in range(30):
        world.run(jobs.cancel, submit(world, ann).id, None, NOW)
    mine = submit(world, ann).id
    his = [submit(world, ben).id for _ in range(3)]
    assert order(world) == [mine, *his]


def test_who_was_away_saves_up_nothing(world: World) -> None:
    ann, ben = world.account(), world.account()
    for _ in range(10):
        submit(world, ben)
    order(world)
    hers = {submit(world, ann).id for _ in range(10)}
    for _ in range(10):
        submit(world, ben)
    assert 4 <= len(hers & set(order(world)[:10])) <= 6


def test_position_and_front_follow_the_turns(world: World) -> None:
    ann, ben = world.account(), world.account()
    hers = [submit(world, ann) for _ in range(4)]
    his = submit(world, ben)
    assert world.run(jobs.front_of_lane, "image", 10)[:2] == [hers[0].id, his.id]
    assert world.run(jobs.position, his, 100) == 2
    assert world.run(jobs.position, world.job(hers[1].id), 100) == 3


def test_switched_off_the_queue_goes_by_ticket_again(world: World) -> None:
    ann, ben = world.account(), world.account()
    wanted = [submit(world, ann).id for _ in range(4)]
    wanted.append(submit(world, ben).id)
    kept = [submit(world, account, lane="video").id for account in (ann, ann, ben)]
    assert world.run(turns.forget_turns, frozenset({"video"})) == 3
    wanted.append(submit(world, ben, fair_share=False).id)
    assert order(world) == wanted
    assert order(world, "video") == [kept[0], kept[2], kept[1]]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_no_account_waits_longer_than_one_turn_of_each_other(world: World, comes: list[int]) -> None:
    lane = fresh("lane")
    accounts = [world.account() for _ in range(4)]
    owner = {submit(world, accounts[who], lane=lane).id: who for who in comes}
    waiting = {who: comes.count(who) for who in set(comes)}
    since = dict.fromkeys(waiting, 0)
    for job_id in order(world, lane):
        who = owner[job_id]
        waiting[who] -= 1
        for other, left in waiting.items():
            since[other] = 0 if other == who or not left else since[other] + 1
            assert since[other] <= 2 * (len(waiting) - 1)


def test_the_oldest_goes_first_after_so_many_overtook_it(world: World) -> None:
    ann, gold = world.account(), world.account(tier="black_gold")
    old = [submit(world, ann, fair_share=False).id for _ in range(3)]
    new = [submit(world, gold, fair_share=False).id for _ in range(9)]
    begun = order(world, bound=3)
    assert begun == [*new[:3], old[0], *new[3:6], old[1], *new[6:9], old[2]]


def test_without_a_bound_the_better_priority_always_goes_first(world: World) -> None:
    ann, gold = world.account(), world.account(tier="black_gold")
    old = [submit(world, ann, fair_share=False).id for _ in range(3)]
    new = [submit(world, gold, fair_share=False).id for _ in range(9)]
    assert order(world) == new + old


def test_an_account_at_its_limit_lets_others_by(world: World) -> None:
    ann, ben = world.account(tier="one"), world.account()
    hers = [submit(world, ann, fair_share=False).id for _ in range(3)]
    his = submit(world, ben, fair_share=False).id
    first, second, third = take(world, number=0), take(world, number=1), take(world, number=2)
    assert first is not None
    assert second is not None
    assert (first.fence.job_id, second.fence.job_id, third) == (hers[0], his, None)
    world.settle(first.fence, Succeeded())
    fourth = take(world, number=0)
    assert fourth is not None
    assert fourth.fence.job_id == hers[1]


def test_the_limit_holds_when_all_servers_ask_at_once(world: World) -> None:
    ann = world.account(tier="one")
    for _ in range(6):
        submit(world, ann, fair_share=False)
    together = threading.Barrier(6)

    def one(number: int) -> ClaimedAttempt | None:
        together.wait(20)
        return take(world, number=number)

    with ThreadPoolExecutor(6) as pool:
        taken = [attempt for attempt in pool.map(one, range(6)) if attempt is not None]
    assert len(taken) == 1
    assert world.run(turns.running_of, ann) == 1


@pytest.mark.parametrize("bound", [0, 2])
def test_turns_are_found_by_their_index_behind_any_backlog(world: World, bound: int) -> None:
    ann = world.account()
    for _ in range(3):
        submit(world, ann)
    assert len(order(world, bound=bound)) == 3
    world.assert_books_balance()
