"""When a job will begin and end: its lane's near future, played through many times. Pure; chance is given.

One draw plays the queue through to the job: the slots that are taken become free when their job's remaining
time is over, a free slot takes the first job in order that it may run, and each job takes one of the times
that were measured for its like. What may overtake the job (arrivals of a better priority, at the rate they
came lately) is drawn as well. The quantiles of the draws are the estimate.

The cost is bounded, about DRAWS x EXACT_MAX steps of a microsecond, whatever the queue: of a longer one all
but the last EXACT_MAX jobs ahead are poured onto the slots as one amount of work.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from random import Random
from statistics import NormalDist

from comfygate.domain.run_times import Kind, Pool, RunTimes

DRAWS = 160
"""How often the future is played through."""
EXACT_MAX = 16
"""Jobs ahead of it, the nearest ones, that are played one by one."""
OVERTAKING_EXACT_MAX = 8
"""Arrivals that are expected before those jobs begin are poured as well, from this many on."""
POURINGS_MAX = 8
"""Rounds of pouring: what was poured takes time, in which more come."""
PORTIONS = 4
"""Lanes that share some of their servers are poured in turns, so that each finds its way round the other."""
STEPS_MAX = 128
"""Jobs played one by one in one draw, at most: where overtaking never ends, the job begins then."""
WATCHED_MS_MIN = 300_000.0
"""How long arrivals are taken to have been watched, at least: the first few say little about those to
come."""
HORIZON_MS = 30 * 86_400_000.0
"""The furthest that is told."""
_NORMAL = tuple(NormalDist().inv_cdf((n + 0.5) / 64) for n in range(64))


@dataclass(frozen=True, slots=True)
class Taken:
    """A slot that is busy: with what, for how long since its claim."""

    server: str
    kind: Kind
    busy_ms: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job in line, and the servers that are up and may run it."""

    kind: Kind
    servers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Scene:
    """All that decides when `job` begins.

    `slots`: of each server that takes jobs. `ahead`: the queued jobs that go before it, in their order, the
    first of them; `unread`: how many more there are behind those, taken to be like them. `overtaking`: jobs
    of a better priority that came within the last `watched_ms`.
    """

    slots: dict[str, int]
    taken: Sequence[Taken]
    ahead: Sequence[Waiting]
    job: Waiting
    unread: int = 0
    overtaking: Sequence[Waiting] = ()
    watched_ms: float = 1.0


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Half of the jobs like this one take `p50_ms` or less from now on, nine of ten `p90_ms` or less."""

    p50_ms: float
    p90_ms: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """Until the job ends, and until it starts (None: it has)."""

    ends: Quantiles
    starts: Quantiles | None


def estimate(scene: Scene, times: RunTimes, rng: Random, draws: int = DRAWS) -> Estimate | None:
    """When the queued job of the scene begins and ends; None while no server that is up may run it."""
    if not any(scene.slots.get(server, 0) > 0 for server in scene.job.servers):
        return None
    play = _Play(scene, times, rng, draws)
    starts, ends = zip(*(play.once(number) for number in range(draws)), strict=True)
    return Estimate(quantiles_of(ends), quantiles_of(starts))


def estimate_running(taken: Taken, times: RunTimes, rng: Random, draws: int = DRAWS) -> Estimate:
    """When a job that a server has will end."""
    pool = times.pool(taken.kind, taken.server)
    factors = _factors(pool, rng, draws)
    ends = [pool.after(rng.random(), taken.busy_ms, factor) for factor in factors]
    return Estimate(quantiles_of(ends), None)


def quantiles_of(draws: Sequence[float]) -> Quantiles:
    """The median and the ninth decile, in ms."""
    ordered = sorted(draws)
    return Quantiles(_at(ordered, 0.5), _at(ordered, 0.9))


def _at(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return min(ordered[low] + (place - low) * (ordered[high] - ordered[low]), HORIZON_MS)


def _factors(pool: Pool, rng: Random, draws: int) -> list[float]:
    """How far off the measured times may all be together, a draw: they are few."""
    return [math.exp(pool.doubt * normal) for normal in rng.choices(_NORMAL, k=draws)]


class _Play:
    """One scene, made ready to be played. What chance gives to each job is drawn beforehand and by itself, so
    that one more job ahead changes nobody else's."""

    def __init__(self, scene: Scene, times: RunTimes, rng: Random, draws: int) -> None:
        self._rng = rng
        self._seed = rng.getrandbits(64)
        self._times = times
        self._draws = draws
        self._factors: dict[Pool, list[float]] = {}
        self._slots = tuple(name for name, count in scene.slots.items() for _ in range(count))
        self._job = _Queued(scene.job, self._shares())
        self._taken = [
            (one.server, self._left(one, self._shares())) for one in scene.taken if one.server in self._slots
        ]
        exact = max(len(scene.ahead) - EXACT_MAX, 0)
        self._queue = [_Queued(one, self._shares()) for one in scene.ahead[exact:]]
        self._bulk = self._poured(scene.ahead[:exact], scene.ahead, scene.unread)
        self._portions = 1 if len(self._bulk) == 1 else PORTIONS
        able = [one for one in scene.overtaking if not one.servers.isdisjoint(self._slots)]
        self._overtaking = _Overtaking(able, max(scene.watched_ms, WATCHED_MS_MIN), times, self._slots)
        self._seeds = [rng.getrandbits(32) for _ in range(draws)] if able else []

    def _shares(self) -> list[float]:
        random = self._rng.random
        return [random() for _ in range(self._draws)]

    def _drawn(self, pool: Pool) -> list[float]:
        """How far off the pool is, in each draw."""
        found = self._factors.get(pool)
        if found is None:
            # A source of its own: which pools are met first must not change what the jobs draw.
            rng = Random(f"{self._seed}/{pool.run_ms}")  # noqa: S311 - no secret
            found = self._factors[pool] = _factors(pool, rng, self._draws)
        return found

    def _left(self, taken: Taken, shares: list[float]) -> list[float]:
        """How long a slot is busy still, in each draw."""
        pool = self._times.pool(taken.kind, taken.server)
        drawn = zip(shares, self._drawn(pool), strict=True)
        return [pool.after(share, taken.busy_ms, factor) for share, factor in drawn]

    def _runs(self, job: _Queued, server: str) -> list[float]:
        """How long the job runs there, in each draw."""
        found = job.runs.get(server)
        if found is None:
            pool = self._times.pool(job.of.kind, server)
            runs, count = pool.run_ms, len(pool.run_ms)
            drawn = zip(job.shares, self._drawn(pool), strict=True)
            found = job.runs[server] = [runs[int(share * count)] * factor for share, factor in drawn]
        return found

    def _poured(self, bulk: Sequence[Waiting], like: Sequence[Waiting], unread: int) -> list[_Bulk]:
        """The jobs that are not played one by one, by set of slots, the fewest first."""
        jobs: dict[Waiting, float] = {one: float(count) for one, count in Counter(bulk).items()}
        for one, count in Counter(like).items() if unread else ():
            jobs[one] = jobs.get(one, 0.0) + unread * count / len(like)
        by_slots: dict[tuple[int, ...], list[tuple[Pool, float]]] = {}
        for one, number in jobs.items():
            slots = tuple(n for n, server in enumerate(self._slots) if server in one.servers)
            if slots:
                by_slots.setdefault(slots, []).append((self._times.pool(one.kind), number))
        poured = []
        for slots in sorted(by_slots, key=lambda some: (len(some), some)):
            spread = math.sqrt(math.fsum(number * pool.variance for pool, number in by_slots[slots]))
            work_ms = [self._rng.gauss(0.0, spread) for _ in range(self._draws)]
            for pool, number in by_slots[slots]:
                mean_ms = number * pool.mean_ms
                work_ms = [
                    work + mean_ms * factor for work, factor in zip(work_ms, self._drawn(pool), strict=True)
                ]
            poured.append(_Bulk(slots, work_ms))
        return poured

    def once(self, draw: int) -> tuple[float, float]:
        """Play it through: when the job starts and ends, in ms from now."""
        free = self._free(draw)
        work = [(bulk.slots, bulk.work_ms[draw] / self._portions) for bulk in self._bulk]
        for _ in range(self._portions):
            for slots, work_ms in work:
                _pour(free, slots, work_ms)
        arrivals = _Arrivals(self._overtaking, self._seeds[draw], free) if self._seeds else None
        start, server = self._line(draw, [(at, slot) for slot, at in enumerate(free)], arrivals)
        return start, start + self._runs(self._job, server)[draw]

    def _free(self, draw: int) -> list[float]:
        """When each slot becomes free."""
        ends: dict[str, list[float]] = {}
        for server, left in self._taken:
            ends.setdefault(server, []).append(left[draw])
        # The last to end first: where more run than a server has slots now, the others free none.
        for busy in ends.values():
            busy.sort()
        return [ends[server].pop() if ends.get(server) else 0.0 for server in self._slots]

    def _line(
        self, draw: int, slots: list[tuple[float, int]], arrivals: _Arrivals | None
    ) -> tuple[float, str]:
        """Give the free slots the jobs in line, one by one, up to this one."""
        heapify(slots)
        waiting = list(self._queue)
        able = self._job.of.servers
        for _ in range(STEPS_MAX):
            start, slot = heappop(slots)
            server = self._slots[slot]
            run_ms = None if arrivals is None else arrivals.overtaker(start, server)
            if run_ms is None:
                for place, job in enumerate(waiting):
                    if server in job.of.servers:
                        del waiting[place]
                        run_ms = self._runs(job, server)[draw]
                        break
                else:
                    if server in able:
                        return start, server
                    # Nothing before the job is for this slot, and neither is the job.
                    continue
            heappush(slots, (start + run_ms, slot))
        return min((at, self._slots[slot]) for at, slot in slots if self._slots[slot] in able)


