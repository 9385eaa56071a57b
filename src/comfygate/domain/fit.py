"""Whether a server can run a graph: has it the node classes, and the model files that the graph names. Pure.

Only model files are compared with what a server lists: other choices may be checked by a node's own code, and
a server that refuses one says so itself. A name that uses backslashes is the same file as with slashes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from comfygate.domain.errors import InvalidWorkflow
from comfygate.domain.evidence import MODEL_FILE
from comfygate.domain.graph import (
    Graph,
    Node,
    NodeClass,
    NodeErrors,
    check_classes,
    invalid_nodes,
    parse_graph,
)
from comfygate.domain.names import nearest

Classes = Mapping[str, NodeClass]


@dataclass(frozen=True, slots=True)
class Misfit:
    """Something a graph needs and a server has not: a node class, or with `field` a model file."""

    node_id: str
    class_type: str
    field: str | None = None
    name: str = ""

    def __str__(self) -> str:
        return f"has no node class {self.class_type}" if self.field is None else f"has no model {self.name}"


def lacks(classes: Classes, nodes_max: int, graph: str) -> str:
    """What a server with these classes has not that a graph (JSON text) needs, in words; '' if it has all."""
    found = misfits(parse_graph(json.loads(graph), nodes_max=nodes_max), classes)
    return str(found[0]) if found else ""


def misfits(graph: Graph, classes: Classes) -> tuple[Misfit, ...]:
    """Everything the graph needs and a server with these classes has not."""
    found: list[Misfit] = []
    for node in graph.nodes.values():
        known = classes.get(node.class_type)
        if known is None:
            found.append(Misfit(node.id, node.class_type))
            continue
        for field, name in _models_of(node):
            listed = known.models.get(field)
            if listed is not None and name not in listed and _plain(name) not in map(_plain, listed):
                found.append(Misfit(node.id, node.class_type, field, name))
    return tuple(found)


def _models_of(node: Node) -> list[tuple[str, str]]:
    return [
        (field, value)
        for field, value in node.inputs.items()
        if isinstance(value, str) and MODEL_FILE.search(value)
    ]


def _plain(name: str) -> str:
    return name.replace("\\", "/")


def model_names(graph: Graph) -> list[str]:
    """The model files that the graph names, by name."""
    return sorted({_plain(name) for node in graph.nodes.values() for _, name in _models_of(node)})


def models_digest(graph: Graph) -> str:
    """Which model files the graph names, whatever nodes load them: 16 hex digits, '' if it names none."""
    names = model_names(graph)
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] if names else ""


def check_fit(graph: Graph, servers: Iterable[Classes], *, may_be_others: bool) -> None:
    """Refuse a graph that none of the servers could ever run, as well as is known.

    `servers` are the node classes of each; `may_be_others`: there are servers that nobody could ask yet, and
    one of them might. Raises InvalidWorkflow, naming node, field and the nearest name that exists.
    """
    known = list(servers)
    if not known:
        return
    judged = [(misfits(graph, classes), classes) for classes in known]
    fitting = [classes for found, classes in judged if not found]
    if not fitting and may_be_others:
        return
    if not fitting:
        raise _missing(graph, min((found for found, _ in judged), key=len), known)
    _check_any(graph, fitting)


def _check_any(graph: Graph, fitting: list[Classes]) -> None:
    """Pass if one server finds the graph sound; else what the first of them says."""
    first: InvalidWorkflow | None = None
    for classes in fitting:
        try:
            check_classes(graph, classes)
        except InvalidWorkflow as refusal:
            first = first or refusal
        else:
            return
    if first is not None:
        raise first


def _missing(graph: Graph, found: tuple[Misfit, ...], known: list[Classes]) -> InvalidWorkflow:
    errors: NodeErrors = {}
    for one in found:
        if one.field is None:
            near = nearest(one.class_type, {name for classes in known for name in classes})
            field, reason = "class_type", f"unknown_node_class: {one.class_type}"
        else:
            near = nearest(one.name, _listed(known, one.class_type, one.field))
            field, reason = one.field, f"missing_model: {one.name}"
        if near in {one.class_type, one.name}:
            hint = "; another server has it, and none has all that this workflow needs"
        else:
            hint = f"; the nearest there is: {near}" if near else ""
        errors.setdefault(one.node_id, []).append({"field": field, "reason": reason + hint})
    return invalid_nodes(errors, graph.raw)


def _listed(known: list[Classes], class_type: str, field: str) -> set[str]:
    return {
        name
        for classes in known
        if class_type in classes
        for name in classes[class_type].models.get(field, ())
    }
