"""Who goes first: (priority, share, ticket), lower first, in each lane by itself.

The ticket is given once, at submission, and kept across retries, so a job that comes back stands where it
stood. The share is 0 but in lanes with fair share: there it is the job's start tag of start-time fair
queueing (Goyal, Vin and Cheng, SIGCOMM 1996), so that accounts of one priority take turns by server time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from comfygate.domain.errors import SettingsError
from comfygate.domain.formula import PRICE_MAX

POSITION_TAKEN = 0
"""The position shown while a server has taken the job and has not begun it."""


@dataclass(frozen=True, slots=True)
class Tier:
    """What a tier means for order, limits and prices. `priority`: lower runs first.

    Of the jobs whose price is at most `free_price_max` credits, `free_jobs_daily` a day (UTC) are free; the
    others cost `discount_percent` less. `raw_graphs`: whether its accounts may send graphs of their own.
    """

    name: str
    priority: int
    jobs_queued_max: int
    priorities: Mapping[str, int] = field(default_factory=dict)
    """Other priorities in the lanes named here."""
    requests_per_minute: int = 0
    """0: any number; as `jobs_running_max`."""
    free_jobs_daily: int = 0
    free_price_max: int = PRICE_MAX
    discount_percent: int = 0
    weight: float = 1.0
    """Its part in lanes with fair share: twice the weight, twice the server time."""
    jobs_running_max: int = 0
    raw_graphs: bool = True

    def priority_in(self, lane: str) -> int:
        """Its place in that lane's order."""
        return self.priorities.get(lane, self.priority)


@dataclass(frozen=True, slots=True)
class Lane:
    """A class of work with its own queue. `price` in credits a job; limits in jobs and seconds."""

    name: str
    price: int
    depth_max: int
    queue_seconds_max: int
    fair_share: bool = False
    """Whether accounts of one priority take turns, by predicted server time; else their jobs go by ticket."""
    overtakes_max: int = 0
    """After so many starts in a row that overtook an older job, the oldest goes first. 0: never."""


def start_tag(clock: int, last_finish: int) -> int:
    """Where a job's turn begins: when its account's job before it ends, but never before now.

    `clock` is the lane's virtual time, the start tag of what began last; all in virtual milliseconds.
    """
    return max(clock, last_finish)


def virtual_cost(predicted_ms: int, weight: float) -> int:
    """How far a job moves its account's turn: its predicted run time over the tier's weight; at least 1."""
    return max(1, round(predicted_ms / weight))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a job stands among those that wait."""

    lane: str
    priority: int
    share: int
    ticket: int

    def before(self, other: Place) -> bool:
        """Whether this one goes first: in one lane by its order, between two by priority and ticket."""
        if self.lane == other.lane:
            return (self.priority, self.share, self.ticket) < (other.priority, other.share, other.ticket)
        return (self.priority, self.ticket) < (other.priority, other.ticket)


def tier_named(tiers: Mapping[str, Tier], name: str) -> Tier:
    """The tier called `name`.

    Raises SettingsError if the settings no longer have it, naming those they have.
    """
    tier = tiers.get(name)
    if tier is None:
        known = ", ".join(sorted(tiers))
        raise SettingsError(f"tier {name!r} is not in the settings; known tiers: {known}")
    return tier
