"""Manifests: every kind of bad one is refused by its key, with the reason; the samples are all good."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from comfygate.domain.graph import parse_graph
from comfygate.domain.workflow import Kind, Workflow
from comfygate.gate.catalogue import load
from comfygate.gate.manifest import House, read_manifest
from comfygate.gate.manifest_shape import ManifestRefused, read_shape

SAMPLES = Path(__file__).parents[2] / "workflows"
HOUSE = House(frozenset({"image", "video"}), frozenset({"regular", "vip", "black_gold"}))
GRAPH = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
    "2": {
        "class_type": "Paint",
        "inputs": {"image": ["1", 0], "steps": 20, "text": "", "width": 512, "height": 512, "a.b": 1},
    },
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}},
}
GOOD = """
title = { en = "Paint", zh = "画" }
description = "Paints."
lane = "image"
price = "1 + steps / 10"
deliver = ["3"]
tiers = ["vip"]

[inputs.picture]
title = "Picture"
sets = ["1.image"]

[parameters.steps]
title = "Steps"
type = "int"
min = 1
max = 50
default = 20
sets = ["2.steps"]

[parameters.prompt]
title = "Prompt"
type = "text"
sets = ["2.text"]

[parameters.mode]
title = "Mode"
type = "choice"
choices = [1, 2]
default = 1
sets = ["2.a.b"]

