"""What goes wrong in one run: drawn from the seed, each kind of trouble on in some runs and off in others."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Final

DEADLY = (
    "_accept", "_grant", "cancel", "claim", "take_over", "mark_started", "settle", "still_ours", "own",
    "let_go", "mark_delivered", "expire_queued", "tell", "keep_health", "given_up",
    "blob write", "blob delete",
    "POST prompt", "GET history", "GET queue", "GET view", "POST history", "POST upload", "POST queue",
    "POST interrupt", "POST api", "POST free", "GET prompt",
)  # fmt: skip
"""Effects at which a process may die: store functions, calls to servers, bytes, telling subscribers."""
FREQUENT = frozenset(
    {"GET history", "still_ours", "own", "claim", "settle", "POST prompt", "mark_delivered", "tell"}
)
PHASES = ("before", "during", "after")
"""Before anything happened; when it happened and nobody heard; when it was heard and nothing followed."""


@dataclass(frozen=True, slots=True)
class Death:
    """The process dies at the `nth` effect of this kind."""

    kind: str
    nth: int
    phase: str


@dataclass(frozen=True, slots=True)
class Weather:
    """Chances are for each request, effect or run; `_every` are mean seconds between two, 0 for never."""

    deaths: tuple[Death, ...] = ()
    sudden_deaths: tuple[float, ...] = ()
    """Moments, in seconds, at which a process dies wherever it stands."""
    stops: tuple[float, ...] = ()
    pauses: tuple[float, ...] = ()
    reconfigurations: tuple[float, ...] = ()
    database_losses: tuple[float, ...] = ()
    """Moments at which a process loses its database for a while, and goes on with its servers."""

    refused: float = 0.0
    request_lost: float = 0.0
    answer_lost: float = 0.0
    broken: float = 0.0
    late: float = 0.0
    bad_gateway: float = 0.0
    too_many: float = 0.0
    garbage: float = 0.0

    store_error: float = 0.0
    unheard: float = 0.0
    """A commit took effect and its caller hears of trouble: only with replicas, whose database is remote."""
    blob_error: float = 0.0

    crash_every: float = 0.0
    stall_every: float = 0.0
    cut_every: float = 0.0
    socket_drop_every: float = 0.0
    deaf: float = 0.0
    frame_twice: float = 0.0
    hang: float = 0.0
    hooks: bool = False
    """Whether the operator set up a way to start the servers anew."""
    out_of_memory: float = 0.0
    poison: float = 0.0
    """A prompt breaks the graphics card: everything fails until the server is started again."""
    disk_full: float = 0.0
    lie: float = 0.0

    strangers_every: float = 0.0
    rude: float = 0.0
    """How often a stranger interrupts whatever runs, empties the queue or the history."""


CALM = Weather()


@dataclass(frozen=True, slots=True)
class Plan:
    """One run."""

    seed: int
    weather: Weather
    storm_seconds: float
    servers: int
    slots: tuple[int, ...]
    ahead: tuple[int, ...]
    """By server: whether one prompt more may wait there."""

    versions: tuple[str, ...]
    replicas: int
    """Gateway processes at a time. With several, leases decide, as they do on PostgreSQL."""
    users: int
    actions: int
    queue_seconds_max: int
    results_seconds: int
    rng: random.Random = field(repr=False, default_factory=random.Random)


def plan_of(seed: int, storm_of: str = "") -> Plan:
    """The run that this seed stands for; in a named storm, that run with more of one kind of trouble."""
    plan = _plan_of(seed)
    return STORMS[storm_of](plan) if storm_of else plan


def _told_twice(plan: Plan) -> Plan:
    """Commits nobody hears of and owners that freeze, with failures that send jobs back in their lane.

    So outcomes are told a second time, to jobs that run again elsewhere by then.
    """
    rng = random.Random(f"told twice/{plan.seed}")  # noqa: S311 - a world is made of it, no secret
    moments = [tuple(sorted(rng.uniform(0.0, plan.storm_seconds) for _ in range(5))) for _ in range(2)]
    weather = replace(
        plan.weather, pauses=moments[0], database_losses=moments[1], unheard=0.15, out_of_memory=0.4
    )
    return replace(plan, replicas=2, actions=12, ahead=(0,) * plan.servers, weather=weather)


STORMS: Final[dict[str, Callable[[Plan], Plan]]] = {"told-twice": _told_twice}
"""Named weather under which one kind of guard is needed in most runs, not in one of hundreds."""


def _plan_of(seed: int) -> Plan:
    rng = random.Random(f"plan/{seed}")  # noqa: S311 - a world is made of it, no secret
    storm = rng.uniform(60.0, 180.0)
    replicas = rng.choice((1, 1, 2))
    weather = CALM if rng.random() < 0.05 else _weather(rng, storm, replicas)
    servers = rng.choice((1, 2, 2, 2))
    # Dice of its own: what else a seed stands for is not changed by it.
    aside = random.Random(f"ahead/{seed}")  # noqa: S311 - a world is made of it, no secret
    return Plan(
        seed=seed,
        weather=weather,
        storm_seconds=storm,
        servers=servers,
        slots=tuple(rng.choice((1, 1, 1, 2)) for _ in range(servers)),
        ahead=tuple(aside.choice((0, 0, 1)) for _ in range(servers)),
        versions=tuple(rng.choice(("0.3.64", "0.3.64", "0.9.1", "0.3.50")) for _ in range(servers)),
        replicas=replicas,
        users=4,
        actions=rng.randint(4, 11),
        queue_seconds_max=rng.choice((30, 120, 900)),
        results_seconds=rng.choice((60, 86_400, 86_400)),
    )


def _weather(rng: random.Random, storm: float, replicas: int) -> Weather:
    def chance(most: float) -> float:
        return rng.uniform(0.1, 1.0) * most if rng.random() < 0.35 else 0.0

    def every(least: float, most: float) -> float:
        return rng.uniform(least, most) if rng.random() < 0.35 else 0.0

    def moments(most: int) -> tuple[float, ...]:
        count = rng.randint(1, most) if rng.random() < 0.35 else 0
        return tuple(sorted(rng.uniform(0.0, storm) for _ in range(count)))

    deaths = tuple(_death(rng) for _ in range(rng.choice((0, 1, 2, 3, 4))))
    drawn = Weather(deaths=deaths, sudden_deaths=moments(2))
    drawn = replace(drawn, stops=moments(2), pauses=moments(2), reconfigurations=moments(3))
    drawn = replace(drawn, database_losses=moments(2))
    chances = {
        "refused": 0.1, "request_lost": 0.05, "answer_lost": 0.1, "broken": 0.1, "late": 0.1,
        "bad_gateway": 0.1, "too_many": 0.1, "garbage": 0.03, "store_error": 0.05, "blob_error": 0.2,
        "deaf": 0.5, "frame_twice": 0.3, "hang": 0.1, "out_of_memory": 0.2, "poison": 0.1,
        "disk_full": 0.2, "lie": 0.2,
        "rude": 0.2,
    }  # fmt: skip
    drawn = replace(drawn, **{name: chance(most) for name, most in chances.items()})  # type: ignore[arg-type]
    return replace(
        drawn,
        crash_every=every(20.0, 120.0),
        stall_every=every(10.0, 60.0),
        cut_every=every(20.0, 120.0),
        socket_drop_every=every(5.0, 60.0),
        strangers_every=every(3.0, 20.0),
        hooks=rng.random() < 0.5,
        unheard=chance(0.05) if replicas > 1 else 0.0,
    )


def _death(rng: random.Random) -> Death:
    kind = rng.choice(DEADLY)
    return Death(kind, rng.randint(1, 25 if kind in FREQUENT else 5), rng.choice(PHASES))


def shown(weather: Weather) -> str:
    """The trouble that is on, for people."""
    on = {f.name: getattr(weather, f.name) for f in fields(weather) if getattr(weather, f.name)}
    return ", ".join(
        f"{name}={value:.3f}" if isinstance(value, float) else f"{name}={value}" for name, value in on.items()
    )
