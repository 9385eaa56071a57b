"""What a run is meant to come to, beside what it came to. Printed, never asserted: the machine is shared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from benchmarks.figures import Figure, plain
from benchmarks.operations import GREW_MOST, SLOWEST
from benchmarks.results import Run

Said = tuple[str, str, str, str, str]
HEADINGS: Final = ("goal", "engine", "wanted", "found", "reached")
NOT_MEASURED: Final = "not measured"


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one figure: on its value, on its ratio to its control, or, with `over`, on its value over
    that of another figure of the same engine."""

    says: str
    measure: str
    figure: str
    bound: float
    unit: str = ""
    higher: bool = False
    ratio: bool = False
    over: str = ""
    engines: tuple[str, ...] = ("sqlite", "postgresql")

    def of(self, run: Run) -> list[Said]:
        """One line an engine."""
        sign = "≥" if self.higher else "≤"
        wanted = f"{sign} {plain(self.bound)} {self.unit}".strip()
        lines: list[Said] = []
        for engine in self.engines:
            found = self._found(run, engine)
            if found is None:
                lines.append((self.says, engine, wanted, "", NOT_MEASURED))
                continue
            reached = found >= self.bound if self.higher else found <= self.bound
            lines.append(
                (self.says, engine, wanted, f"{plain(found)} {self.unit}".strip(), "yes" if reached else "no")
            )
        return lines

    def _found(self, run: Run, engine: str) -> float | None:
        figures = {one.name: one for one in run.figures(self.measure) if one.engine == engine}
        mine, other = figures.get(self.figure), figures.get(self.over)
        if mine is None:
            return None
        if self.over:
            return None if other is None else _over(mine, other)
        return mine.ratio if self.ratio else mine.value


def _over(mine: Figure, other: Figure) -> float | None:
    return mine.value / other.value if other.value else None


def _utilisation() -> list[Goal]:
    found: list[Goal] = []
    for kind, engines in (("", ("sqlite", "postgresql")), (", one ahead", ("sqlite",))):
        for length, bound in ((20, 0.95), (100, 0.98), (500, 0.98)):
            what = f"jobs of {length} ms{kind}"
            figure = f"{what}: rate"
            says = f"{what}: part of the own queue's rate"
            found.append(Goal(says, "utilisation", figure, bound, higher=True, ratio=True, engines=engines))
            gap = f"{what}: gap, p99"
            says = f"{what}: gap p99 over the own queue's"
            found.append(Goal(says, "utilisation", gap, 2, over=f"{what}: own gap, p99", engines=engines))
    return found


def _backlog() -> list[Goal]:
    says = "{} with 1,000,000 queued over 10,000 queued"
    return [
        Goal(says.format(what), "backlog", f"{what}, 1,000,000 queued", bound, over=f"{what}, 10,000 queued")
        for what, bound in (("claim and give back", 3), ("position", 3), ("cancel", 3), ("submit", 1.5))
    ]


_SUBMIT = "submit, 128 clients: "
_ONE = ("sqlite",)
GOALS = [
    *_utilisation(),
    Goal("idle: submit to prompt received, median", "dispatch", "submit to prompt received, median", 5, "ms"),
    Goal("idle: submit to prompt received, p99", "dispatch", "submit to prompt received, p99", 20, "ms"),
    Goal("submit at 128 clients", "submit", f"{_SUBMIT}rate", 1000, "jobs/s", higher=True),
    Goal("submit at 128 clients: p99 over median", "submit", f"{_SUBMIT}p99", 10, over=f"{_SUBMIT}median"),
    *_backlog(),
    Goal("1,000 servers", "fleet", "1,000 servers: rate", 200, "jobs/s", higher=True, engines=_ONE),
    *(
        Goal(
            f"200 pages, a fifth never reading: ends missed by {whose} pages", "pages",
            f"40 of 200 pages never read: ends missed by {whose} pages", 0, "ends", engines=_ONE,
        )
        for whose in ("accounts'", "operators'")
    ),
    Goal(
        "a fifth of 200 pages never reading: wait of jobs, median, over all reading", "pages",
        "40 of 200 pages never read: submit to start on a server, median", 1.5, ratio=True, engines=_ONE,
    ),
    Goal("200 pages: memory a page", "pages", "200 pages: memory a page, in use", 150, "kB", engines=_ONE),
    Goal("the slowest page over 100,000 finished jobs", "operations", SLOWEST, 500, "ms"),
    Goal("the page that grew most from 10,000 finished jobs", "operations", GREW_MOST, 1.5, ratio=True),
    Goal("5,000 followers: ends missed", "followers", "5,000 streams: ends missed", 0, engines=_ONE),
    Goal(
        "results of 200 MB: memory above before", "outputs", "results of 200 MB: memory above before, peak",
        32, "MB", engines=_ONE,
    ),
]  # fmt: skip


def goals(run: Run) -> list[Said]:
    """Every goal beside what the run found."""
    return [line for goal in GOALS for line in goal.of(run)]