[styles.quick]
title = "Quick"
price = 0
parameters = { steps = 4 }
set = { "2.image" = ["1", 1] }
"""


def manifest() -> dict[str, Any]:
    return tomllib.loads(GOOD)


def read(raw: dict[str, Any]) -> Workflow:
    return read_manifest("paint", read_shape(raw), parse_graph(copy.deepcopy(GRAPH), nodes_max=10), HOUSE)


def test_a_good_manifest_says_all_there_is() -> None:
    found = read(manifest())
    assert (found.title.en, found.title.zh, found.description.to_json()["zh"]) == ("Paint", "画", "Paints.")
    assert found.parameters["steps"].kind is Kind.INT
    assert found.parameters["mode"].targets == (("2", "a.b"),)
    assert found.styles["quick"].sets == {("2", "image"): ["1", 1]}
    assert found.styles["quick"].price.price({}) == 0
    assert found.deliver == ("3",)
    assert found.tiers == {"vip"}


def put(raw: dict[str, Any], path: str, value: Any) -> None:
    """Set a value by its path; None takes it away."""
    *steps, last = path.split("/")
    for step in steps:
        raw = raw.setdefault(step, {})
    if value is None:
        raw.pop(last)
    else:
        raw[last] = value


BAD: list[tuple[str, Any, str, str]] = [
    ("title", None, "title", "is missing"),
    ("title", {"zh": "x"}, "title.en", "is missing"),
    ("title", "", "title.en", "at least 1 character"),
    ("titel", "x", "titel", "did you mean 'title'"),
    ("description", 3, "description", "WordsPart"),
    ("lane", "imag", "lane", "did you mean 'image'"),
    ("price", -1, "price", "greater than or equal to 0"),
    ("price", 1.5, "price", "valid"),
    ("price", True, "price", "valid"),
    ("price", "steps +", "price", "not a formula"),
    ("price", "step", "price", "did you mean 'steps'"),
    ("price", "prompt", "price", "is no number among the parameters"),
    ("price", "pixels", "price", "'pixels' is no number"),
    ("price", "10 - steps", "price", "comes to -10"),
    ("price", "1 / (steps - 50)", "price", "divides by zero"),
    ("price", "1 / (2 - mode)", "price", "divides by zero"),
    ("price", "__import__('os')", "price", "cannot stand in a formula"),
    ("graph", "../other.json", "graph", "pattern"),
    ("graph", "graph.yaml", "graph", "pattern"),
    ("tiers", ["gold"], "tiers", "'gold' is no tier"),
    ("deliver", ["9"], "deliver", "'9' is no node of the graph"),
    ("inputs/picture/sets", ["7.image"], "inputs.picture.sets", "'7' is no node"),
    (
        "inputs/picture/sets",
        ["1.picture"],
        "inputs.picture.sets",
        "'picture' is no input of node 1 (LoadImage)",
    ),
    ("inputs/picture/sets", ["image"], "inputs.picture.sets.0", "pattern"),
    ("inputs/picture/sets", [], "inputs.picture.sets", "at least 1 item"),
    ("inputs/picture/kind", "pdf", "inputs.picture.kind", "'image', 'video' or 'audio'"),
    ("inputs/picture/same_as", "other", "inputs.picture.same_as", "no other required input"),
    ("inputs/picture/bytes_max", 0, "inputs.picture.bytes_max", "greater than or equal to 1"),
    ("parameters/steps/sets", ["2.image"], "parameters.steps.sets", "linked to another node"),
    ("parameters/prompt/sets", ["2.steps"], "parameters.prompt.sets", "set by parameters.steps already"),
    ("parameters/steps/sets", ["2.steps", "2.steps"], "parameters.steps.sets", "already"),
    ("parameters/steps/type", "integer", "parameters.steps.type", "'int'"),
    ("parameters/steps/max", None, "parameters.steps", "needs min and max"),
    ("parameters/steps/min", 60, "parameters.steps.min", "60 is more than max, 50"),
    ("parameters/steps/default", 99, "parameters.steps.default", "from 1 to 50"),
    ("parameters/steps/default", "20", "parameters.steps.default", "whole number"),
    ("parameters/steps/step", 0, "parameters.steps.step", "greater than 0"),
    ("parameters/steps/choices", [1], "parameters.steps.choices", "nothing else has any"),
    ("parameters/mode/choices", [], "parameters.mode.choices", "a choice needs its choices"),
    ("parameters/mode/default", 3, "parameters.mode.default", "must be one of 1, 2"),
    ("parameters/prompt/min", 3, "parameters.prompt", "belong to numbers"),
    ("parameters/prompt/chars_max", 0, "parameters.prompt.chars_max", "greater than or equal to 1"),
    (
        "parameters/Bad Name",
        {"title": "x", "type": "bool", "sets": ["2.text"]},
        "parameters.Bad Name",
        "pattern",
    ),
    ("parameters/steps/maximum", 3, "parameters.steps.maximum", "did you mean 'max'"),
    ("styles/quick/parameters", {"step": 3}, "styles.quick.parameters", "did you mean 'steps'"),
    ("styles/quick/parameters", {"steps": 99}, "styles.quick.parameters.steps", "from 1 to 50"),
    ("styles/quick/set", {"2.nothing": 1}, "styles.quick.set", "'nothing' is no input of node 2"),
    ("styles/quick/set", {"2.steps": 1}, "styles.quick.set", "is set by parameters.steps"),
    ("styles/quick/set", {"2.image": ["8", 0]}, "styles.quick.set", "'8' is no node"),
    ("styles/quick/price", "10 - steps", "styles.quick.price", "comes to -10"),
    ("styles/quick/tiers", ["vp"], "styles.quick.tiers", "did you mean 'vip'"),
]


@pytest.mark.parametrize(("path", "value", "key", "says"), BAD, ids=[f"{one[0]}={one[1]}" for one in BAD])
def test_a_bad_manifest_is_refused_by_its_key(path: str, value: Any, key: str, says: str) -> None:
    raw = manifest()
    put(raw, path, value)
    with pytest.raises(ManifestRefused) as refused:
        read(raw)
    assert [(found, reason) for found, reason in refused.value.found if found == key and says in reason], (
        refused.value.found
    )


def test_every_fault_is_told_at_once() -> None:
    raw = manifest()
    put(raw, "lane", "nowhere")
    put(raw, "deliver", ["9"])
    put(raw, "parameters/steps/default", 99)
    with pytest.raises(ManifestRefused) as refused:
        read(raw)
    assert [key for key, _ in refused.value.found] == ["lane", "parameters.steps.default", "deliver"]


@pytest.mark.parametrize("folder", sorted(path.name for path in SAMPLES.iterdir()))
def test_every_sample_is_good_and_speaks_both_languages(folder: str) -> None:
    found = load(SAMPLES / folder, HOUSE, nodes_max=2000)
    words = [found.title, found.description]
    words += [style.title for style in found.styles.values()]
    words += [parameter.title for parameter in found.parameters.values()]
    words += [wanted.title for wanted in found.inputs.values()]
    assert all(one.en for one in words)
    assert all(one.zh for one in words)
