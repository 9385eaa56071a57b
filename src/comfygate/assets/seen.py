"""What the screening process tells of a picture: its size, and which of its bytes to keep. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """What a picture or clip is: pixels of its largest frame, and how many frames."""

    width: int
    height: int
    frames: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes of the file from `start` up to but without `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Zeros:
    """So many zero bytes in place of what stood there."""

    count: int


Piece = Kept | Zeros | bytes
"""A plan is a list of these: what is left of a file, in order."""


def length_of(piece: Piece) -> int:
    """Bytes of one piece."""
    match piece:
        case Kept(start, end):
            return end - start
        case Zeros(count):
            return count
        case bytes():
            return len(piece)


def size_of(pieces: list[Piece]) -> int:
    """Bytes of what a plan makes."""
    return sum(length_of(piece) for piece in pieces)
