"""Which file goes to which node: decided before anything is sent, and refused when it is not plain."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from comfygate.cli.refusals import CommandError
from comfygate.domain.errors import GateError
from comfygate.domain.graph import ASSET_TYPE, Graph, parse_graph

GRAPH_NODES_MAX = 1_000_000
"""Only a bound against nonsense; the gateway has its own limit and says so."""


@dataclass(frozen=True, slots=True)
class Place:
    """An input of a node that names a file."""

    node: str
    field: str

    def __str__(self) -> str:
        return f"{self.node}.{self.field}"


@dataclass(frozen=True, slots=True)
class Given:
    """One `--input`: a file, and the place it was given for if one was named."""

    path: Path
    place: Place | None = None


def read_graph(raw: object, name: str) -> Graph:
    """Check the shape of a graph. Raises CommandError."""
    try:
        return parse_graph(raw, nodes_max=GRAPH_NODES_MAX)
    except GateError as error:
        raise CommandError(error.code, f"{name}: {error.message}", error.next_step, error.details) from error


def parse_given(graph: Graph, values: Sequence[str]) -> list[Given]:
    """Read `NODE.FIELD=FILE` or plain `FILE`. Raises CommandError for files and nodes that are not there."""
    return [_parse_one(graph, value) for value in values]


def _parse_one(graph: Graph, value: str) -> Given:
    left, equals, right = value.partition("=")
    node, dot, field = left.rpartition(".")
    named = bool(equals and dot) and not Path(value).is_file()
    if not named:
        return Given(_file(Path(value), value))
    if node not in graph.nodes:
        known = ", ".join(graph.nodes)
        raise _usage(f"--input {value!r}: the graph has no node {node!r}; it has {known}")
    if field not in graph.nodes[node].inputs:
        known = ", ".join(graph.nodes[node].inputs) or "no inputs"
        raise _usage(f"--input {value!r}: node {node} has no input {field!r}; it has {known}")
    return Given(_file(Path(right), value), Place(node, field))


def _file(path: Path, value: str) -> Path:
    if not path.is_file():
        raise CommandError("not_found", f"--input {value!r}: there is no file {path}")
    return path


def places(graph: Graph, file_inputs: Mapping[str, Sequence[str]]) -> list[Place]:
    """Inputs that take a file, in the order of their nodes; those linked to another node do not count."""
    return [
        Place(node.id, field)
        for node in sorted(graph.nodes.values(), key=lambda node: _natural(node.id))
        for field in file_inputs.get(node.class_type, ())
        if isinstance(node.inputs.get(field), str)
    ]


def _natural(node_id: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isascii() and part.isdigit() else (0, part) for part in _parts(node_id)]


def _parts(node_id: str) -> list[str]:
    return [part for part in re.split(r"(\d+)", node_id) if part]


def assign(
    graph: Graph, file_inputs: Mapping[str, Sequence[str]], given: Sequence[Given]
) -> dict[Place, Path]:
    """Each file's places. Named ones first, then those whose name the graph has, then free ones in order.

    Raises CommandError when files are left over, or when, after some were placed by order, inputs are.
    """
    chosen = {one.place: one.path for one in given if one.place is not None}
    free = [place for place in places(graph, file_inputs) if place not in chosen]
    unplaced: list[Path] = []
    for one in given:
        if one.place is not None:
            continue
        same = [place for place in free if _named_in(graph, place) == one.path.name]
        if not same:
            unplaced.append(one.path)
        for place in same:
            chosen[place] = one.path
            free.remove(place)
    if len(unplaced) > len(free):
        left = ", ".join(str(path) for path in unplaced[len(free) :])
        have = f"{len(free)} free file input{'' if len(free) == 1 else 's'}"
        raise _usage(f"--input: no place for {left}; the graph has {have}. Name one: --input NODE.FIELD=FILE")
    if unplaced and len(unplaced) < len(free):
        left = ", ".join(map(str, free))
        raise _usage(
            f"--input: {len(unplaced)} files for {len(free)} file inputs ({left}). "
            "Give one each, or name the places: --input NODE.FIELD=FILE"
        )
    return chosen | dict(zip(free, unplaced, strict=False))


def _named_in(graph: Graph, place: Place) -> str:
    """The file name in the graph, without folders and without ComfyUI's ` [input]`."""
    value = str(graph.nodes[place.node].inputs[place.field])
    plain = re.sub(r" \[(?:input|output|temp)\]$", "", value)
    return PurePosixPath(plain.replace("\\", "/")).name


def with_assets(raw: Mapping[str, Any], assets: Mapping[Place, Mapping[str, Any]]) -> dict[str, Any]:
    """The graph with a reference to each uploaded asset in its place."""
    filled: dict[str, Any] = copy.deepcopy(dict(raw))
    for place, asset in assets.items():
        filled[place.node]["inputs"][place.field] = {
            "__type": ASSET_TYPE,
            "info": {"id": asset["id"], "hash": asset.get("hash"), "file_path": asset.get("file_path")},
        }
    return filled


def _usage(message: str) -> CommandError:
    return CommandError("usage", message)
