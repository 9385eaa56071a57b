"""Who goes first: (priority, ticket), lower first, in each lane by itself.

The ticket is given once, at submission, and kept across retries, so a job that comes back stands where it
stood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from comfygate.domain.errors import SettingsError

POSITION_TAKEN = 0
"""The position shown while a server has taken the job and has not begun it."""


@dataclass(frozen=True, slots=True)
class Tier:
    """What a tier means for order and limits. `priority`: lower runs first."""

    name: str
    priority: int
    jobs_queued_max: int


@dataclass(frozen=True, slots=True)
class Lane:
    """A class of work with its own queue. `price` in credits a job; limits in jobs and seconds."""

    name: str
    price: int
    depth_max: int
    queue_seconds_max: int


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A job's place in its lane; sorts as the lane does."""

    priority: int
    ticket: int


def tier_named(tiers: Mapping[str, Tier], name: str) -> Tier:
    """The tier called `name`.

    Raises SettingsError if the settings no longer have it, naming those they have.
    """
    tier = tiers.get(name)
    if tier is None:
        known = ", ".join(sorted(tiers))
        raise SettingsError(f"tier {name!r} is not in the settings; known tiers: {known}")
    return tier
