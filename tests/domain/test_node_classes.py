"""`/object_info` entries are read as ComfyUI 0.3.64 gave them, and a graph is checked against them."""

import json
from pathlib import Path
from typing import Any

import pytest

from comfygate.domain.errors import InvalidWorkflow
from comfygate.domain.graph import NodeClass, check_classes, node_class, parse_graph

TRANSCRIPTS = Path(__file__).parents[1] / "simulator" / "transcripts.json"
INVERT = {"input": {"required": {"image": ["IMAGE"]}}, "output": ["IMAGE"], "output_node": False}


def recorded(class_type: str) -> dict[str, Any]:
    """Give what a real ComfyUI answered to GET /object_info/{class_type}."""
    transcript = json.loads(TRANSCRIPTS.read_text(encoding="utf-8"))
    answers = [
        step["response_json"]
        for step in transcript["server_facts"]["http"]
        if step["path"] == f"/object_info/{class_type}"
    ]
    described: dict[str, Any] = answers[0][class_type]
    return described


@pytest.fixture(scope="module")
def classes() -> dict[str, NodeClass]:
    return {
        "LoadImage": node_class(recorded("LoadImage")),
        "SaveImage": node_class(recorded("SaveImage")),
        "ImageInvert": node_class(INVERT),
    }


def graph(**changed: Any) -> dict[str, Any]:
    nodes: dict[str, Any] = {
        "load": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
        "invert": {"class_type": "ImageInvert", "inputs": {"image": ["load", 0]}},
        "save": {"class_type": "SaveImage", "inputs": {"images": ["invert", 0], "filename_prefix": "x"}},
    }
    return {key: node for key, node in (nodes | changed).items() if node is not None}


def refusal(raw: dict[str, Any], classes: dict[str, NodeClass]) -> dict[str, list[dict[str, str]]]:
    with pytest.raises(InvalidWorkflow) as refused:
        check_classes(parse_graph(raw, nodes_max=10), classes)
    found: dict[str, list[dict[str, str]]] = (refused.value.details or {})["node_errors"]
    return found


def test_a_recorded_loader_takes_a_file_and_gives_two_outputs() -> None:
    assert node_class(recorded("LoadImage")) == NodeClass(
        required=frozenset({"image"}), output_count=2, is_output=False, file_fields=frozenset({"image"})
    )


def test_a_recorded_save_node_is_an_output_and_its_hidden_inputs_are_not_asked_for() -> None:
    assert node_class(recorded("SaveImage")) == NodeClass(
        required=frozenset({"images", "filename_prefix"}),
        output_count=0,
        is_output=True,
        file_fields=frozenset(),
    )


def test_the_newer_shapes_of_inputs() -> None:
    described = {
        "input": {
            "required": {
                "file": ["COMBO", {"video_upload": True, "options": ["a.mp4"]}],
                "parts": ["COMFY_AUTOGROW_V3", {"template": {}}],
                "plain": ["COMBO", {"image_upload": False}],
            },
            "optional": {"mask": [["m.png"], {"image_upload": True}], "strength": ["FLOAT", {}]},
        },
        "output": ["VIDEO"],
    }
    assert node_class(described) == NodeClass(
        required=frozenset({"file", "plain"}),
        output_count=1,
        is_output=False,
        file_fields=frozenset({"file", "mask"}),
    )


@pytest.mark.parametrize(
    "described",
    [
        {}, {"input": None}, {"input": []}, {"input": {"required": None}}, {"input": {"required": []}},
        {"output": None}, {"output": "IMAGE"}, {"input": {"optional": "x"}},
    ],
    ids=repr,
)  # fmt: skip
def test_an_unknown_shape_requires_nothing(described: dict[str, Any]) -> None:
    assert node_class(described) == NodeClass(frozenset(), 0, is_output=False, file_fields=frozenset())


@pytest.mark.parametrize("spec", [None, [], "IMAGE", ["IMAGE", None], ["IMAGE", []], [None], [{}]], ids=repr)
def test_an_odd_input_spec_is_still_a_required_input(spec: object) -> None:
    assert node_class({"input": {"required": {"x": spec}}}).required == {"x"}


def test_a_graph_that_the_server_can_run_passes(classes: dict[str, NodeClass]) -> None:
    check_classes(parse_graph(graph(), nodes_max=3), classes)


def test_an_unknown_class_is_named(classes: dict[str, NodeClass]) -> None:
    found = refusal(graph(odd={"class_type": "NoSuchNode", "inputs": {}}), classes)
    assert found == {"odd": [{"field": "class_type", "reason": "unknown_node_class: NoSuchNode"}]}


def test_every_missing_input_is_named(classes: dict[str, NodeClass]) -> None:
    found = refusal(graph(save={"class_type": "SaveImage", "inputs": {}}), classes)
    assert found == {
        "save": [
            {"field": "filename_prefix", "reason": "missing_input"},
            {"field": "images", "reason": "missing_input"},
        ]
    }


@pytest.mark.parametrize(("index", "sound"), [(0, True), (1, True), (2, False), (-1, False), (10**30, False)])
def test_a_link_must_end_at_an_output_that_exists(
    classes: dict[str, NodeClass], index: int, sound: bool
) -> None:
    raw = graph(invert={"class_type": "ImageInvert", "inputs": {"image": ["load", index]}})
    if sound:
        check_classes(parse_graph(raw, nodes_max=3), classes)
    else:
        reason = refusal(raw, classes)["invert"][0]["reason"]
        assert reason == f"broken_link: node 'load' has no output {index}"


def test_a_link_to_an_unknown_class_is_one_fault_not_two(classes: dict[str, NodeClass]) -> None:
    assert list(refusal(graph(load={"class_type": "NoSuchNode"}), classes)) == ["load"]


def test_a_graph_that_would_make_nothing_is_refused(classes: dict[str, NodeClass]) -> None:
    with pytest.raises(InvalidWorkflow, match="no output node"):
        check_classes(parse_graph(graph(save=None), nodes_max=3), classes)
