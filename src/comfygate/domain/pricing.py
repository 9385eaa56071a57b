"""What a job costs an account: its price, less the tier's discount, or nothing within its daily free jobs."""

from __future__ import annotations

from dataclasses import dataclass

from comfygate.domain.order import Tier

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Charge:
    """`charged` credits are held for a job of `price`; `free`: one of the day's free jobs is used for it."""

    price: int
    discount: int
    charged: int
    free: bool = False


def charge(price: int, tier: Tier, free_used: int) -> Charge:
    """What an account of `tier`, with `free_used` free jobs today, pays for a job of `price` credits (>= 0).

    A discount is rounded down: only a discount of 100 percent makes a job free.
    """
    if may_be_free(price, tier) and free_used < tier.free_jobs_daily:
        return Charge(price, price, 0, free=True)
    discount = price * tier.discount_percent // 100
    return Charge(price, discount, price - discount)


def may_be_free(price: int, tier: Tier) -> bool:
    """Whether the day's free jobs count for a job of this price. A job that costs nothing uses none up."""
    return tier.free_jobs_daily > 0 and 0 < price <= tier.free_price_max


def day_of(now_ms: int) -> int:
    """The day (UTC) by its number since 1970."""
    return now_ms // DAY_MS


def next_day_in_seconds(now_ms: int) -> int:
    """Seconds until the day's free jobs are there again, at least 1."""
    return max(1, -(-(DAY_MS - now_ms % DAY_MS) // 1000))
