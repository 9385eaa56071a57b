"""Looks are gathered, and the newest answers are remembered for a while."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from comfygate.gate import looks as module
from comfygate.gate.looks import Looks


class Counting:
    """Answers each key with how often anything was looked at."""

    def __init__(self) -> None:
        self.looks: list[list[str]] = []

    async def __call__(self, keys: Collection[str]) -> dict[str, int]:
        self.looks.append(list(keys))
        return {key: len(self.looks) for key in keys if key != "nobody"}


async def test_a_new_look_is_taken_for_who_asks_and_the_last_is_remembered() -> None:
    looks, look = Looks[str, int](), Counting()
    assert looks.lately("a", 60) is None
    assert await looks.now("a", look) == 1
    assert await looks.now("a", look) == 2
    assert looks.lately("a", 60) == 2
    assert looks.lately("a", -1) is None, "too long ago"
    assert await looks.now("nobody", look) is None
    assert looks.lately("nobody", 60) is None
    assert look.looks == [["a"], ["a"], ["nobody"]]


async def test_of_too_many_answers_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 2)
    looks, look = Looks[str, int](), Counting()
    for key in ("a", "b", "a", "c"):
        await looks.now(key, look)
    assert [looks.lately(key, 60) for key in ("a", "b", "c")] == [3, None, 4]
