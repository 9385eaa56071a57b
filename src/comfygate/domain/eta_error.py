"""How far the estimates were off, and what that says about the next one. Pure.

The correction is split conformal prediction with scores scaled by each estimate's own width (Vovk,
Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005; Lei et al., "Distribution-Free
Predictive Inference for Regression", 2018). Whatever the model of `domain/eta.py` leaves out (retries, cold
models, other people's prompts), the errors it made lately have it in them: the next estimate is moved to
where the promised share of those errors lies. That keeps the promise whatever the model is worth, as long as
the near future is like the near past.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from comfygate.domain.eta import HORIZON_MS, Quantiles

SCORES_KEPT = 200
"""Newest judged jobs of a lane and priority that correct the next."""
SCORES_MIN = 30
"""With fewer nothing is corrected."""
SCORES_HALF = 25
"""As many errors that know nothing of each other correct by half of what they say; more, by more of it."""
WIDTH_MIN = 0.05
"""The least width of an estimate, as the logarithm of p90 over p50, by which its error is measured."""
SCORE_MAX = 12.0


@dataclass(frozen=True, slots=True)
class Judged:
    """One estimate and what came: told p50 and p90, and what it took, all in ms from when it was told."""

    p50_ms: int
    p90_ms: int
    took_ms: int


@dataclass(frozen=True, slots=True)
class Errors:
    """What the estimates of one lane were worth. Shares from 0 to 1; `relative` are parts of what was told
    as p50."""

    jobs: int
    within_p50: float
    within_p90: float
    error_p50_ms: int
    error_p90_ms: int
    relative_p50: float
    relative_p90: float


def score(model: Quantiles, took_ms: float) -> float:
    """How far off: 0 is exactly the model's p50, 1 exactly its p90."""
    off = math.log(max(took_ms, 1.0) / max(model.p50_ms, 1.0)) / _width(model)
    return max(-SCORE_MAX, min(off, SCORE_MAX))


def corrected(model: Quantiles, scores: Sequence[float]) -> Quantiles:
    """The model's estimate, moved to where the lane's latest scores, in the order of their ends, say that it
    should be."""
    if len(scores) < SCORES_MIN:
        return model
    trust = 1.0 / (1.0 + SCORES_HALF / _independent(scores))
    ordered = sorted(scores)
    low = trust * _rank(ordered, 0.5)
    high = trust * _rank(ordered, 0.9) + (1.0 - trust)
    width = _width(model)
    p50, p90 = (
        min(max(model.p50_ms, 1.0) * math.exp(one * width), HORIZON_MS) for one in (low, max(low, high))
    )
    return Quantiles(p50, p90)


def errors_of(judged: Iterable[Judged]) -> Errors | None:
    """What these estimates were worth; None of none."""
    found = list(judged)
    if not found:
        return None
    off = sorted(abs(one.took_ms - one.p50_ms) for one in found)
    relative = sorted(abs(one.took_ms - one.p50_ms) / max(one.p50_ms, 1) for one in found)
    return Errors(
        jobs=len(found),
        within_p50=sum(one.took_ms <= one.p50_ms for one in found) / len(found),
        within_p90=sum(one.took_ms <= one.p90_ms for one in found) / len(found),
        error_p50_ms=_share(off, 0.5),
        error_p90_ms=_share(off, 0.9),
        relative_p50=round(_share(relative, 0.5), 3),
        relative_p90=round(_share(relative, 0.9), 3),
    )


def _width(model: Quantiles) -> float:
    return max(math.log(max(model.p90_ms, 1.0) / max(model.p50_ms, 1.0)), WIDTH_MIN)


def _independent(scores: Sequence[float]) -> float:
    """As how many independent errors these count. Jobs that stood in one line share their error, so in a
    busy lane 200 of them may say no more than 10; told by how alike neighbours are."""
    mean = math.fsum(scores) / len(scores)
    off = [one - mean for one in scores]
    variance = math.fsum(one * one for one in off)
    if not variance:
        return float(len(scores))
    alike = max(math.fsum(a * b for a, b in pairwise(off)) / variance, 0.0)
    return max(len(scores) * (1.0 - alike) / (1.0 + alike), 1.0)


def _rank(ordered: Sequence[float], share: float) -> float:
    """The value of the conformal rank: one more counts than is there, the one to come."""
    return ordered[min(math.ceil((len(ordered) + 1) * share), len(ordered)) - 1]


def _share(ordered, share: float):  # type: ignore[no-untyped-def]  # of whole or broken numbers alike
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
