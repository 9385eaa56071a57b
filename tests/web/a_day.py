"""A day of work as the aggregates have it, made up: what plots show of a service that people use."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from comfygate.domain.buckets import DAY_MS, HOUR_MS, Measure, Sample, added_up
from comfygate.domain.credits import EntryKind
from comfygate.gate.context import Context
from comfygate.gate.counting import direction, of_job
from comfygate.store import buckets
from comfygate.store.buckets import EndedAttempt, EndedJob

TIERS = {"regular": 0.7, "vip": 0.25, "black_gold": 0.05}
BLAMES = {"workflow": 6, "out_of_memory": 5, "input": 4, "server_lost": 2, "unreachable": 2, "hang": 1}


@dataclass(frozen=True, slots=True)
class Line:
    """A lane: who serves it, how long its jobs take, and how many come in the busiest hour."""

    name: str
    servers: Sequence[str]
    seconds: float
    busiest: float
    price: int


async def write_a_day(ctx: Context, lines: Sequence[Line]) -> None:
    """Put the last 24 hours into the aggregates."""
    now_ms = ctx.now_ms()
    samples = [sample for line in lines for sample in _worked(line, now_ms)]
    samples += _granted(now_ms)
    await ctx.store.run(buckets.count, [], added_up(samples, now_ms))


def _rate(line: Line, at_ms: int) -> float:
    """Jobs an hour: few at night, most in the evening."""
    hour = at_ms % DAY_MS / HOUR_MS
    share = 0.12 + 0.5 * math.exp(-(((hour - 13) / 3.2) ** 2)) + 0.85 * math.exp(-(((hour - 20) / 2.1) ** 2))
    return line.busiest * min(share, 1.0)


def _worked(line: Line, now_ms: int) -> Iterator[Sample]:
    """Jobs that come by chance and are taken by the first server that is free."""
    luck = random.Random(line.name)  # noqa: S311 - a picture, not a secret
    free = [(now_ms - DAY_MS, server) for server in line.servers]
    at = float(now_ms - DAY_MS)
    number = 0
    while True:
        at += luck.expovariate(_rate(line, int(at))) * HOUR_MS
        came, number = int(at), number + 1
        if came >= now_ms:
            return
        tier = luck.choices(list(TIERS), list(TIERS.values()))[0]
        free_ms, server = free[0]
        ran = int(line.seconds * 1000 * luck.lognormvariate(0, 0.35))
        began = max(came, free_ms) + 40
        if began + ran >= now_ms:
            continue
        heapq.heapreplace(free, (began + ran, server))
        # Whoever goes first waits for the job that runs, not for the line.
        claimed = min(began, came + int(luck.uniform(0.1, 0.9) * ran)) if tier == "black_gold" else began
        yield from _job(
            f"{line.name} {number}", line, tier, (came, claimed, began, began + ran), server, luck
        )


def _job(
    name: str, line: Line, tier: str, times: tuple[int, int, int, int], server: str, luck: random.Random
) -> Iterator[Sample]:
    came, claimed, began, ended = times
    state = luck.choices(["succeeded", "failed", "canceled"], [0.965, 0.022, 0.013])[0]
    told = int((ended - came) * luck.lognormvariate(-0.05, 0.22)) + 1
    tries = [EndedAttempt(name, server, claimed, began, ended, state, None)]
    if state == "failed" or luck.random() < 0.008:
        blame = luck.choices(list(BLAMES), list(BLAMES.values()))[0]
        lost = EndedAttempt(name, server, claimed, began, began + (ended - began) // 3, "failed", blame)
        tries = [lost] if state == "failed" else [lost, *tries]
    job = EndedJob(
        name, line.name, tier, state, line.price, came, ended, told, int(told * 1.45), ended - came
    )
    yield from of_job(job, tries)


def _granted(now_ms: int) -> list[Sample]:
    luck = random.Random(5)  # noqa: S311 - a picture, not a secret
    kind = EntryKind.GRANT
    return [
        Sample(
            Measure.CREDITS,
            now_ms - int(luck.triangular(0, DAY_MS, DAY_MS / 5)),
            direction(kind),
            kind.value,
            total=luck.choice([50, 100, 100, 250, 500]),
        )
        for _ in range(60)
    ]
