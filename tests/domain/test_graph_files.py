"""File references are found wherever they stand, and what a server gets writes below its own folder only."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfygate.domain.errors import MissingAsset
from comfygate.domain.graph import (
    PREFIX_CHARS_MAX,
    expected_outputs,
    file_references,
    harmless_prefix,
    lane_candidates,
    parse_graph,
    rewrite,
)

FOLDER = "cg/account/job-1"
FILE_INPUTS = {"LoadImage": ["image"], "LoadVideo": ["file"]}
OUTPUTS = {"SaveImage": "image", "PreviewImage": "image", "SaveVideo": "video"}


def asset(asset_id: object = "a-1") -> dict[str, Any]:
    return {"__type": "core/ASSET", "info": {"id": asset_id, "name": "photo.png"}}


def graph_of(**inputs: Any) -> dict[str, Any]:
    return {"4": {"class_type": "LoadImage", "inputs": inputs}}


def found_in(raw: dict[str, Any]) -> list[tuple[str, tuple[str | int, ...], str | None, str | None]]:
    graph = parse_graph(raw, nodes_max=100)
    return [(ref.node_id, ref.path, ref.asset_id, ref.name) for ref in file_references(graph, FILE_INPUTS)]


def test_a_plain_name_counts_only_in_an_input_that_takes_files() -> None:
    raw = graph_of(image="photo.png", note="photo.png") | {
        "5": {"class_type": "SaveImage", "inputs": {"image": "photo.png"}}
    }
    assert found_in(raw) == [("4", ("image",), None, "photo.png")]


def test_a_reference_counts_in_any_input_however_deep() -> None:
    raw = graph_of(
        image=asset("a"),
        batch=[asset("b"), "x", [1, asset("c")]],
        more={"k": {"l": [asset("d")]}},
        n=["4", 0],
    )
    assert found_in(raw) == [
        ("4", ("image",), "a", None),
        ("4", ("batch", 0), "b", None),
        ("4", ("batch", 2, 1), "c", None),
        ("4", ("more", "k", "l", 0), "d", None),
    ]


def test_a_reference_names_its_place_as_a_field() -> None:
    graph = parse_graph(graph_of(batch=[1, [asset()]]), nodes_max=1)
    assert [ref.field for ref in file_references(graph, {})] == ["batch.1.0"]


def test_objects_of_another_type_are_values() -> None:
    assert found_in(graph_of(image={"__type": "core/OTHER", "info": {"id": "x"}}, other={"id": "x"})) == []


@pytest.mark.parametrize(
    "malformed",
    [
        {"__type": "core/ASSET"},
        {"__type": "core/ASSET", "info": None},
        {"__type": "core/ASSET", "info": "a-1"},
        {"__type": "core/ASSET", "info": []},
        {"__type": "core/ASSET", "id": "a-1"},
        asset(""), asset(None), asset(7), asset(["a"]), asset({"id": "a"}),
    ],
    ids=repr,
)  # fmt: skip
def test_a_malformed_reference_is_refused_with_its_place(malformed: dict[str, Any]) -> None:
    graph = parse_graph(graph_of(batch=["x", malformed]), nodes_max=1)
    with pytest.raises(MissingAsset, match=r"^node 4 \(LoadImage\), field 'batch.1'") as refused:
        file_references(graph, FILE_INPUTS)
    assert refused.value.details == {
        "node_errors": {"4": [{"field": "batch.1", "reason": "missing_asset_id"}]}
    }


def test_staged_names_go_where_the_references_stood() -> None:
    raw = graph_of(image=asset("a"), batch=[asset("b"), [asset("c")]], more={"k": asset("d")}, keep=[1, 2])
    before = copy.deepcopy(raw)
    graph = parse_graph(raw, nodes_max=1)
    staged = {(ref.node_id, ref.path): f"cg/{ref.asset_id}.png" for ref in file_references(graph, {})}
    assert rewrite(raw, staged, folder=FOLDER)["4"]["inputs"] == {
        "image": "cg/a.png",
        "batch": ["cg/b.png", ["cg/c.png"]],
        "more": {"k": "cg/d.png"},
        "keep": [1, 2],
    }
    assert raw == before, "the caller's graph was changed"


def test_every_save_nodes_prefix_is_namespaced_and_nothing_else_changes() -> None:
    raw = {
        "1": {"class_type": "SaveImage", "inputs": {"filename_prefix": "mine"}, "_meta": {"title": "Save"}},
        "2": {"class_type": "SaveVideo", "inputs": {"filename_prefix": "video/ComfyUI", "codec": "h264"}},
        "3": {"class_type": "EmptyImage"},
    }
    sent = rewrite(raw, {}, folder=FOLDER)
    assert sent["1"] == {
        "class_type": "SaveImage",
        "inputs": {"filename_prefix": f"{FOLDER}/mine"},
        "_meta": {"title": "Save"},
    }
    assert sent["2"]["inputs"] == {"filename_prefix": f"{FOLDER}/ComfyUI", "codec": "h264"}
    assert sent["3"] == {"class_type": "EmptyImage"}


@pytest.mark.parametrize(
    ("prefix", "kept"),
    [
        ("mine", "mine"), ("Ünï-códe 1", "Ünï-códe 1"), ("../../etc/passwd", "passwd"), ("..", "output"),
        ("C:\\Windows\\x", "x"), ("%date:yyyy%", "date_yyyy"), ("%KSampler.seed%", "KSampler_seed"),
        ("a/", "output"), ("", "output"), ("   ", "output"), (["5", 0], "output"), (7, "output"),
        (None, "output"), ({"a": 1}, "output"), ("a\0b\nc", "a_b_c"), ("x" * 500, "x" * PREFIX_CHARS_MAX),
        ("y" * (PREFIX_CHARS_MAX - 1) + " z", "y" * (PREFIX_CHARS_MAX - 1)),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_kept_of_a_prefix(prefix: object, kept: str) -> None:
    assert harmless_prefix(prefix) == kept


@given(st.text(st.characters(codec=None)) | st.text('./\\%:*?"<>|~ ab\0\n'))
def test_no_prefix_leaves_the_jobs_folder(prefix: str) -> None:
    sent = rewrite({"1": {"class_type": "S", "inputs": {"filename_prefix": prefix}}}, {}, folder=FOLDER)
    result = sent["1"]["inputs"]["filename_prefix"]
    assert result.startswith(FOLDER + "/")
    name = result.removeprefix(FOLDER + "/")
    assert 1 <= len(name) <= PREFIX_CHARS_MAX
    assert not set(name) & set('/\\%.:*?"<>|\0\n')
    assert name == name.strip()
    name.encode()


def test_a_reference_in_a_prefix_is_no_way_around() -> None:
    raw = {"1": {"class_type": "S", "inputs": {"filename_prefix": asset()}}}
    sent = rewrite(raw, {("1", ("filename_prefix",)): "../../x.png"}, folder=FOLDER)
    assert sent["1"]["inputs"]["filename_prefix"] == f"{FOLDER}/x_png"


def test_lanes_and_expected_outputs_follow_from_the_output_nodes() -> None:
    def node(class_type: str) -> dict[str, Any]:
        return {"class_type": class_type, "inputs": {}}

    mixed = parse_graph({"1": node("SaveImage"), "2": node("SaveVideo"), "3": node("Odd")}, nodes_max=3)
    assert lane_candidates(mixed, OUTPUTS) == {"image", "video"}
    assert expected_outputs(mixed, OUTPUTS) == {"1", "2"}
    two = parse_graph({"1": node("SaveImage"), "2": node("PreviewImage")}, nodes_max=3)
    assert lane_candidates(two, OUTPUTS) == {"image"}
    assert lane_candidates(parse_graph({"1": node("Odd")}, nodes_max=1), OUTPUTS) == frozenset()
