"""What a chaos run will do, made whole from its seed before anything starts. Timing is not part of it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

Engine = Literal["sqlite", "postgresql"]
Graph = dict[str, dict[str, Any]]

PRICES = {"image": 1, "video": 5, "free": 0, "dear": 7, "tight": 2, "nowhere": 3}
"""Credits a job of each lane costs."""
QUEUE_SECONDS_MAX = {"tight": 6, "nowhere": 3}
"""Lanes whose jobs expire soon: `tight` has servers, `nowhere` has none."""
TIERS = {"regular": 100, "vip": 100, "silver": 50, "black_gold": 0}
LANE_WEIGHTS = {"image": 50, "video": 20, "free": 15, "dear": 8, "tight": 5, "nowhere": 2}
SERVERS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("image", "video", "tight"), 1),
    (("image", "free", "dear"), 1),
    (("video", "free", "image"), 2),
)
"""Lanes and slots of each server."""
FAULTS = (
    "drop_sockets:0.004", "silence_sockets:0.1", "tell_twice:0.1", "answer_late=0.3:0.01", "answer_cut:0.004",
    "answer_cut=/prompt:0.01", "restart:0.002", "lie_in_node_errors:0.005", "fail_node=SaveImage:0.01",
    "out_of_memory:0.01", "poisoned_gpu:0.001", "full_disk:0.004",
)  # fmt: skip
ACCOUNTS = 6
POOR = 2
"""Accounts that run out of credits and top up as they go."""


@dataclass(frozen=True, slots=True)
class Submit:
    """One job. `key` is its Idempotency-Key and the mark in its graph; it is canceled `cancel_after` further
    submissions of its caller, if at all.
    """

    key: str
    lane: str
    color: int
    outputs: int
    cancel_after: int | None

    @property
    def graph(self) -> Graph:
        """A small picture, saved once or twice."""
        nodes: Graph = {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": self.color},
            }
        }
        for number in range(self.outputs):
            save = {"images": ["1", 0], "filename_prefix": f"{self.key}-{number}"}
            nodes[str(number + 2)] = {"class_type": "SaveImage", "inputs": save}
        return nodes


@dataclass(frozen=True, slots=True)
class Caller:
    """An account and what it will do, in order."""

    name: str
    tier: str
    credits: int
    top_up: int
    submits: tuple[Submit, ...]


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill -9 once `after_jobs` were accepted; `which` counts among its kind, modulo how many there are."""

    after_jobs: int
    kind: Literal["gateway", "simulator", "database"]
    which: int
    back_after_seconds: float
    jitter_seconds: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run."""

    seed: int
    engine: Engine
    jobs: int
    replicas: int
    callers: tuple[Caller, ...]
    kills: tuple[Kill, ...]
    foreign: tuple[tuple[int, int], ...]
    """Prompts of a stranger: (after so many accepted jobs, on which server)."""

    @property
    def open_max(self) -> int:
        """Jobs a caller leaves unfinished before it waits: a queue worth ordering, that lasts the run."""
        return max(3, min(30, self.jobs // (ACCOUNTS * 5)))


def make_plan(*, seed: int, engine: Engine, jobs: int, kills: int, replicas: int) -> Plan:
    """The same plan for the same arguments, always."""
    luck = random.Random(f"{seed}:{engine}:{jobs}:{kills}:{replicas}")  # noqa: S311 - it must repeat
    return Plan(
        seed,
        engine,
        jobs,
        replicas,
        tuple(_caller(luck, number, jobs) for number in range(ACCOUNTS)),
        tuple(_kill(luck, number, kills, jobs, engine) for number in range(kills)),
        tuple(
            sorted((luck.randrange(jobs), luck.randrange(len(SERVERS))) for _ in range(max(3, jobs // 25)))
        ),
    )


def _caller(luck: random.Random, number: int, jobs: int) -> Caller:
    share = jobs // ACCOUNTS + (number < jobs % ACCOUNTS)
    submits = tuple(_submit(luck, f"c{number}-{position}") for position in range(share))
    poor = number < POOR
    tier = list(TIERS)[number % len(TIERS)]
    return Caller(f"caller-{number}", tier, 10 if poor else 1_000_000, luck.randint(15, 60), submits)


def _submit(luck: random.Random, key: str) -> Submit:
    lane = luck.choices(list(LANE_WEIGHTS), list(LANE_WEIGHTS.values()))[0]
    cancel_after = luck.choice((0, 0, 1, 3)) if luck.random() < 0.1 else None
    return Submit(
        f"{key}-{luck.getrandbits(32):08x}",
        lane,
        luck.getrandbits(24),
        luck.choice((1, 1, 1, 2)),
        cancel_after,
    )


def _kill(luck: random.Random, number: int, kills: int, jobs: int, engine: Engine) -> Kill:
    after = int(jobs * (0.03 + 0.92 * (number + luck.random()) / kills))
    weights = {"gateway": 50, "simulator": 50, "database": 0 if engine == "sqlite" else 15}
    kind = luck.choices(list(weights), list(weights.values()))[0]
    return Kill(after, kind, luck.randrange(64), luck.uniform(0.0, 1.0), luck.uniform(0.0, 0.4))  # type: ignore[arg-type]
