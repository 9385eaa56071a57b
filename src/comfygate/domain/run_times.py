"""Measured run times, and what to go by for a job whose like was measured too seldom. Pure.

A run time here is what a slot is busy with a job: from its claim to its settling, in milliseconds.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

SAMPLES_KEPT = 32
"""Newest run times kept of one workflow, shape and server."""
SAMPLES_MIN = 5
"""Fewer are too few to go by alone: the next wider pool is asked."""
ASSUMED_MS = (7_000, 10_000, 15_000, 20_000, 30_000, 45_000, 60_000, 90_000, 150_000)
"""What a job takes in a lane where nothing was measured yet: half a minute, a third of it or thrice."""
FEW_SPREAD = 0.5
"""The least standard deviation assumed of the logarithm of run times where fewer than SAMPLES_MIN are
known."""


class Kind(NamedTuple):
    """What is known beforehand of how long a job runs."""

    lane: str
    workflow: str
    shape: str


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Run times to draw from, sorted, in ms. `spread`: the standard deviation of their logarithm."""

    run_ms: tuple[int, ...]
    spread: float
    doubt: float = field(init=False)
    """As `spread`, of their mean: how far off they may all be together."""
    mean_ms: float = field(init=False)
    variance: float = field(init=False)

    def __post_init__(self) -> None:
        mean = math.fsum(self.run_ms) / len(self.run_ms)
        object.__setattr__(self, "doubt", self.spread / math.sqrt(len(self.run_ms)))
        object.__setattr__(self, "mean_ms", mean)
        object.__setattr__(
            self, "variance", math.fsum((run - mean) ** 2 for run in self.run_ms) / len(self.run_ms)
        )

    def at(self, share: float, factor: float = 1.0) -> float:
        """The run time, in ms, that `share` (0 to below 1) of the runs stay below."""
        return self.run_ms[int(share * len(self.run_ms))] * factor

    def after(self, share: float, busy_ms: float, factor: float = 1.0) -> float:
        """As `at`, of those runs that take longer than `busy_ms`, less that.

        Where none was ever so long, the longer it ran, and the more such runs differ, the longer it may go
        on: at a spread of 1 one in four takes twice as long in all, and ten times as long is the most.
        """
        first = bisect_right(self.run_ms, busy_ms / factor)
        left = len(self.run_ms) - first
        if left:
            return self.run_ms[first + int(share * left)] * factor - busy_ms
        exponent = -0.5 * max(self.spread, 0.1)
        return busy_ms * (min(math.pow(1.0 - share, exponent), 10.0) - 1.0)


def pool_of(run_ms: Iterable[int]) -> Pool:
    """The pool of at least one run time."""
    runs = tuple(sorted(max(run, 1) for run in run_ms))
    logs = [math.log(run) for run in runs]
    mean = math.fsum(logs) / len(logs)
    spread = math.sqrt(math.fsum((one - mean) ** 2 for one in logs) / max(len(logs) - 1, 1))
    if len(runs) < SAMPLES_MIN:
        spread = max(spread, FEW_SPREAD)
    return Pool(runs, spread)


ASSUMED = pool_of(ASSUMED_MS)


def kept_after(samples: Sequence[int], run_ms: int) -> list[int]:
    """The kept run times once a run of `run_ms` succeeded, newest last."""
    return [*samples, max(run_ms, 0)][-SAMPLES_KEPT:]


class RunTimes:
    """What was measured, by kind and server."""

    def __init__(self, measured: Mapping[tuple[Kind, str], Sequence[int]]) -> None:
        self._by_rung: dict[tuple[str, ...], list[int]] = {}
        self._pools: dict[tuple[str, ...], Pool] = {}
        for (kind, server), samples in measured.items():
            for rung in _rungs(kind, server):
                self._by_rung.setdefault(rung, []).extend(samples)

    def pool(self, kind: Kind, server: str = "") -> Pool:
        """What to go by for a job of this kind on this server ("": on any).

        The narrowest pool of at least SAMPLES_MIN runs: of its workflow, shape and server; workflow and
        shape; workflow; lane. Else the widest that has any, else ASSUMED.
        """
        key = (*kind, server)
        found = self._pools.get(key)
        if found is None:
            found = self._pools[key] = self._found(kind, server)
        return found

    def _found(self, kind: Kind, server: str) -> Pool:
        widest: list[int] = []
        for rung in _rungs(kind, server):
            samples = self._by_rung.get(rung, [])
            if len(samples) >= SAMPLES_MIN:
                return pool_of(samples)
            widest = samples or widest
        return pool_of(widest) if widest else ASSUMED


def _rungs(kind: Kind, server: str) -> list[tuple[str, ...]]:
    """From the narrowest to the widest. Jobs of an older schema have no workflow: only their lane says
    anything."""
    wide: list[tuple[str, ...]] = [(kind.lane,)]
    if kind.workflow:
        wide = [(*kind,), (kind.lane, kind.workflow), *wide]
        if server:
            wide = [(*kind, server), *wide]
    return wide
