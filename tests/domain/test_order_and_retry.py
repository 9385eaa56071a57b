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


places = st.builds(Place, st.sampled_from(["image", "video"]), *[st.integers(0, 3)] * 3)


def test_a_place_goes_by_priority_share_and_ticket_in_its_lane() -> None:
    a, b, c, d = (Place("image", *one) for one in ((0, 9, 3), (0, 9, 9), (100, 0, 8), (100, 5, 1)))
    assert a.before(b)
    assert b.before(c)
    assert c.before(d)
    assert not d.before(a)
    # Shares of two lanes have nothing to do with each other.
    assert Place("video", 100, 7, 5).before(c)


@given(places, places)
def test_of_two_places_one_goes_first_at_most(one: Place, other: Place) -> None:
    assert not (one.before(other) and other.before(one))
    assert not one.before(one)


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
