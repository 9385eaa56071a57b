"""Whether a server can run a graph: node classes and model files, and the nearest name when it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from comfygate.domain.errors import InvalidWorkflow
from comfygate.domain.fit import check_fit, misfits, models_digest
from comfygate.domain.graph import Graph, NodeClass, node_class, parse_graph

OLD = {"input": {"required": {"ckpt_name": [["SDXL/base.safetensors", "flux.safetensors"], {}]}}}
NEW = {"input": {"required": {"ckpt_name": ["COMBO", {"options": ["SDXL\\base.safetensors"]}]}}}
NONE: dict[str, Any] = {"input": {"required": {"ckpt_name": [[], {}]}}}
PLAIN = {"input": {"required": {"mode": [["a", "b"], {}], "image": ["IMAGE"]}}}
SAVE = {"input": {"required": {"images": ["IMAGE"]}}, "output_node": True}


def classes(loader: dict[str, Any], *without: str) -> dict[str, NodeClass]:
    found = {"Loader": node_class({**loader, "output": ["MODEL"]}), "Save": node_class(SAVE)}
    return {name: one for name, one in found.items() if name not in without}


def graph(name: str = "SDXL/base.safetensors", loader: str = "Loader") -> Graph:
    raw = {
        "1": {"class_type": loader, "inputs": {"ckpt_name": name}},
        "2": {"class_type": "Save", "inputs": {"images": ["1", 0]}},
    }
    return parse_graph(raw, nodes_max=10)


def refusal(wanted: Graph, *servers: dict[str, NodeClass]) -> str:
    with pytest.raises(InvalidWorkflow) as refused:
        check_fit(wanted, servers, may_be_others=False)
    return refused.value.message


def test_only_lists_with_model_files_in_them_are_kept() -> None:
    assert node_class(OLD).models == {"ckpt_name": {"SDXL/base.safetensors", "flux.safetensors"}}
    assert node_class(NEW).models == {"ckpt_name": {"SDXL\\base.safetensors"}}
    assert node_class(NONE).models == {"ckpt_name": frozenset()}
    assert node_class(PLAIN).models == {}


@pytest.mark.parametrize("loader", [OLD, NEW])
@pytest.mark.parametrize("name", ["SDXL/base.safetensors", "SDXL\\base.safetensors"])
def test_a_model_is_the_same_by_either_slash(loader: dict[str, Any], name: str) -> None:
    assert misfits(graph(name), classes(loader)) == ()


def test_what_is_missing_is_named() -> None:
    (model,) = misfits(graph("other.safetensors"), classes(OLD))
    assert str(model) == "has no model other.safetensors"
    (node,) = misfits(graph(), classes(OLD, "Loader"))
    assert str(node) == "has no node class Loader"
    assert misfits(graph(), classes(NONE)) != ()


def test_names_that_are_no_model_files_are_left_to_the_server() -> None:
    assert misfits(graph("Baked VAE"), classes(OLD)) == ()


def test_a_graph_is_refused_with_the_nearest_name_of_any_server() -> None:
    said = refusal(graph("SDXL/bass.safetensors"), classes(OLD), classes(NONE))
    assert "missing_model: SDXL/bass.safetensors; the nearest there is: SDXL/base.safetensors" in said
    said = refusal(graph(loader="Loadr"), classes(OLD))
    assert "unknown_node_class: Loadr; the nearest there is: Loader" in said
    assert "nearest" not in refusal(graph("zzz.gguf"), classes(NONE))


def test_one_server_that_fits_is_enough_and_one_unknown_may_be() -> None:
    check_fit(graph(), [classes(NONE), classes(OLD)], may_be_others=False)
    check_fit(graph("other.safetensors"), [classes(OLD)], may_be_others=True)
    check_fit(graph("other.safetensors"), [], may_be_others=False)


def test_a_server_that_fits_must_also_find_the_graph_sound() -> None:
    raw = {"1": {"class_type": "Loader", "inputs": {"ckpt_name": "flux.safetensors"}}}
    with pytest.raises(InvalidWorkflow, match="no output node"):
        check_fit(parse_graph(raw, nodes_max=10), [classes(OLD)], may_be_others=False)


def test_the_digest_is_that_of_the_model_files_alone() -> None:
    assert models_digest(graph("a.safetensors")) == models_digest(graph("a.safetensors", "Other"))
    assert models_digest(graph("x/a.ckpt")) == models_digest(graph("x\\a.ckpt"))
    assert models_digest(graph("a.safetensors")) != models_digest(graph("b.safetensors"))
    assert models_digest(graph("euler")) == ""
