"""The catalogue on disk: loaded, looked at again when something changes, the good ones never lost."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from comfygate.domain.errors import NotFound
from comfygate.gate.catalogue import Shelf, no_workflows
from comfygate.gate.manifest import House

HOUSE = House(frozenset({"image"}), frozenset({"regular"}))
GRAPH = {"1": {"class_type": "SaveImage", "inputs": {"n": 1}}}
MANIFEST = 'title = "One"\ndescription = "It."\nlane = "image"\nprice = {price}\n'


def write(folder: Path, *, price: object = 1, graph: object = GRAPH, name: str = "one") -> None:
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "workflow.toml").write_text(MANIFEST.format(price=price), encoding="utf-8")
    (path / "graph.json").write_text(json.dumps(graph), encoding="utf-8")
    later = path.stat().st_mtime + len(list(path.iterdir())) + len(str(price)) + len(str(graph))
    os.utime(path / "workflow.toml", (later, later))


def shelf(folder: Path) -> Shelf:
    return Shelf(folder, HOUSE, nodes_max=10)


def test_a_folder_that_is_not_there_is_an_empty_catalogue(tmp_path: Path) -> None:
    assert shelf(tmp_path / "none").now().workflows == {}
    assert no_workflows().now().workflows == {}


def test_one_bad_workflow_leaves_the_others(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, name="two", price=-1)
    (tmp_path / "three").mkdir()
    write(tmp_path, name="Four")
    write(tmp_path, name="ui", graph={"nodes": [], "links": []})
    write(tmp_path, name="big", graph={str(n): GRAPH["1"] for n in range(20)})
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "readme.txt").write_text("x", encoding="utf-8")
    found = shelf(tmp_path).now()
    assert set(found.workflows) == {"one"}
    said = {name: str(faults[0]) for name, faults in found.faults.items()}
    assert said["two"].endswith("two/workflow.toml: price: -1: Input should be greater than or equal to 0")
    assert "is not there" in said["three"]
    assert "a-z" in said["Four"]
    assert "Export (API)" in said["ui"]
    assert "the limit is 10" in said["big"]


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("workflow.toml", b"title = ", "is not TOML"),
        ("workflow.toml", b"\xff\xfe", "is not UTF-8"),
        ("graph.json", b"{", "is not JSON"),
        ("graph.json", b"[" * 100_000, "is not JSON"),
        ("graph.json", b"[]", "must be an object"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path: Path, file: str, content: bytes, says: str) -> None:
    write(tmp_path)
    (tmp_path / "one" / file).write_bytes(content)
    (fault,) = shelf(tmp_path).now().faults["one"]
    assert fault.file.endswith(f"one/{file}")
    assert says in fault.reason


def test_changes_are_seen_and_a_workflow_that_breaks_stays_as_it_was(tmp_path: Path) -> None:
    write(tmp_path)
    kept = shelf(tmp_path)
    assert kept.now().named("one").price.price({}) == 1
    write(tmp_path, price=22)
    write(tmp_path, name="two")
    assert kept.now().named("one").price.price({}) == 1
    assert kept.look().named("one").price.price({}) == 22
    assert set(kept.now().workflows) == {"one", "two"}
    write(tmp_path, price='"nonsense("')
    found = kept.look()
    assert found.named("one").price.price({}) == 22
    assert "not a formula" in found.faults["one"][0].reason
    assert kept.look().faults.keys() == {"one"}
    write(tmp_path, price=4444)
    assert kept.look().faults == {}
    assert kept.now().named("one").price.price({}) == 4444
    for path in (tmp_path / "one").iterdir():
        path.unlink()
    (tmp_path / "one").rmdir()
    assert set(kept.look().workflows) == {"two"}


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, name="restyle")
    with pytest.raises(NotFound, match="did you mean 'restyle'"):
        shelf(tmp_path).now().named("restile")