class _Queued:
    """A job in line and what chance gave it: a share a draw, and with it its run times by server."""

    __slots__ = ("of", "runs", "shares")

    def __init__(self, of: Waiting, shares: list[float]) -> None:
        self.of = of
        self.shares = shares
        self.runs: dict[str, list[float]] = {}


@dataclass(frozen=True, slots=True)
class _Bulk:
    """Work to be poured on these slots, in each draw."""

    slots: tuple[int, ...]
    work_ms: list[float]


class _Overtaking:
    """What came lately of a better priority, as the source of what may still come."""

    def __init__(
        self, jobs: Sequence[Waiting], watched_ms: float, times: RunTimes, slots: tuple[str, ...]
    ) -> None:
        self.jobs = jobs
        self.watched_ms = watched_ms
        self.times = times
        work: dict[tuple[int, ...], float] = {}
        for one in jobs:
            able = tuple(n for n, server in enumerate(slots) if server in one.servers)
            work[able] = work.get(able, 0.0) + times.pool(one.kind).mean_ms / len(jobs)
        self.work = sorted(work.items(), key=lambda part: (len(part[0]), part[0]))
        """What one more arrival adds on the average, in ms, by the slots it adds it to, the fewest first."""


class _Arrivals:
    """Those of a better priority that come meanwhile, in one draw."""

    def __init__(self, source: _Overtaking, seed: int, free: list[float]) -> None:
        self._rng = Random(seed)  # noqa: S311 - no secret
        self._source = source
        # How many came lately says only roughly at what rate they come.
        self._gap_ms = source.watched_ms / self._rng.gammavariate(len(source.jobs), 1.0)
        self._waiting: list[Waiting] = []
        self._next_ms = self._flood(free) + self._rng.expovariate(1.0 / self._gap_ms)

    def _flood(self, free: list[float]) -> float:
        """Pour what comes before any slot is free; from when on arrivals are played one by one."""
        until = 0.0
        for _ in range(POURINGS_MAX):
            first = min(free)
            expected = (first - until) / self._gap_ms
            if expected < OVERTAKING_EXACT_MAX or first > HORIZON_MS:
                break
            came = max(self._rng.gauss(expected, math.sqrt(expected)), 0.0)
            for slots, work_ms in self._source.work:
                _pour(free, slots, came * work_ms)
            until = first
        return until

    def overtaker(self, now_ms: float, server: str) -> float | None:
        """The run time of the one that this slot takes now, in ms, if one is there."""
        while self._next_ms <= now_ms and len(self._waiting) < STEPS_MAX:
            self._waiting.append(self._rng.choice(self._source.jobs))
            self._next_ms += self._rng.expovariate(1.0 / self._gap_ms)
        for place, one in enumerate(self._waiting):
            if server in one.servers:
                del self._waiting[place]
                return self._source.times.pool(one.kind, server).at(self._rng.random())
        return None


def _pour(free: list[float], slots: Sequence[int], work_ms: float) -> None:
    """Put an amount of work on these slots, the earliest free first, until all that got some are even."""
    if work_ms <= 0:
        return
    order = sorted(slots, key=free.__getitem__)
    below = 0.0
    for number, slot in enumerate(order, start=1):
        below += free[slot]
        level = (work_ms + below) / number
        if number == len(order) or level <= free[order[number]]:
            for filled in order[:number]:
                free[filled] = level
            return
