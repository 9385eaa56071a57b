"""What follows from scores: the table of verdicts, and the rule that no setting turns off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfygate.domain.graph import parse_graph
from comfygate.domain.screening import (
    RULE_THRESHOLD,
    Action,
    Policy,
    Verdict,
    is_picture,
    judge,
    loads_pictures,
    may_make_pictures,
)

SCORES = st.floats(0, 1)
POLICIES = st.builds(
    Policy, enabled=st.booleans(), threshold=st.floats(0.001, 1), action=st.sampled_from(Action)
)
SAFE, EXPLICIT = 0.1, 0.9


@pytest.mark.parametrize(
    ("enabled", "action", "inputs", "outputs", "verdict"),
    [
        (True, Action.BLOCK, [], [SAFE], Verdict.DELIVER),
        (True, Action.BLOCK, [], [SAFE, EXPLICIT], Verdict.BLOCK),
        (True, Action.BLOCK, [EXPLICIT], [EXPLICIT], Verdict.BLOCK),
        (True, Action.BLOCK, [SAFE], [EXPLICIT], Verdict.RULE),
        (True, Action.REVIEW, [], [EXPLICIT], Verdict.HOLD),
        (True, Action.REVIEW, [EXPLICIT], [EXPLICIT], Verdict.HOLD),
        (True, Action.REVIEW, [SAFE], [EXPLICIT], Verdict.RULE),
        (True, Action.REVIEW, [SAFE, EXPLICIT], [EXPLICIT], Verdict.RULE),
        (True, Action.REVIEW, [EXPLICIT], [SAFE], Verdict.DELIVER),
        (False, Action.BLOCK, [], [EXPLICIT], Verdict.DELIVER),
        (False, Action.BLOCK, [EXPLICIT], [EXPLICIT], Verdict.DELIVER),
        (False, Action.BLOCK, [SAFE], [EXPLICIT], Verdict.RULE),
        (True, Action.BLOCK, [SAFE], [], Verdict.DELIVER),
    ],
)
def test_the_table_of_verdicts(
    enabled: bool, action: Action, inputs: list[float], outputs: list[float], verdict: Verdict
) -> None:
    assert judge(Policy(enabled, 0.8, action), inputs, outputs) is verdict


@given(POLICIES, st.lists(SCORES, max_size=3), st.lists(SCORES, max_size=3))
def test_no_setting_lets_an_explicit_output_of_a_safe_input_through(
    policy: Policy, inputs: list[float], outputs: list[float]
) -> None:
    verdict = judge(policy, inputs, outputs)
    safe = any(score < RULE_THRESHOLD for score in inputs)
    if safe and any(score >= RULE_THRESHOLD for score in outputs):
        assert verdict is Verdict.RULE


@given(POLICIES, st.lists(SCORES, max_size=3), st.lists(SCORES, max_size=3))
def test_what_is_explicit_by_the_settings_is_never_simply_delivered(
    policy: Policy, inputs: list[float], outputs: list[float]
) -> None:
    if policy.enabled and any(score >= policy.threshold for score in outputs):
        assert judge(policy, inputs, outputs) is not Verdict.DELIVER


def test_at_the_threshold_it_is_explicit() -> None:
    assert judge(Policy(threshold=0.5), [], [0.5]) is Verdict.BLOCK
    assert judge(Policy(threshold=0.5), [], [0.499]) is Verdict.DELIVER


def test_what_is_refused_and_what_is_covered() -> None:
    assert Policy().refuses(0.8)
    assert not Policy(action=Action.REVIEW).refuses(1.0)
    assert not Policy(enabled=False).refuses(1.0)
    assert Policy(enabled=False).covers(with_pictures=True)
    assert not Policy(enabled=False).covers(with_pictures=False)
    assert not Policy(threshold=1.0).may_show(RULE_THRESHOLD)


def test_kinds_of_files_and_nodes() -> None:
    assert is_picture("image/png")
    assert is_picture("video/mp4")
    assert not is_picture("image/svg+xml")
    assert not is_picture("audio/flac")
    assert loads_pictures("LoadImageMask")
    assert loads_pictures("VHS_LoadVideo")
    assert not loads_pictures("VHS_LoadAudioUpload")
    assert not loads_pictures("LoadLatent")


def test_only_graphs_known_to_make_no_picture_go_without_screening() -> None:
    outputs = ("SaveImage", "SaveAudio", "SaveLatent")
    for classes, may in ((("SaveAudio",), False), (("SaveAudio", "SaveImage"), True), (("Custom",), True)):
        raw = {str(n): {"class_type": name, "inputs": {}} for n, name in enumerate(classes)}
        assert may_make_pictures(parse_graph(raw, nodes_max=9), outputs) is may
