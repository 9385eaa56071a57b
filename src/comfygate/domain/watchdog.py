"""When silence means that a job hangs: a time that grows with what its workflow usually takes. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """`floor_seconds` at least, `times_usual` times the usual run of this workflow if that is longer.

    `verify_seconds` is how long a prompt gets to go after its cancel, `restart_seconds` how long ComfyUI gets
    to come back after the operator's restart hook ran.
    """

    floor_seconds: float = 300.0
    times_usual: float = 3.0
    verify_seconds: float = 20.0
    restart_seconds: float = 180.0
    pair_quarantine_seconds: float = 3600.0

    def silence_seconds(self, usual_ms: int | None) -> float:
        """How long a running prompt may say nothing; `usual_ms` is None for a workflow not seen before."""
        usual = 0.0 if usual_ms is None else usual_ms / 1000
        return max(self.floor_seconds, self.times_usual * usual)


USUAL_WEIGHT = 0.2
"""What the newest run counts in the usual time of a workflow: an exponential moving average."""


def usual_after(usual_ms: int | None, run_ms: int) -> int:
    """The usual time once a run of `run_ms` succeeded."""
    return run_ms if usual_ms is None else round(usual_ms + USUAL_WEIGHT * (run_ms - usual_ms))
