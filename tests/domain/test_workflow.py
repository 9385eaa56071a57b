"""Orders: what users choose goes where the manifest says, and nothing else gets in."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfygate.domain.errors import InvalidRequest, WorkflowUnusable
from comfygate.domain.formula import read_formula
from comfygate.domain.workflow import (
    SEED_MAX,
    FileInput,
    FileKind,
    Kind,
    Order,
    Parameter,
    Style,
    Words,
    Workflow,
    checked_asset,
    ordered,
)

GRAPH: dict[str, Any] = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
    "2": {
        "class_type": "Paint",
        "inputs": {"image": ["1", 0], "steps": 20, "text": "", "seed": 1, "mode": "a"},
    },
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
}


def parameter(name: str, kind: Kind, field: str, **given: Any) -> Parameter:
    return Parameter(name, Words(name), kind, (("2", field),), **given)


def a_workflow(**changed: Any) -> Workflow:
    values: dict[str, Any] = {
        "name": "paint",
        "title": Words("Paint"),
        "description": Words("Paints."),
        "lane": "image",
        "price": read_formula("steps / 10"),
        "graph": copy.deepcopy(GRAPH),
        "parameters": {
            "steps": parameter("steps", Kind.INT, "steps", default=20, low=5, high=50, step=5),
            "prompt": parameter("prompt", Kind.TEXT, "text", chars_max=10),
            "seed": parameter("seed", Kind.SEED, "seed"),
        },
        "inputs": {"picture": FileInput("picture", Words("P"), FileKind.IMAGE, (("1", "image"),))},
    }
    return Workflow(**(values | changed))


def make(workflow: Workflow, style: str | None = None, inputs: Any = None, **values: Any) -> Any:
    order = Order(style, values, {"picture": "a-1"} if inputs is None else inputs)
    return ordered(workflow, order, seed=lambda: 7)


def test_choices_go_into_a_copy_of_the_graph() -> None:
    workflow = a_workflow()
    found = make(workflow, prompt="a boat", steps=30)
    inputs = found.graph["2"]["inputs"]
    assert (inputs["steps"], inputs["text"], inputs["seed"]) == (30, "a boat", 7)
    assert found.graph["1"]["inputs"]["image"] == {"__type": "core/ASSET", "info": {"id": "a-1"}}
    assert found.price == 3
    assert workflow.graph == GRAPH


def test_a_style_sets_its_own_and_gives_defaults_that_users_may_change() -> None:
    style = Style(
        "quick",
        Words("Quick"),
        read_formula(0),
        sets={("2", "mode"): "b"},
        values={"steps": 5, "prompt": "x"},
    )
    workflow = a_workflow(styles={"quick": style})
    found = make(workflow, "quick")
    assert found.graph["2"]["inputs"]["mode"] == "b"
    assert found.values["steps"] == 5
    assert found.price == 0
    assert make(workflow, "quick", steps=10).values["steps"] == 10
    with pytest.raises(InvalidRequest, match="name one of quick"):
        make(workflow)
    with pytest.raises(InvalidRequest, match="did you mean 'quick'"):
        make(workflow, "quik")
    with pytest.raises(InvalidRequest, match="has no styles"):
        make(a_workflow(), "quick", prompt="x")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, r"parameters\.prompt is missing"),
        ({"prompt": "a" * 11}, "has 11 characters; the most is 10"),
        ({"prompt": 3}, "must be text"),
        ({"prompt": "x", "steps": 4}, "from 5 to 50"),
        ({"prompt": "x", "steps": 51}, "from 5 to 50"),
        ({"prompt": "x", "steps": 7}, "multiple of 5"),
        ({"prompt": "x", "steps": 20.5}, "whole number"),
        ({"prompt": "x", "steps": True}, "whole number"),
        ({"prompt": "x", "steps": "20"}, "whole number"),
        ({"prompt": "x", "steps": [20]}, "steps is list"),
        ({"prompt": "x", "seed": -1}, "from 0"),
        ({"prompt": "x", "seed": SEED_MAX + 1}, "from 0"),
        ({"prompt": "x", "stepz": 20}, "did you mean 'steps'"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refusal:
        make(a_workflow(), **values)
    assert refusal.value.details is not None
    assert refusal.value.details["field"].startswith("parameters.")


@pytest.mark.parametrize(
    ("kind", "given", "text", "value"),
    [
        (Kind.INT, {"low": 0, "high": 9}, " 4 ", 4),
        (Kind.FLOAT, {"low": 0, "high": 9}, "4.5", 4.5),
        (Kind.FLOAT, {"low": 0, "high": 9}, "4", 4),
        (Kind.BOOL, {}, "Yes", True),
        (Kind.CHOICE, {"choices": (1.5, 2, 3)}, "2", 2),
        (Kind.CHOICE, {"choices": ("a", "b")}, "b", "b"),
        (Kind.TEXT, {}, " as it is ", " as it is "),
        (Kind.SEED, {}, "12", 12),
    ],
)
def test_typed_text_is_read_as_the_parameters_type(
    kind: Kind, given: dict[str, Any], text: str, value: object
) -> None:
    found = parameter("x", kind, "mode", **given).read(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "given", "text"),
    [
        (Kind.INT, {"low": 0, "high": 9}, "four"),
        (Kind.INT, {"low": 0, "high": 9}, "4.5"),
        (Kind.FLOAT, {"low": 0, "high": 9}, "nan"),
        (Kind.FLOAT, {"low": 0, "high": 9}, "inf"),
        (Kind.BOOL, {}, "perhaps"),
        (Kind.CHOICE, {"choices": ("a", "b")}, "c"),
    ],
)
def test_typed_nonsense_is_refused(kind: Kind, given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"parameters\.x"):
        parameter("x", kind, "mode", **given).read(text)


def test_an_input_is_needed_known_and_may_stand_for_another() -> None:
    with pytest.raises(InvalidRequest, match=r"inputs\.picture is missing"):
        make(a_workflow(), inputs={}, prompt="x")
    with pytest.raises(InvalidRequest, match=r"inputs\.photo is not an input"):
        make(a_workflow(), inputs={"picture": "a", "photo": "b"}, prompt="x")
    picture = FileInput("picture", Words("P"), FileKind.IMAGE, (("1", "image"),))
    mask = FileInput("mask", Words("M"), FileKind.IMAGE, (("2", "mode"),), same_as="picture")
    both = a_workflow(inputs={"picture": picture, "mask": mask})
    assert make(both, prompt="x").graph["2"]["inputs"]["mode"]["info"] == {"id": "a-1"}
    other = make(both, inputs={"picture": "a-1", "mask": "b-2"}, prompt="x")
    assert other.graph["2"]["inputs"]["mode"]["info"] == {"id": "b-2"}


def test_a_price_that_does_not_work_is_the_operators_to_mend() -> None:
    with pytest.raises(WorkflowUnusable, match="comes to -80"):
        make(a_workflow(price=read_formula("steps - 100")), prompt="x")


@pytest.mark.parametrize(
    ("content_type", "size", "says"),
    [
        ("video/mp4", 1, "must be a picture"),
        ("image/png", 11, "the most is 10"),
        ("text/plain", 1, "picture"),
    ],
)
def test_an_asset_of_the_wrong_kind_or_size_is_refused(content_type: str, size: int, says: str) -> None:
    wanted = FileInput("picture", Words("P"), FileKind.IMAGE, (("1", "image"),), bytes_max=10)
    checked_asset(wanted, "image/jpeg", 10)
    with pytest.raises(InvalidRequest, match=says):
        checked_asset(wanted, content_type, size)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.none() | st.text(max_size=10), st.dictionaries(st.sampled_from(["steps", "prompt", "seed", "x"]), JSON)
)
def test_whatever_is_sent_is_ordered_or_refused(style: str | None, values: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidRequest):
        found = ordered(a_workflow(), Order(style, values, {"picture": "a"}), seed=lambda: 1)
        assert 5 <= int(found.values["steps"]) <= 50
        assert found.price == -(-int(found.values["steps"]) // 10)
