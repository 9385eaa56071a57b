"""What opening each page costs over many finished jobs, and what counting their ends costs the writer.

A page is asked for over HTTP as its scripts do (`page_reads`), all its reads at once, by an account that has
half of all jobs, and operates. The control is the same page over a tenth of the jobs, in a database of its
own: the two take turns.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from benchmarks import crowd
from benchmarks.engines import Engine
from benchmarks.figures import Figure, median_seconds
from benchmarks.page_house import CATALOGUE, PageHouse, page_house
from benchmarks.page_reads import GROWS, PAGES
from comfygate.gate import counting
from comfygate.gate.context import Context
from comfygate.store import buckets

ACCOUNTS = 5_000
SLOWEST = "the slowest page"
GREW_MOST = "the page that grew most"
BUTTON_TIMES = 3
"""So often what a button asks for is measured: it reads everything."""


@dataclass(frozen=True, slots=True)
class Size:
    """Finished jobs, of the control and of what is compared with it; times each page is opened; batches of
    ends that are counted, and ends in each."""

    few: int = 10_000
    many: int = 100_000
    accounts: int = ACCOUNTS
    times: int = 7
    ends: int = 200


async def measure_operations(engine: Engine, size: Size | None = None) -> list[Figure]:
    """Medians of every page's opening, and of the write that counts a batch of ends."""
    size = size or Size()
    figures: dict[str, Figure] = {}
    async with (
        filled(engine, size.few, size.accounts) as few,
        filled(engine, size.many, size.accounts) as many,
    ):
        for name in [*PAGES, *GROWS]:
            times = size.times if name in PAGES else min(BUTTON_TIMES, size.times)
            rounds = [(await _seconds(many, name), await _seconds(few, name)) for _ in range(times)]
            ours, control = (tuple(side) for side in zip(*rounds, strict=True))
            figures[name] = Figure(
                f"{name}, {size.many:,} finished jobs", engine.name, statistics.median(ours) * 1000, "ms",
                # Neighbours on the machine only ever add: the least of each is nearest to the truth.
                min(ours) / min(control), f"it over {size.few:,}, by the least of each", None, "lower",
            )  # fmt: skip
        counted = await _counted(engine, many.ctx, size)
    return [*figures.values(), *_worst({name: figures[name] for name in PAGES}, engine), *counted]


@contextlib.asynccontextmanager
async def filled(engine: Engine, jobs: int, accounts: int) -> AsyncIterator[PageHouse]:
    """The pages over so many finished jobs, and somebody who is signed in."""
    with engine.settings() as found:
        async with page_house(found.model_copy(update={"workflows_dir": CATALOGUE})) as house:
            store = house.ctx.store
            await store.run(crowd.write_house, accounts, house.ctx.now_ms())
            for start in range(0, jobs, crowd.PART):
                end = min(start + crowd.PART, jobs)
                await store.run(crowd.write_jobs, start, end, accounts, house.ctx.now_ms())
            await store.run(crowd.settled)
            await house.sign_in()
            yield house


async def _seconds(house: PageHouse, name: str) -> float:
    await house.look_anew()
    return await median_seconds(lambda: house.open({**PAGES, **GROWS}[name]), 1)


def _worst(figures: dict[str, Figure], engine: Engine) -> list[Figure]:
    slowest = max(figures, key=lambda name: figures[name].value)
    grew = max(figures, key=lambda name: figures[name].ratio or 0.0)
    return [
        Figure(what, engine.name, one.value, "ms", one.ratio, f"{name} over fewer jobs", None, "lower")
        for what, name, one in ((SLOWEST, slowest, figures[slowest]), (GREW_MOST, grew, figures[grew]))
    ]


async def _counted(engine: Engine, ctx: Context, size: Size) -> list[Figure]:
    """Put ends on the list, and count them: the read beside the writer, and the write."""
    reads, writes = [], []
    for number in range(size.times):
        ids = [crowd.job_id(n % size.many) for n in range(number * size.ends, (number + 1) * size.ends)]
        await ctx.store.run(buckets.to_be_counted, buckets.JOB, ids)
        began = time.monotonic()
        listed, sums = await ctx.store.read(counting.sums_of_list, ctx.now_ms())
        read = time.monotonic()
        await ctx.store.run(buckets.count, listed, sums)
        reads.append(read - began)
        writes.append(time.monotonic() - read)
    return [
        Figure(f"counting {size.ends} ends: {what}", engine.name, statistics.median(took) * 1000, "ms")
        for what, took in (("adding up, beside the writer", reads), ("the write", writes))
    ]
