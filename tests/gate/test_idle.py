"""Which servers could begin a job now, told apart by lane and by warm models."""

from __future__ import annotations

import random

from comfygate.gate.idle import Idle

LANES = ("image", "video", "audio")


def test_a_free_server_is_seen_by_those_beside_it_and_not_by_itself() -> None:
    idle = Idle()
    idle.note("a", ("image",), "flux")
    assert not idle.any_beside("a", ("image",))
    assert idle.warm_beside("a", ("image",)) == frozenset()
    assert idle.any_beside("b", ("image", "video"))
    assert idle.warm_beside("b", ("image",)) == {"flux"}
    assert not idle.any_beside("b", ("video",))


def test_a_server_that_warmed_other_models_or_went_is_known_as_such() -> None:
    idle = Idle()
    idle.note("a", ("image",), "flux")
    idle.note("a", ("image",), "sd")
    assert idle.warm_beside("b", ("image",)) == {"sd"}
    idle.forget("a")
    idle.forget("a")
    assert not idle.any_beside("b", ("image",))
    assert idle.warm_beside("b", ("image",)) == frozenset()


def test_it_says_what_a_look_through_all_servers_would() -> None:
    chance = random.Random(7)  # noqa: S311 - a plan, no secret
    idle, free = Idle(), dict[str, tuple[tuple[str, ...], str]]()
    names = [f"s{number}" for number in range(6)]
    for _ in range(2000):
        name = chance.choice(names)
        if chance.random() < 0.4:
            free.pop(name, None)
            idle.forget(name)
        else:
            lanes = tuple(chance.sample(LANES, chance.randint(1, 2)))
            free[name] = lanes, chance.choice(["", "flux", "sd"])
            idle.note(name, *free[name])
        asks, wanted = chance.choice(names), tuple(chance.sample(LANES, 2))
        beside = [warm for other, (lanes, warm) in free.items() if other != asks and set(lanes) & set(wanted)]
        assert idle.any_beside(asks, wanted) == bool(beside)
        assert idle.warm_beside(asks, wanted) == {warm for warm in beside if warm}
