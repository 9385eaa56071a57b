"""What a measurement yields: figures with their ratio to a control that was measured in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from benchmarks.engines import Engine

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. `ratio` is it over the control's; `spread` is the least and the greatest of the rounds'
    ratios; `better` says which way the ratio should go ('' for neither)."""

    name: str
    engine: str
    value: float
    unit: str
    ratio: float | None = None
    control: str = ""
    spread: tuple[float, float] | None = None
    better: Better = ""

    def to_json(self) -> dict[str, Any]:
        """As the results file keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Figure:
        """Raises TypeError for keys of another version."""
        spread = kept.get("spread")
        return cls(**{**kept, "spread": tuple(spread) if spread else None})

    def cells(self) -> tuple[str, str, str, str]:
        """As a row of the table."""
        against = ""
        if self.ratio is not None:
            against = f"{plain(self.ratio)} of {self.control}"
            if self.spread is not None:
                against += f" ({plain(self.spread[0])} to {plain(self.spread[1])})"
        return self.name, self.engine, f"{plain(self.value)} {self.unit}", against or self.control


Said = tuple[str, str, str, str]
"""A row in words: measurement, engine, figure, what it is compared with. Nothing compares these."""
Row = Figure | Said
Measure = Callable[[Engine], Awaitable[Sequence[Row]]]


def plain(value: float) -> str:
    """Three digits that count, without an exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.4f}"


def quantile(values: Iterable[float], part: float) -> float:
    """The value that `part` (0 to 1) of them do not exceed; 0 of none."""
    found = sorted(values)
    return found[min(len(found) - 1, int(part * len(found)))] if found else 0.0


async def median_seconds(act: Callable[[], Awaitable[Any]], times: int) -> float:
    """The median of how long it takes, done so many times."""
    took = []
    for _ in range(times):
        began = time.monotonic()
        await act()
        took.append(time.monotonic() - began)
    return statistics.median(took)


def compared(
    name: str, engine: str, unit: str, better: Better, rounds: Sequence[tuple[float, float]], control: str
) -> Figure:
    """A figure from rounds of (ours, control): the medians, the ratio of the medians, the rounds' ratios."""
    ours = statistics.median(one for one, _ in rounds)
    other = statistics.median(one for _, one in rounds)
    ratios = [mine / theirs for mine, theirs in rounds if theirs]
    spread = (min(ratios), max(ratios)) if len(ratios) > 1 else None
    return Figure(name, engine, ours, unit, ours / other if other else None, control, spread, better)
