"""Bad graphs are refused with the node and the field; no JSON raises anything but a GateError."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfygate.domain.errors import GateError, InvalidWorkflow, WorkflowFormatUi
from comfygate.domain.graph import (
    VALUE_DEPTH_MAX,
    NodeClass,
    check_classes,
    file_references,
    is_link,
    lane_candidates,
    parse_graph,
    rewrite,
)

GRAPH: dict[str, Any] = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "mine"}},
}


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels - 1):
        value = [value]
    return value


def faults(raw: object) -> dict[str, list[dict[str, str]]]:
    with pytest.raises(InvalidWorkflow) as refused:
        parse_graph(raw, nodes_max=10)
    details = refused.value.details or {}
    found: dict[str, list[dict[str, str]]] = details["node_errors"]
    return found


def test_a_sound_graph_is_read() -> None:
    graph = parse_graph(GRAPH, nodes_max=3)
    assert {node.id: node.class_type for node in graph.nodes.values()} == {
        "1": "LoadImage", "2": "ImageInvert", "3": "SaveImage",
    }  # fmt: skip
    assert graph.raw is GRAPH


def test_a_node_without_inputs_has_none() -> None:
    assert parse_graph({"1": {"class_type": "EmptyImage"}}, nodes_max=1).nodes["1"].inputs == {}


@pytest.mark.parametrize("raw", [None, [], "graph", 5, 1.5, True, [GRAPH]], ids=repr)
def test_what_is_not_an_object_is_refused(raw: object) -> None:
    with pytest.raises(InvalidWorkflow, match="must be an object"):
        parse_graph(raw, nodes_max=10)


def test_an_empty_graph_is_refused() -> None:
    with pytest.raises(InvalidWorkflow, match="has no nodes"):
        parse_graph({}, nodes_max=10)


@pytest.mark.parametrize(
    "extra", [{"links": []}, {"last_node_id": 9}, {"links": [], "version": 0.4}], ids=repr
)
def test_the_editors_own_format_is_told_apart(extra: dict[str, Any]) -> None:
    with pytest.raises(WorkflowFormatUi, match=r"Export \(API\)"):
        parse_graph({"nodes": [{"id": 1, "type": "LoadImage"}], **extra}, nodes_max=10)


def test_a_node_that_happens_to_be_called_nodes_is_no_editor_format() -> None:
    assert parse_graph({"nodes": GRAPH["1"], "links": GRAPH["1"]}, nodes_max=10).nodes.keys() == {
        "nodes",
        "links",
    }


def test_the_node_limit_is_exact() -> None:
    parse_graph(GRAPH, nodes_max=3)
    with pytest.raises(InvalidWorkflow, match="has 3 nodes; the limit is 2"):
        parse_graph(GRAPH, nodes_max=2)


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ("LoadImage", "", "not_a_node"),
        (None, "", "not_a_node"),
        ([], "", "not_a_node"),
        ({}, "class_type", "missing_class_type"),
        ({"class_type": ""}, "class_type", "missing_class_type"),
        ({"class_type": 7}, "class_type", "missing_class_type"),
        ({"class_type": ["A"]}, "class_type", "missing_class_type"),
        ({"class_type": "A", "inputs": []}, "inputs", "inputs_not_an_object"),
        ({"class_type": "A", "inputs": None}, "inputs", "inputs_not_an_object"),
        ({"class_type": "A", "inputs": {"x": ["9", 0]}}, "x", "broken_link"),
        ({"class_type": "A", "inputs": {"x": nested(VALUE_DEPTH_MAX + 1)}}, "x", "nested_too_deep"),
        ({"class_type": "A", "inputs": {"x": {"y": nested(VALUE_DEPTH_MAX)}}}, "x", "nested_too_deep"),
        ({"class_type": "A", "_meta": nested(600)}, "_meta", "nested_too_deep"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_every_bad_node_is_named_with_its_field(body: object, field: str, reason: str) -> None:
    found = faults({**GRAPH, "7": body})
    assert list(found) == ["7"]
    assert found["7"][0]["field"] == field
    assert found["7"][0]["reason"].startswith(reason)


def test_nesting_up_to_the_limit_is_fine() -> None:
    body = {"class_type": "A", "inputs": {"x": nested(VALUE_DEPTH_MAX)}}
    assert parse_graph({"1": body}, nodes_max=1).nodes["1"].inputs["x"] == nested(VALUE_DEPTH_MAX)


def test_all_faults_are_reported_at_once_and_the_first_in_words() -> None:
    raw = {
        "1": {"class_type": "A", "inputs": {"x": ["8", 0], "y": ["9", 0]}},
        "2": {"inputs": {}},
    }
    with pytest.raises(InvalidWorkflow) as refused:
        parse_graph(raw, nodes_max=10)
    assert {node: len(found) for node, found in faults(raw).items()} == {"1": 2, "2": 1}
    assert "and 2 more" in str(refused.value)


def test_the_words_name_node_class_and_field() -> None:
    with pytest.raises(InvalidWorkflow, match=r"^node 1 \(A\), field 'x': broken_link: node '8' is not"):
        parse_graph({"1": {"class_type": "A", "inputs": {"x": ["8", 0]}}}, nodes_max=1)


@pytest.mark.parametrize("node_id", ["", "\0", "1\n", "\ud800", "x" * 257], ids=ascii)
def test_a_node_id_that_no_database_column_takes_is_refused(node_id: str) -> None:
    with pytest.raises(InvalidWorkflow, match="node id"):
        parse_graph({node_id: GRAPH["1"]}, nodes_max=1)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["1", 0], True), (["1", 3], True), (["1", -1], True), (["1", True], False), (["1", "0"], False),
        ([1, 0], False), (["1"], False), (["1", 0, 0], False), ("1", False), ({"1": 0}, False), (None, False),
    ],
)  # fmt: skip
def test_what_a_link_is(value: object, expected: bool) -> None:
    assert is_link(value) is expected


TEXT = st.text(st.characters(codec=None), max_size=6) | st.sampled_from(
    ["1", "2", "core/ASSET", "LoadImage", "SaveImage", "..", "\0", "\ud800"]
)
JSON_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXT, inner, max_size=4)
        | st.fixed_dictionaries({"__type": st.just("core/ASSET") | inner}, optional={"info": inner})
        | st.tuples(st.sampled_from(["1", "2", "3"]), st.integers(-1, 3)).map(list)
    ),
    max_leaves=12,
)
NODE = st.fixed_dictionaries(
    {},
    optional={
        "class_type": st.sampled_from(["LoadImage", "SaveImage", "Odd"]) | JSON_VALUE,
        "inputs": st.dictionaries(
            st.sampled_from(["image", "images", "filename_prefix"]) | TEXT, JSON_VALUE, max_size=4
        )
        | JSON_VALUE,
        "_meta": JSON_VALUE,
    },
)
RAW_GRAPH = (
    st.dictionaries(st.sampled_from(["1", "2", "3"]) | TEXT, NODE | JSON_VALUE, max_size=5) | JSON_VALUE
)
CLASSES = {
    "LoadImage": NodeClass(frozenset({"image"}), 2, is_output=False, file_fields=frozenset({"image"})),
    "SaveImage": NodeClass(frozenset({"images"}), 0, is_output=True, file_fields=frozenset()),
}


def all_of_it(raw: object) -> None:
    """Everything submission and staging do with a graph."""
    graph = parse_graph(raw, nodes_max=4)
    lane_candidates(graph, {"SaveImage": "image"})
    references = file_references(graph, {"LoadImage": ["image"]})
    staged = {(reference.node_id, reference.path): "cg/name.png" for reference in references}
    json.dumps(rewrite(graph.raw, staged, folder="cg/a/b"))
    check_classes(graph, CLASSES)


@given(RAW_GRAPH)
@settings(max_examples=400)
def test_no_json_gets_anything_but_a_readable_refusal(raw: object) -> None:
    try:
        all_of_it(raw)
    except GateError as refusal:
        # What cannot be encoded cannot be answered: lone surrogates would break the reply itself.
        refusal.message.encode()
        json.dumps(refusal.details, ensure_ascii=False).encode()
