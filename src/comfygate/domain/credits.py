"""Integer credits and the few moves they can make.

An entry moves an amount from one side to another, so it is a balanced pair by its shape: entries cannot
fail to sum to zero. A side is an account's `available` or `held` credits, or one of the house's own accounts.
The moves of a hold follow the two-phase transfers of TigerBeetle: placed, then captured or released, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from comfygate.domain.errors import InvalidRequest

CREDITS_MAX = 10**15
"""Largest amount of one entry and largest balance, in credits; far below 2**63."""


class Side(StrEnum):
    """Where credits can be."""

    AVAILABLE = "available"
    HELD = "held"
    ISSUED = "issued"
    REVENUE = "revenue"


HOUSE: frozenset[Side] = frozenset({Side.ISSUED, Side.REVENUE})
"""Sides of the house's own accounts; `issued` is negative by what was ever granted."""


class EntryKind(StrEnum):
    """What an entry is for."""

    GRANT = "grant"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    MERGE_OUT = "merge_out"
    """Two accounts become one: what leaves the one ..."""
    MERGE_IN = "merge_in"
    """... and comes to the other."""
    WITHDRAW = "withdraw"
    """Taken back by the operator, who gives back what was paid for them."""


MOVES: Mapping[EntryKind, tuple[Side, Side]] = {
    EntryKind.GRANT: (Side.ISSUED, Side.AVAILABLE),
    EntryKind.HOLD: (Side.AVAILABLE, Side.HELD),
    EntryKind.CAPTURE: (Side.HELD, Side.REVENUE),
    EntryKind.RELEASE: (Side.HELD, Side.AVAILABLE),
    EntryKind.MERGE_OUT: (Side.AVAILABLE, Side.ISSUED),
    EntryKind.MERGE_IN: (Side.ISSUED, Side.AVAILABLE),
    EntryKind.WITHDRAW: (Side.AVAILABLE, Side.ISSUED),
}
"""Kind of entry to (from, to). The table's CHECK constraint is made from this."""

WORDS: Mapping[EntryKind, str] = {
    EntryKind.GRANT: "credits added",
    EntryKind.HOLD: "credits deducted",
    EntryKind.CAPTURE: "credits spent",
    EntryKind.RELEASE: "credits refunded",
    EntryKind.MERGE_OUT: "credits moved to the joined account",
    EntryKind.MERGE_IN: "credits brought from the joined account",
    EntryKind.WITHDRAW: "credits taken back, their price paid back",
}
"""What the user is told."""


class HoldState(StrEnum):
    """What became of a job's hold. `none`: the job was free."""

    NONE = "none"
    PLACED = "placed"
    CAPTURED = "captured"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Balance:
    """An account's credits. `available` can be spent; `held` is set aside for jobs that have not ended."""

    available: int
    held: int


def checked_amount(amount: object, *, field: str = "amount") -> int:
    """`amount` if it is a possible number of credits to move.

    Raises InvalidRequest naming `field` otherwise.
    """
    if isinstance(amount, bool) or not isinstance(amount, int) or not 1 <= amount <= CREDITS_MAX:
        raise InvalidRequest(
            f"{field} is {amount!r}: it must be a whole number of credits from 1 to {CREDITS_MAX}",
            details={"field": field},
        )
    return amount


def replay(entries: Iterable[tuple[EntryKind, int]]) -> Balance:
    """The balance that an account's entries (kind, amount), oldest first, add up to."""
    totals = {Side.AVAILABLE: 0, Side.HELD: 0, Side.ISSUED: 0, Side.REVENUE: 0}
    for kind, amount in entries:
        source, target = MOVES[kind]
        totals[source] -= amount
        totals[target] += amount
    return Balance(available=totals[Side.AVAILABLE], held=totals[Side.HELD])
