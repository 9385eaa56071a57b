"""A street of servers, played event by event in made-up time, where every job is told its ETA as it comes.

Nothing here is random once a trace is there: who comes when, and how long each would run on a server of
speed 1. What is told, learnt and corrected is done by the same functions that the gateway calls.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict, deque
from dataclasses import dataclass, field
from heapq import heappop, heappush
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from comfygate.domain.eta import Quantiles, Scene, Taken, Waiting, estimate
from comfygate.domain.eta_error import SCORES_KEPT, Judged, corrected, score
from comfygate.domain.run_times import Kind, RunTimes, kept_after

VIP, REGULAR = 0, 100
READ_MAX = 200
RECENT = 500
WATCHED_MS_MAX = 1_800_000


class Server(NamedTuple):
    """A server: its lanes, its slots, and how many times as long as on the first a job takes there."""

    name: str
    lanes: tuple[str, ...]
    slots: int
    slowness: float


SERVERS = (
    Server("fast", ("image",), 1, 0.8),
    Server("pair", ("image",), 2, 1.3),
    Server("both", ("image", "video"), 1, 1.0),
    Server("film", ("video",), 1, 0.9),
)
SHAPES = {"image": (1.0, 1.6, 4.0), "video": (1.0, 2.5)}
WORKFLOWS = {
    # Name, median seconds of the smallest shape, spread of the logarithm, how often.
    "image": (("portrait", 4.0, 0.25, 5), ("poster", 9.0, 0.45, 3), ("restyle", 2.0, 0.7, 2)),
    "video": (("clip", 45.0, 0.3, 3), ("zoom", 20.0, 0.5, 1)),
}
TRACE = Path(__file__).parent / "recordings" / "eta_trace.json"
"""One trace, kept: `python -m tests.domain.eta_street` writes it anew."""
VIP_SHARE = 0.15
VIDEO_SHARE = 0.06


class Arrival(NamedTuple):
    """Who comes, when, and how long it would run on a server of slowness 1."""

    at_ms: int
    lane: str
    priority: int
    workflow: str
    shape: str
    run_ms: int


def drawn(seed: int, jobs: int, load: float, swing: float = 0.0) -> list[Arrival]:
    """A trace: Poisson arrivals that keep the street busy to the share `load`, more and less so by `swing` as
    the hours go, and lognormal run times."""
    rng = Random(seed)  # noqa: S311 - no secret
    kinds = []
    for _ in range(jobs):
        lane = "video" if rng.random() < VIDEO_SHARE else "image"
        name, seconds, spread, _ = rng.choices(WORKFLOWS[lane], [one[3] for one in WORKFLOWS[lane]])[0]
        shape = rng.randrange(len(SHAPES[lane]))
        run_ms = 1000 * seconds * SHAPES[lane][shape] * math.exp(rng.gauss(0.0, spread))
        kinds.append((lane, name, f"{shape}", int(run_ms)))
    work_ms = sum(kind[3] for kind in kinds) / jobs
    gap_ms = work_ms / load / sum(server.slots / server.slowness for server in SERVERS)
    now, trace = 0.0, []
    for number, (lane, name, shape_name, run) in enumerate(kinds):
        now += rng.expovariate((1.0 + swing * math.sin(number / 60)) / gap_ms)
        priority = VIP if rng.random() < VIP_SHARE else REGULAR
        trace.append(Arrival(int(now), lane, priority, name, shape_name, run))
    return trace


def read(path: Path) -> list[Arrival]:
    """A recorded trace."""
    rows: list[list[Any]] = json.loads(path.read_text(encoding="utf-8"))
    return [Arrival(*row) for row in rows]


@dataclass(slots=True)
class Job:
    """One job on its way."""

    ticket: int
    arrival: Arrival
    told: Quantiles | None = None
    model: Quantiles | None = None
    claimed_ms: int = 0
    server: Server | None = None

    @property
    def kind(self) -> Kind:
        return Kind(self.arrival.lane, self.arrival.workflow, self.arrival.shape)

    @property
    def place(self) -> tuple[int, int]:
        return self.arrival.priority, self.ticket


@dataclass(slots=True)
class Street:
    """The queue, the servers, and what has been learnt so far."""

    seed: int = 0
    drag: float = 1.0
    """How many times as long as the slot was busy each job really takes to its end, unknown to the model."""
    now_ms: int = 0
    waiting: list[Job] = field(default_factory=list)
    running: list[Job] = field(default_factory=list)
    seen: deque[Job] = field(default_factory=lambda: deque(maxlen=RECENT))
    samples: dict[tuple[Kind, str], list[int]] = field(default_factory=dict)
    scores: dict[tuple[str, int], deque[float]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=SCORES_KEPT))
    )
    judged: list[tuple[Job, Judged]] = field(default_factory=list)

    def play(self, trace: list[Arrival]) -> list[tuple[Job, Judged]]:
        """Every job of the trace, with what it was told and what it took, in the order they ended."""
        ends: list[tuple[int, int, Job]] = []
        coming = deque(Job(ticket, arrival) for ticket, arrival in enumerate(trace))
        while coming or ends:
            if coming and (not ends or coming[0].arrival.at_ms <= ends[0][0]):
                job = coming.popleft()
                self.now_ms = job.arrival.at_ms
                self._tell(job)
                self.waiting.append(job)
                self.waiting.sort(key=lambda one: one.place)
            else:
                self.now_ms, _, job = heappop(ends)
                self._learn(job)
            for job in self._claims():
                assert job.server is not None
                run_ms = max(int(job.arrival.run_ms * job.server.slowness), 1)
                heappush(ends, (self.now_ms + run_ms, job.ticket, job))
        return self.judged

    def _claims(self) -> list[Job]:
        """What the free slots take now: each the first in order that its server may run."""
        taken = []
        for server in SERVERS:
            busy = sum(job.server is server for job in self.running)
            for _ in range(server.slots - busy):
                first = next((job for job in self.waiting if job.arrival.lane in server.lanes), None)
                if first is None:
                    break
                self.waiting.remove(first)
                first.server, first.claimed_ms = server, self.now_ms
                self.running.append(first)
                taken.append(first)
        return taken

    def _tell(self, job: Job) -> None:
        self.seen.append(job)
        ahead = [one for one in self.waiting if one.place < job.place]
        scene = Scene(
            slots={server.name: server.slots for server in SERVERS},
            taken=[
                Taken(one.server.name, one.kind, self.now_ms - one.claimed_ms)
                for one in self.running
                if one.server is not None
            ],
            ahead=[_waiting(one) for one in ahead[:READ_MAX]],
            job=_waiting(job),
            unread=max(len(ahead) - READ_MAX, 0),
            **self._overtaking(job),
        )
        rng = Random(f"{self.seed}/{job.ticket}")  # noqa: S311 - no secret
        found = estimate(scene, RunTimes(self.samples), rng)
        assert found is not None
        job.model = found.ends
        job.told = corrected(found.ends, list(self.scores[job.arrival.lane, job.arrival.priority]))

    def _overtaking(self, job: Job) -> dict[str, Any]:
        since = max(self.seen[0].arrival.at_ms, self.now_ms - WATCHED_MS_MAX)
        better = [
            one
            for one in self.seen
            if one.arrival.priority < job.arrival.priority and one.arrival.at_ms >= since
        ]
        return {"overtaking": [_waiting(one) for one in better], "watched_ms": self.now_ms - since}

    def _learn(self, job: Job) -> None:
        self.running.remove(job)
        assert job.server is not None
        assert job.told is not None
        assert job.model is not None
        where = job.kind, job.server.name
        self.samples[where] = kept_after(self.samples.get(where, []), self.now_ms - job.claimed_ms)
        took_ms = round((self.now_ms - job.arrival.at_ms) * self.drag)
        self.scores[job.arrival.lane, job.arrival.priority].append(score(job.model, took_ms))
        told = Judged(round(job.told.p50_ms), round(job.told.p90_ms), took_ms)
        self.judged.append((job, told))


def _waiting(job: Job) -> Waiting:
    able = frozenset(server.name for server in SERVERS if job.arrival.lane in server.lanes)
    return Waiting(job.kind, able)


if __name__ == "__main__":
    rows = [json.dumps(list(arrival), separators=(",", ":")) for arrival in drawn(4, 1200, 0.75, swing=0.5)]
    TRACE.write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")
