"""Who goes first, how often something is tried, and what a refusal carries."""

import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfygate.domain import errors
from comfygate.domain.errors import GateError, SettingsError
from comfygate.domain.order import Place, Tier, tier_named
from comfygate.domain.retry import SubmitPolicy

TIERS = {name: Tier(name, priority, 10) for name, priority in (("regular", 100), ("black_gold", 0))}


def test_a_place_sorts_by_priority_then_ticket() -> None:
    places = [Place(100, 1), Place(0, 9), Place(100, 0), Place(0, 3)]
    assert sorted(places) == [Place(0, 3), Place(0, 9), Place(100, 0), Place(100, 1)]


@given(st.lists(st.builds(Place, st.integers(), st.integers()), min_size=2))
def test_places_order_as_the_pair_does(places: list[Place]) -> None:
    assert sorted(places) == [Place(*pair) for pair in sorted((p.priority, p.ticket) for p in places)]


def test_a_tier_is_found_by_name_or_refused_with_the_names_there_are() -> None:
    assert tier_named(TIERS, "black_gold").priority == 0
    with pytest.raises(
        SettingsError, match="'gold' is not in the settings; known tiers: black_gold, regular"
    ):
        tier_named(TIERS, "gold")


def test_a_prompt_is_sent_once_and_twice_more() -> None:
    policy = SubmitPolicy()
    tries = 1
    while policy.may_retry(tries):
        tries += 1
    assert (tries, policy.retry_seconds) == (3, 1.0)
    assert not SubmitPolicy(retries=0).may_retry(1)


def every_error() -> list[type[GateError]]:
    return [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GateError)]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_every_refusal_has_code_sentence_and_next_step(kind: type[GateError]) -> None:
    refusal = kind("a sentence", details={"field": "x"}, retry_after_seconds=3)
    assert str(refusal) == refusal.message == "a sentence"
    assert refusal.details == {"field": "x"}
    assert refusal.retry_after_seconds == 3
    assert refusal.code.isidentifier()
    assert refusal.code == refusal.code.lower()
    assert refusal.next_step.endswith(".")
    assert kind.__doc__


def test_the_tree_at_the_top_of_the_file_names_every_error() -> None:
    drawn = errors.__doc__ or ""
    missing = [kind.__name__ for kind in every_error() if kind.__name__ not in drawn]
    assert missing == []
