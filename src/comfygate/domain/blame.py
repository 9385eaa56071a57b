"""Whose fault a failure was, and all that follows from it: one table, which alone decides.

Every class refunds: a job that does not succeed gives its hold back, and the database refuses anything else.
The sentences are for the job's user; `{place}` and `{words}` are the node and the server's own words, made
fit for users before they come here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Blame(StrEnum):
    """The classes of failure."""

    INPUT = "input"
    """A file that the user sent cannot be read."""
    WORKFLOW = "workflow"
    """The graph is wrong, or a node of it raised."""
    MISSING = "missing"
    """The server lacks a node class or a model file that the graph names."""
    OUT_OF_MEMORY = "out_of_memory"
    POISONED_GPU = "poisoned_gpu"
    """A CUDA fault after which nothing works until ComfyUI is started again."""
    UNREACHABLE = "unreachable"
    """The server did not take the prompt: no connection, refused, or not understood."""
    SERVER_LOST = "server_lost"
    """The server had the prompt and no longer knows it, or cannot be asked any more."""
    INTERRUPTED = "interrupted"
    """Somebody else stopped the prompt on the server."""
    HANG = "hang"
    """No event and no progress for far longer than usual."""
    STORAGE = "storage"
    """A disk is full or broken, the server's or ours."""
    POLICY = "policy"
    """A limit of this house was crossed."""
    OUR_BUG = "our_bug"


class Retry(StrEnum):
    """Where a failed job may be tried again."""

    NEVER = "never"
    ANYWHERE = "anywhere"
    ELSEWHERE = "elsewhere"
    """Not on this server; with no other one that has the lane, not at all."""


@dataclass(frozen=True, slots=True)
class Consequence:
    """What follows from a class of failure.

    `retries_max` bounds the further attempts that this class may cause for one job; `attempts_max` of the
    settings bounds them all together. `against_server` counts as one more failure in a row of the server,
    `quarantine_server` closes it at once, `quarantine_pair` keeps this workflow off this server for a while,
    `free_memory` has ComfyUI drop its models and cache before it gets another prompt.
    """

    retry: Retry
    retries_max: int
    code: str
    sentence: str
    against_server: bool = False
    quarantine_server: bool = False
    quarantine_pair: bool = False
    free_memory: bool = False


_MANY = 10**9
"""As often as `attempts_max` allows."""

CONSEQUENCES: Mapping[Blame, Consequence] = {
    Blame.INPUT: Consequence(
        Retry.NEVER, 0, "invalid_input", "{place} could not read the file it was given: {words}"
    ),
    Blame.WORKFLOW: Consequence(Retry.NEVER, 0, "node_execution_error", "{place} failed: {words}"),
    Blame.MISSING: Consequence(
        Retry.ELSEWHERE,
        _MANY,
        "missing_model_or_node",
        "{place} needs something that no server here has: {words}",
    ),
    Blame.OUT_OF_MEMORY: Consequence(
        Retry.ANYWHERE,
        1,
        "out_of_memory",
        "{place} needs more memory than the server has. Ask for a smaller picture, fewer frames or a smaller"
        " batch.",
        against_server=True,
        free_memory=True,
    ),
    Blame.POISONED_GPU: Consequence(
        Retry.ANYWHERE,
        2,
        "server_fault",
        "The server's graphics card failed while it worked on this job.",
        against_server=True,
        quarantine_server=True,
    ),
    Blame.UNREACHABLE: Consequence(
        Retry.ELSEWHERE, _MANY, "server_unreachable", "The server could not be reached.", against_server=True
    ),
    Blame.SERVER_LOST: Consequence(
        Retry.ANYWHERE,
        _MANY,
        "server_lost",
        "The server lost this job more often than it may be tried again.",
    ),
    Blame.INTERRUPTED: Consequence(
        Retry.ANYWHERE,
        _MANY,
        "interrupted",
        "The job was stopped on the server by somebody else, more often than it may be tried again.",
    ),
    Blame.HANG: Consequence(
        Retry.ELSEWHERE,
        1,
        "server_hang",
        "The job stood still on the server for far longer than it usually takes, and was stopped.",
        against_server=True,
        quarantine_pair=True,
    ),
    Blame.STORAGE: Consequence(
        Retry.ANYWHERE,
        2,
        "storage_trouble",
        "A disk was full or could not be used, so the result could not be kept.",
        against_server=True,
    ),
    Blame.POLICY: Consequence(Retry.NEVER, 0, "over_limit", "The job is outside the limits here: {words}"),
    Blame.OUR_BUG: Consequence(
        Retry.ANYWHERE, 1, "internal_error", "Something failed on our side; the operator has been told."
    ),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the job goes back in its lane, under its old ticket, and whether this server is out for it."""

    again: bool
    elsewhere: bool


def decide(
    blame: Blame, before: Sequence[Blame | None], *, attempts_max: int, other_server: bool
) -> Decision:
    """What becomes of a job whose newest attempt failed for `blame`.

    `before` are the blames of its earlier attempts; `other_server` is whether another server that has the
    job's lane is open to this job.
    """
    rule = CONSEQUENCES[blame]
    elsewhere = rule.retry is Retry.ELSEWHERE
    again = (
        rule.retry is not Retry.NEVER
        and len(before) + 1 < attempts_max
        and sum(earlier is blame for earlier in before) < rule.retries_max
        and (other_server or not elsewhere)
    )
    return Decision(again, elsewhere)


def sentence_of(blame: Blame, *, place: str = "", words: str = "") -> str:
    """What the user of a job reads, given the node and the server's words (both already fit for users)."""
    text = CONSEQUENCES[blame].sentence.format(place=place or "The job", words=words or "no reason was given")
    return text if text.endswith((".", "!", "?")) else text.rstrip(" :")
