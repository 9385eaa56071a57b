"""The states of a job and the only moves between them.

This table is the truth; the database's CHECK and trigger and the diagram in docs/concepts/jobs.md are
compared with it by a test. `claimed` is internal: a server's slot is taken, the prompt may already be on
its way, ComfyUI has not begun; users see it as queued at position 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, assert_never

from comfygate.domain.blame import Blame


class JobState(StrEnum):
    """Internal states; see `public_status` for what users see."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.CLAIMED, JobState.CANCELED, JobState.EXPIRED}),
    JobState.CLAIMED: frozenset(
        {JobState.QUEUED, JobState.RUNNING, JobState.CANCELING, JobState.SUCCEEDED, JobState.FAILED}
    ),
    JobState.RUNNING: frozenset({JobState.QUEUED, JobState.CANCELING, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.CANCELING: frozenset({JobState.CANCELED, JobState.SUCCEEDED, JobState.FAILED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELED: frozenset(),
    JobState.EXPIRED: frozenset(),
}

TERMINAL: frozenset[JobState] = frozenset(state for state, moves in TRANSITIONS.items() if not moves)
IN_FLIGHT: frozenset[JobState] = frozenset({JobState.CLAIMED, JobState.RUNNING, JobState.CANCELING})

PUBLIC_STATUS: Mapping[JobState, str] = {
    state: "queued" if state is JobState.CLAIMED else state.value for state in JobState
}
"""Internal state to one of the seven statuses of Comfy API v2."""


def may_move(before: JobState, after: JobState) -> bool:
    """Whether a job may go from `before` to `after` in one step."""
    return after in TRANSITIONS[before]


def states_before(after: JobState) -> frozenset[JobState]:
    """The states from which a job may go to `after`."""
    return frozenset(before for before, moves in TRANSITIONS.items() if after in moves)


@dataclass(frozen=True, slots=True)
class Fence:
    """(job, attempt): what every settling write must match. A late answer of an older attempt does not."""

    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed, in words for its user; never a path or a traceback."""

    code: str
    message: str
    node_id: str | None = None
    class_type: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "message": self.message,
            "node_id": self.node_id,
            "class_type": self.class_type,
        }


@dataclass(frozen=True, slots=True)
class Succeeded:
    """Every output the graph asked for was collected."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The attempt came to an end without success. `blame` decides whether the job is tried again; if not, its
    user reads `error`. `cause` is for the operator only."""

    error: JobError
    cause: str = ""
    blame: Blame = Blame.WORKFLOW


@dataclass(frozen=True, slots=True)
class Canceled:
    """Stopped because its user asked."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The attempt ended without a word on the job itself: it goes back to its place, and no server is
    blamed."""

    cause: str
    blame: Blame = Blame.SERVER_LOST


Outcome = Succeeded | Failed | Canceled | Lost


def state_after(current: JobState, outcome: Outcome, *, may_run_again: bool) -> JobState:
    """The state that `outcome` brings a job in flight to.

    A job whose cancel was asked for never goes back to its lane. A cancel that came too late changes nothing:
    what succeeded is delivered and paid.
    """
    match outcome:
        case Succeeded():
            return JobState.SUCCEEDED
        case Canceled():
            return JobState.CANCELED if current is JobState.CANCELING else JobState.FAILED
        case Failed() | Lost():
            if current is JobState.CANCELING:
                return JobState.CANCELED
            return JobState.QUEUED if may_run_again else JobState.FAILED
        case _:
            assert_never(outcome)
