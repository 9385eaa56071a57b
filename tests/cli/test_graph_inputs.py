"""Which file goes where: by name, by place, in order, and refused when it is not plain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from comfygate.cli.graph_inputs import Place, assign, parse_given, places, read_graph, with_assets
from comfygate.cli.refusals import CommandError

TABLE = {"LoadImage": ["image"], "LoadVideo": ["file"]}


def graph(**images: str) -> Any:
    nodes = {
        node.removeprefix("n"): {"class_type": "LoadImage", "inputs": {"image": image}}
        for node, image in images.items()
    }
    return read_graph(nodes, "graph.json")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.png", "b.png", "c.png", "x=y.png", "1.image=z.png"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def chosen(parsed: Any, *values: str) -> dict[str, str]:
    found = assign(parsed, TABLE, parse_given(parsed, values))
    return {str(place): path.name for place, path in found.items()}


def test_nodes_are_taken_in_their_natural_order() -> None:
    parsed = graph(n10="x.png", n9="x.png", n2="x.png")
    assert [place.node for place in places(parsed, TABLE)] == ["2", "9", "10"]


def test_a_linked_input_takes_no_file() -> None:
    raw = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "2": {"class_type": "LoadImage", "inputs": {"image": ["1", 0]}},
    }
    assert places(read_graph(raw, "g"), TABLE) == [Place("1", "image")]


@pytest.mark.parametrize(
    ("images", "values", "wanted"),
    [
        ({"n1": "x.png"}, ["a.png"], {"1.image": "a.png"}),
        ({"n1": "x.png", "n2": "y.png"}, ["a.png", "b.png"], {"1.image": "a.png", "2.image": "b.png"}),
        ({"n1": "b.png", "n2": "a.png"}, ["a.png", "b.png"], {"2.image": "a.png", "1.image": "b.png"}),
        ({"n1": "d/b.png [input]", "n2": "y"}, ["a.png", "b.png"], {"1.image": "b.png", "2.image": "a.png"}),
        ({"n1": "a.png", "n2": "a.png"}, ["a.png"], {"1.image": "a.png", "2.image": "a.png"}),
        ({"n1": "x", "n2": "y"}, ["2.image=a.png", "b.png"], {"2.image": "a.png", "1.image": "b.png"}),
        ({"n1": "x.png", "n2": "y.png"}, ["2.image=a.png"], {"2.image": "a.png"}),
        ({"n1": "x.png", "n2": "a.png"}, ["a.png"], {"2.image": "a.png"}),
        ({"n1": "x.png"}, ["x=y.png"], {"1.image": "x=y.png"}),
        ({"n1": "x.png"}, ["1.image=z.png"], {"1.image": "1.image=z.png"}),
        ({"n1": "x.png"}, [], {}),
    ],
)  # fmt: skip
def test_files_find_their_places(
    here: Path, images: dict[str, str], values: list[str], wanted: dict[str, str]
) -> None:
    assert chosen(graph(**images), *values) == wanted


@pytest.mark.parametrize(
    ("values", "code", "says"),
    [
        (["a.png", "b.png", "c.png"], "usage", "no place for c.png; the graph has 2 free file inputs"),
        (["a.png"], "usage", "1 files for 2 file inputs (1.image, 2.image)"),
        (["9.image=a.png"], "usage", "the graph has no node '9'; it has 1, 2"),
        (["1.mask=a.png"], "usage", "node 1 has no input 'mask'; it has image"),
        (["none.png"], "not_found", "there is no file none.png"),
        (["1.image=none.png"], "not_found", "there is no file none.png"),
    ],
)
def test_what_is_not_plain_is_refused(here: Path, values: list[str], code: str, says: str) -> None:
    with pytest.raises(CommandError) as refused:
        chosen(graph(n1="x.png", n2="y.png"), *values)
    assert refused.value.code == code
    assert says in refused.value.message


def test_assets_take_the_place_of_names_and_the_graph_stays() -> None:
    parsed = graph(n1="x.png")
    filled = with_assets(parsed.raw, {Place("1", "image"): {"id": "u", "hash": None, "file_path": "a.png"}})
    assert filled["1"]["inputs"]["image"]["info"]["id"] == "u"
    assert parsed.raw["1"]["inputs"]["image"] == "x.png"


def test_the_editor_s_own_format_is_told_apart() -> None:
    with pytest.raises(CommandError, match="API format") as refused:
        read_graph({"nodes": [], "links": []}, "graph.json")
    assert refused.value.code == "workflow_format_ui"
