"""Telegram's limits hold for whatever is to be sent, on any clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfygate.bot.limits import Limits
from tests.bot.standin.limits import Refused, Windows

MESSAGES = st.lists(
    st.tuples(st.integers(-3, 5).filter(bool), st.integers(1, 10), st.floats(0, 3)), min_size=1, max_size=120
)


@given(MESSAGES)
def test_no_window_holds_more_than_telegram_takes(messages: list[tuple[int, int, float]]) -> None:
    limits, now = Limits(20), 0.0
    sent: list[tuple[float, int, int]] = []
    for chat, cost, pause in messages:
        now += pause
        now = limits.ready_at(chat, cost, now) + 1e-9
        limits.take(chat, cost, now)
        sent.append((now, chat, cost))
    for start, chat, _ in sent:
        in_second = [one for one in sent if start <= one[0] < start + 1]
        assert sum(cost for _, _, cost in in_second) <= 30
        in_minute = [cost for at, where, cost in sent if where == chat and start <= at < start + 60]
        if chat < 0:
            assert sum(in_minute) <= 20
        else:
            assert sum(in_minute) <= 4 + 60 + 9
            assert sum(where == chat for _, where, _ in in_second) <= 5


@given(st.integers(1, 60))
def test_a_held_chat_waits_and_others_do_not(seconds: int) -> None:
    limits = Limits(20)
    limits.hold(7, 100.0 + seconds)
    assert limits.ready_at(7, 1, 100.0) == 100.0 + seconds
    assert limits.ready_at(8, 1, 100.0) == 100.0
    limits.hold(None, 100.0 + seconds)
    assert limits.ready_at(8, 1, 100.0) == 100.0 + seconds


def test_a_thousand_chats_are_served_in_turn_and_none_is_starved() -> None:
    """One message to each of a thousand chats takes as long as the limit over all says, and no longer."""
    limits, now = Limits(20), 0.0
    for chat in range(1, 1001):
        now = limits.ready_at(chat, 1, now) + 1e-9
        limits.take(chat, 1, now)
    assert 49.0 < now < 50.0


def test_a_thousand_chats_stay_under_telegrams_limits_on_its_own_clock() -> None:
    """Each chat gets answers, edits and an album, as fast as they may go; the stand-in counts as Telegram."""
    now = [0.0]
    telegram = Windows(lambda: now[0])
    limits = Limits(20)
    waiting = [(chat, cost) for cost in (1, 1, 1, 10, 1) for chat in [*range(1, 951), *range(-50, 0)]]
    for chat, cost in waiting:
        now[0] = limits.ready_at(chat, cost, now[0]) + 1e-9
        limits.take(chat, cost, now[0])
        telegram.count(chat, cost)
    assert telegram.breaches == []
    # And no slower than the limit over all makes it.
    assert now[0] < sum(cost for _, cost in waiting) / 20 + 60


def test_the_stand_in_does_refuse_what_is_too_much() -> None:
    telegram = Windows(lambda: 0.0)
    for chat in range(1, 31):
        telegram.count(chat, 1)
    with pytest.raises(Refused) as refused:
        telegram.count(99, 1)
    assert refused.value.code == 429
    assert telegram.breaches == [("all", 99, 0.0)]
