"""What to do when a prompt cannot be handed to a server. Pure: the caller waits and asks again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SubmitPolicy:
    """How often a prompt is sent: once, then on connection trouble `retries` more, `retry_seconds` apart."""

    retries: int = 2
    retry_seconds: float = 1.0

    def may_retry(self, tries_done: int) -> bool:
        """Whether a further try is allowed after `tries_done` tries."""
        return tries_done <= self.retries
