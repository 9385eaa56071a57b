"""What a server is, by evidence, and whether it may take a job. Pure: time and evidence come from outside.

up ── probe fails ──▶ suspect ── again ──▶ down
up ── failures_max blamed in a row, or a poisoned GPU ──▶ quarantined ── time is over, it answers ──▶ suspect
down ── it answers ──▶ suspect ── its one trial job succeeds ──▶ up
                               └─ is blamed ──▶ quarantined, for twice as long
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from comfygate.domain.blame import CONSEQUENCES, Blame


class ServerState(StrEnum):
    """`up` takes jobs; `suspect` takes one at a time, whose end decides; the others take none."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    DRAINING = "draining"
    """Its operator wants no new job on it; shown in place of the state that evidence gives."""
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class HealthLimits:
    """How much evidence it takes. The quarantine doubles with each trip up to the longest."""

    failures_max: int = 3
    quarantine_seconds: float = 60.0
    quarantine_seconds_max: float = 3600.0


@dataclass(frozen=True, slots=True)
class Health:
    """`failures` are blamed failures in a row, `trips` quarantines in a row. Times in ms since 1970."""

    state: ServerState = ServerState.DOWN
    reason: str = "not asked yet"
    answers: bool = False
    known: bool = False
    """Whether it ever answered, to this process or an earlier one."""
    failures: int = 0
    trips: int = 0
    quarantined_until_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A probe went all the way: version, queue, node classes."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A probe or a prompt found nobody, or nobody who could be understood."""

    reason: str


@dataclass(frozen=True, slots=True)
class JobSucceeded:
    """A job came to its end there."""


@dataclass(frozen=True, slots=True)
class JobBlamed:
    """An attempt there failed."""

    blame: Blame
    reason: str


@dataclass(frozen=True, slots=True)
class Stuck:
    """The watchdog could not get a prompt off the server."""

    reason: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """ComfyUI was started anew: what poisoned it is gone."""


Evidence = Answered | Silent | JobSucceeded | JobBlamed | Stuck | Restarted


def after(health: Health, evidence: Evidence, now_ms: int, limits: HealthLimits) -> Health:
    """The health once `evidence` was seen."""
    match evidence:
        case Answered():
            return _answered(health, now_ms)
        case Silent(reason=reason):
            return _silent(health, reason)
        case JobSucceeded():
            # One that was quarantined meanwhile, by another of its jobs, stays so until its time is over.
            if health.state is ServerState.QUARANTINED:
                return health
            state = ServerState.UP if health.answers else health.state
            return replace(health, state=state, reason="", failures=0, trips=0)
        case JobBlamed(blame=blame, reason=reason):
            return _blamed(health, blame, reason, now_ms, limits)
        case Stuck(reason=reason):
            return _quarantined(health, reason, now_ms, limits)
        case Restarted():
            if health.state is not ServerState.QUARANTINED:
                return health
            return replace(health, quarantined_until_at_ms=now_ms)
        case _:
            assert_never(evidence)


def _answered(health: Health, now_ms: int) -> Health:
    answering = replace(health, answers=True, known=True)
    match health.state:
        case ServerState.QUARANTINED if (health.quarantined_until_at_ms or 0) <= now_ms:
            return replace(
                answering,
                state=ServerState.SUSPECT,
                reason="on trial after quarantine",
                quarantined_until_at_ms=None,
            )
        case ServerState.DOWN if not health.known:
            return replace(answering, state=ServerState.UP, reason="")
        case ServerState.DOWN:
            return replace(answering, state=ServerState.SUSPECT, reason="on trial: it was down")
        case ServerState.SUSPECT if not health.answers and not health.failures and not health.trips:
            # One missed probe and no failed job: nothing to try out.
            return replace(answering, state=ServerState.UP, reason="")
        case _:
            return answering


def _silent(health: Health, reason: str) -> Health:
    silent = replace(health, answers=False)
    if health.state is ServerState.QUARANTINED:
        return silent
    if health.state is ServerState.UP:
        return replace(silent, state=ServerState.SUSPECT, reason=reason)
    if health.state is ServerState.SUSPECT and health.answers:
        return replace(silent, state=ServerState.DOWN, reason=reason)
    return replace(silent, state=ServerState.DOWN, reason=reason)


def _blamed(health: Health, blame: Blame, reason: str, now_ms: int, limits: HealthLimits) -> Health:
    rule = CONSEQUENCES[blame]
    if rule.quarantine_server:
        return _quarantined(health, reason, now_ms, limits)
    if not rule.against_server or health.state is ServerState.QUARANTINED:
        return health
    failures = health.failures + 1
    counted = replace(health, failures=failures)
    on_trial = health.state is ServerState.SUSPECT and health.answers
    if failures >= limits.failures_max or (on_trial and health.trips > 0):
        return _quarantined(counted, f"{failures} failures in a row, the last: {reason}", now_ms, limits)
    return counted


def _quarantined(health: Health, reason: str, now_ms: int, limits: HealthLimits) -> Health:
    if health.state is ServerState.QUARANTINED:
        return health
    seconds = min(limits.quarantine_seconds * 2.0**health.trips, limits.quarantine_seconds_max)
    return replace(
        health,
        state=ServerState.QUARANTINED,
        reason=reason,
        trips=health.trips + 1,
        failures=0,
        quarantined_until_at_ms=now_ms + int(seconds * 1000),
    )


def may_queue_ahead(health: Health) -> bool:
    """Whether a job may wait on the server behind those that run: only where nothing is held against it."""
    return health.answers and health.state is ServerState.UP


def slots_open(health: Health, slots: int, running: int, behind: int = 0) -> int:
    """How many more jobs the server may take now, given how many of ours run there, and how many have left it
    and are not judged yet: a trial is one job at a time, to its end."""
    if not health.answers:
        return 0
    match health.state:
        case ServerState.UP:
            return max(slots - running, 0)
        case ServerState.SUSPECT:
            return 1 if running + behind == 0 else 0
        case ServerState.DOWN | ServerState.DRAINING | ServerState.QUARANTINED:
            return 0
        case _:
            assert_never(health.state)
