"""What a job costs: discounts never below nothing, free jobs as many as the tier has; and the pace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from comfygate.domain.formula import PRICE_MAX
from comfygate.domain.order import Tier
from comfygate.domain.pace import Pace
from comfygate.domain.pricing import DAY_MS, charge, day_of, next_day_in_seconds


def tier(**given: int) -> Tier:
    return Tier("regular", 100, 100, **given)  # type: ignore[arg-type]


@given(st.integers(0, PRICE_MAX), st.integers(0, 100), st.integers(0, 5), st.integers(0, 5))
def test_a_charge_is_never_negative_and_never_more_than_the_price(
    price: int, percent: int, free: int, used: int
) -> None:
    found = charge(price, tier(discount_percent=percent, free_jobs_daily=free), used)
    assert 0 <= found.charged <= price
    assert found.charged + found.discount == found.price == price
    assert found.free == (price > 0 and used < free)
    if not found.free and percent < 100 and price:
        assert found.charged >= 1


def test_a_discount_is_rounded_down() -> None:
    assert charge(3, tier(discount_percent=50), 0).charged == 2
    assert charge(1, tier(discount_percent=99), 0).charged == 1
    assert charge(1, tier(discount_percent=100), 0).charged == 0


def test_a_dear_job_is_none_of_the_free_ones_and_a_free_style_uses_none_up() -> None:
    some = tier(free_jobs_daily=1, free_price_max=5)
    assert charge(5, some, 0).free
    assert not charge(6, some, 0).free
    assert not charge(0, some, 0).free


def test_a_day_ends_at_midnight_utc() -> None:
    assert day_of(DAY_MS - 1) + 1 == day_of(DAY_MS)
    assert next_day_in_seconds(DAY_MS - 1) == 1
    assert next_day_in_seconds(DAY_MS) == 86_400


def test_a_minutes_worth_may_come_at_once_and_then_at_an_even_pace() -> None:
    pace = Pace()
    assert [pace.wait_seconds("ann", 3, 0.0) for _ in range(3)] == [0, 0, 0]
    assert pace.wait_seconds("ann", 3, 0.0) == 20
    assert pace.wait_seconds("ben", 3, 0.0) == 0
    assert pace.wait_seconds("ann", 3, 20.0) == 0
    assert pace.wait_seconds("ann", 3, 20.0) == 20


@given(st.integers(1, 50), st.lists(st.floats(0, 10, allow_nan=False), max_size=200))
def test_no_minute_holds_more_than_twice_the_pace(per_minute: int, gaps: list[float]) -> None:
    pace, now, let_in = Pace(), 0.0, []
    for gap in gaps:
        now += gap
        wait = pace.wait_seconds("ann", per_minute, now)
        if wait == 0:
            let_in.append(now)
        else:
            assert pace.wait_seconds("ann", per_minute, now + wait) == 0
            let_in.append(now + wait)
            now += wait
    for start in let_in:
        within = [at for at in let_in if start <= at < start + 60]
        assert len(within) <= 2 * per_minute
