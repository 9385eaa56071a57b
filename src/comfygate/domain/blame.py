"""Whose fault a failure was, and all that follows from it: one table, which alone decides."""

from __future__ import annotations

from enum import StrEnum


class Blame(StrEnum):
    """The classes of failure."""

    INPUT = "input"
    WORKFLOW = "workflow"
    MISSING = "missing"
    OUT_OF_MEMORY = "out_of_memory"
    POISONED_GPU = "poisoned_gpu"
    UNREACHABLE = "unreachable"
    SERVER_LOST = "server_lost"
    INTERRUPTED = "interrupted"
    HANG = "hang"
    STORAGE = "storage"
    POLICY = "policy"
    OUR_BUG = "our_bug"
