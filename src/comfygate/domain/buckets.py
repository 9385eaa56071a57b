"""What is added up over time, and into which bucket: whole numbers only, so that adding in any order, on any
replica, comes to the same. Pure.

| measure | series | part | bin | times | total |
|---|---|---|---|---|---|
| wait | lane | tier | of the wait (`wait_bin`) | jobs claimed | ms waited |
| ended | lane | public status | 0 | jobs ended | ms from submission to end |
| blame | lane | blame, or an attempt's outcome without one | 0 | attempts ended | 0 |
| busy | server | | 0 | 0 | ms that attempts of ours ran, of all slots together |
| credits | `in`, `out`, `back` | kind of entry | 0 | entries | credits |
| eta | lane | `met` the p90 told, `late` | of took / p50 told (`ratio_bin`) | jobs | ms late |

A wait or run belongs to the bucket in which it ended; busy time is spread over those it lay in.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
WAIT_BINS_A_DOUBLING: Final = 4
"""A quantile of waits is off by at most 9 per cent."""
RATIO_BINS_A_DOUBLING: Final = 8
RATIO_BIN_MAX: Final = 80
"""A job that took a thousand times as long as told, or a thousandth, counts as that."""
SPREAD_MS_MAX: Final = 40 * DAY_MS
"""Busy time of one attempt is followed so far back; more would be a broken clock."""


class Grain(StrEnum):
    """How long a bucket is."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


LENGTH_MS: Final[Mapping[Grain, int]] = {
    Grain.MINUTE: MINUTE_MS,
    Grain.HOUR: HOUR_MS,
    Grain.DAY: DAY_MS,
}
KEPT_MS: Final[Mapping[Grain, int | None]] = {
    Grain.MINUTE: 2 * DAY_MS,
    Grain.HOUR: 60 * DAY_MS,
    Grain.DAY: None,
}
"""How long buckets are kept; None: for ever."""
_GRAINS: Final = tuple((grain.value, LENGTH_MS[grain], KEPT_MS[grain]) for grain in Grain)


class Measure(StrEnum):
    """What is added up."""

    WAIT = "wait"
    ENDED = "ended"
    BLAME = "blame"
    BUSY = "busy"
    CREDITS = "credits"
    ETA = "eta"


@dataclass(frozen=True, slots=True)
class Sample:
    """Something that happened at `at_ms`, to be added to one bucket of each grain."""

    measure: Measure
    at_ms: int
    series: str
    part: str = ""
    bin: int = 0
    times: int = 1
    total: int = 0


Key = tuple[str, str, int, str, str, int]
"""grain, measure, start of the bucket in ms, series, part, bin."""


def added_up(samples: Iterable[Sample], now_ms: int) -> dict[Key, tuple[int, int]]:
    """Times and totals by bucket. What is older than a grain is kept is left out of that grain."""
    found: dict[Key, tuple[int, int]] = {}
    for sample in samples:
        measure = sample.measure.value
        for grain, length_ms, kept_ms in _GRAINS:
            if kept_ms is not None and sample.at_ms < now_ms - kept_ms:
                continue
            start = sample.at_ms // length_ms * length_ms
            key = (grain, measure, start, sample.series, sample.part, sample.bin)
            times, total = found.get(key, (0, 0))
            found[key] = (times + sample.times, total + sample.total)
    return found


def busy(server: str, from_ms: int, until_ms: int) -> Iterator[Sample]:
    """An attempt's time on its server, cut at full minutes."""
    at = max(from_ms, until_ms - SPREAD_MS_MAX)
    while at < until_ms:
        end = min((at // MINUTE_MS + 1) * MINUTE_MS, until_ms)
        yield Sample(Measure.BUSY, at, server, times=0, total=end - at)
        at = end


def wait_bin(ms: int) -> int:
    """The bin of a wait; 0 is everything up to 1 ms."""
    return math.ceil(math.log2(max(ms, 1)) * WAIT_BINS_A_DOUBLING)


def wait_ms(number: int) -> float:
    """What a wait in this bin is taken for: the middle of the bin, on its logarithmic scale."""
    return float(2 ** ((number - 0.5) / WAIT_BINS_A_DOUBLING)) if number > 0 else 1.0


def ratio_bin(took_ms: int, told_ms: int) -> int:
    """The bin of how much longer a job took than it was told; 0: as told, below: shorter."""
    ratio = math.log2(max(took_ms, 1) / max(told_ms, 1))
    return max(-RATIO_BIN_MAX, min(RATIO_BIN_MAX, round(ratio * RATIO_BINS_A_DOUBLING)))


def ratio_of(number: int) -> float:
    """What a ratio in this bin is taken for."""
    return float(2 ** (number / RATIO_BINS_A_DOUBLING))


def quantile(bins: Mapping[int, int], share: float) -> int | None:
    """The bin in which the given share of all lies, from the lowest; None where there is nothing."""
    left = math.ceil(sum(bins.values()) * share)
    for number in sorted(bins):
        left -= bins[number]
        if bins[number] and left <= 0:
            return number
    return None
