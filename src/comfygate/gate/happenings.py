"""What happens to jobs and attempts in this process, said once to whoever measures it.

Nothing depends on being heard: without listeners a happening costs its small value, and a listener that
raises is logged and holds nobody up. The durable truth of what became of jobs is told by the outbox.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from comfygate.store.rows import ClaimedAttempt, JobRow

log = structlog.get_logger(__name__)


class Phase(StrEnum):
    """What an attempt goes through, one after the other; an adopted one begins with `resume`."""

    STAGE = "stage"
    RESUME = "resume"
    SEND = "send"
    WATCH = "watch"
    COLLECT = "collect"
    SETTLE = "settle"


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job was accepted by this process, which took so many seconds from its checks to the commit."""

    job: JobRow
    seconds: float


@dataclass(frozen=True, slots=True)
class Claimed:
    """A slot was given a job; the claim itself took so many seconds."""

    attempt: ClaimedAttempt
    seconds: float


@dataclass(frozen=True, slots=True)
class Reached:
    """The attempt comes to this phase, and with it out of the one before. The same may come again."""

    attempt: ClaimedAttempt
    phase: Phase


@dataclass(frozen=True, slots=True)
class Began:
    """ComfyUI is seen to work on the attempt."""

    attempt: ClaimedAttempt


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt's outcome was written; `counted` is false where it changed nothing because it came late."""

    attempt: ClaimedAttempt
    outcome: str
    blame: str
    counted: bool


@dataclass(frozen=True, slots=True)
class Released:
    """This process drives the attempt no more; without an `Ended` before, it is left for adoption."""

    attempt: ClaimedAttempt


Happening = Submitted | Claimed | Reached | Began | Ended | Released


@dataclass(slots=True)
class Happenings:
    """Call it with what happened."""

    listeners: list[Callable[[Happening], None]] = field(default_factory=list)

    def __call__(self, happening: Happening) -> None:
        for listener in self.listeners:
            try:
                listener(happening)
            except Exception:
                # Who measures must not break what is measured.
                log.exception("happening.not_heard", kind=type(happening).__name__)
