"""Credits are whole, moves balance, and a replay of entries is a balance."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfygate.domain.credits import (
    CREDITS_MAX,
    HOUSE,
    MOVES,
    WORDS,
    Balance,
    EntryKind,
    Side,
    checked_amount,
    replay,
)
from comfygate.domain.errors import InvalidRequest


@pytest.mark.parametrize("amount", [1, 2, CREDITS_MAX - 1, CREDITS_MAX])
def test_possible_amounts_pass_through(amount: int) -> None:
    assert checked_amount(amount) == amount


@pytest.mark.parametrize(
    "amount",
    [0, -1, CREDITS_MAX + 1, 2**63, 1.0, 1.5, float("nan"), "1", "", None, True, False, [], {}, b"1"],
    ids=repr,
)
def test_impossible_amounts_name_field_and_value(amount: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_amount(amount, field="price")
    assert str(refused.value).startswith(f"price is {amount!r}: ")
    assert refused.value.details == {"field": "price"}


def test_every_kind_has_a_move_between_two_sides_and_words() -> None:
    assert set(MOVES) == set(WORDS) == set(EntryKind)
    assert all(source is not target for source, target in MOVES.values())
    assert {side for move in MOVES.values() for side in move} == set(Side)
    # A user's hold never reaches the house before it is captured; only what is spent is revenue.
    assert {kind for kind, move in MOVES.items() if Side.HELD in move and set(move) & HOUSE} == {
        EntryKind.CAPTURE
    }
    assert {kind for kind, move in MOVES.items() if Side.REVENUE in move} == {EntryKind.CAPTURE}


def test_what_the_user_is_told() -> None:
    assert WORDS[EntryKind.HOLD] == "credits deducted"
    assert WORDS[EntryKind.RELEASE] == "credits refunded"


def test_replay_of_one_life() -> None:
    entries = [(EntryKind.GRANT, 100), (EntryKind.HOLD, 30), (EntryKind.HOLD, 5)]
    assert replay([]) == Balance(0, 0)
    assert replay(entries) == Balance(available=65, held=35)
    assert replay([*entries, (EntryKind.CAPTURE, 30)]) == Balance(available=65, held=5)
    assert replay([*entries, (EntryKind.RELEASE, 30)]) == Balance(available=95, held=5)


@given(st.lists(st.tuples(st.sampled_from(EntryKind), st.integers(1, CREDITS_MAX))))
def test_replay_does_not_depend_on_order_and_adds_up(entries: list[tuple[EntryKind, int]]) -> None:
    balance = replay(entries)
    assert balance == replay(reversed(entries))
    came_in = sum(amount for kind, amount in entries if MOVES[kind][0] in HOUSE)
    went_out = sum(amount for kind, amount in entries if MOVES[kind][1] in HOUSE)
    assert balance.available + balance.held == came_in - went_out
