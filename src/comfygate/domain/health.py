"""What a server is, by evidence, and whether it may take a job. Pure: time and evidence come from outside."""

from __future__ import annotations

from enum import StrEnum


class ServerState(StrEnum):
    """`up` takes jobs; `suspect` takes one at a time, whose end decides; the others take none."""

    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    DRAINING = "draining"
    QUARANTINED = "quarantined"
