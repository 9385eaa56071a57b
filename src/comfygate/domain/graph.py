"""API-format workflow graphs: reading them, finding what they refer to, and rewriting them for one attempt.

A graph is kept as the caller sent it. What a server gets is a copy in which every file reference is the name
its bytes were uploaded under, and every save node writes below a folder that belongs to that attempt alone.
Link and node shapes as ComfyUI's own `execution.py` reads them (seen on 0.3.64).
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from comfygate.domain.errors import InvalidWorkflow, MissingAsset, WorkflowFormatUi
from comfygate.domain.evidence import MODEL_FILE

VALUE_DEPTH_MAX = 32
"""Deepest nesting of lists and objects inside one input value."""
PREFIX_CHARS_MAX = 64
"""Longest part of a caller's filename_prefix that is kept, in characters."""
NODE_ID_CHARS_MAX = 256
"""Longest node id, in characters; it is kept beside inputs and outputs."""
ASSET_TYPE = "core/ASSET"

sorted_json = json.JSONEncoder(sort_keys=True).encode
"""JSON for digests. What is made once is not made for each graph."""

NodeErrors = dict[str, list[dict[str, str]]]
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a graph."""

    id: str
    class_type: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """A structurally sound graph: every node has a class, every link ends at a node."""

    nodes: Mapping[str, Node]
    raw: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeClass:
    """What a server says of one node class in `/object_info`, as far as submission needs it."""

    required: frozenset[str]
    output_count: int
    is_output: bool
    file_fields: frozenset[str]
    models: Mapping[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    """Inputs that choose from a list with model files in it, or from an empty one, and that list."""
    text_fields: frozenset[str] = frozenset()
    """Inputs of several lines, which hold prose."""


@dataclass(frozen=True, slots=True)
class FileReference:
    """A place in a graph that names a file: by asset id, or by the plain name of an earlier upload."""

    node_id: str
    path: Path
    asset_id: str | None
    name: str | None

    @property
    def field(self) -> str:
        return ".".join(str(part) for part in self.path)


def parse_graph(raw: object, *, nodes_max: int) -> Graph:
    """The graph in `raw`, decoded JSON of at most `nodes_max` nodes.

    Raises WorkflowFormatUi for the editor's own format and InvalidWorkflow, with every fault by node and
    field, for anything else that is not a sound API-format graph.
    """
    if not isinstance(raw, dict):
        raise InvalidWorkflow("workflow must be an object that maps node ids to nodes (API format)")
    if isinstance(raw.get("nodes"), list) and ("links" in raw or "last_node_id" in raw):
        raise WorkflowFormatUi(
            "this is the editor's own format (it has 'nodes' and 'links'), not the API format; "
            "in ComfyUI choose Workflow > Export (API) and send that file"
        )
    if not raw:
        raise InvalidWorkflow("workflow has no nodes")
    if len(raw) > nodes_max:
        raise InvalidWorkflow(f"workflow has {len(raw)} nodes; the limit is {nodes_max}")
    _check_ids(raw)
    errors: NodeErrors = {}
    nodes: dict[str, Node] = {}
    for node_id, body in raw.items():
        node = _parse_node(node_id, body, errors)
        if node is not None:
            nodes[node_id] = node
    for node in nodes.values():
        _check_links(node, raw, errors)
    if errors:
        raise invalid_nodes(errors, raw)
    return Graph(nodes=nodes, raw=raw)


def _check_ids(raw: Mapping[str, Any]) -> None:
    for node_id in raw:
        # A column of text takes neither NUL nor half a surrogate pair, and JSON can spell both.
        if not (node_id.isprintable() and 0 < len(node_id) <= NODE_ID_CHARS_MAX):
            shown = ascii(node_id[:NODE_ID_CHARS_MAX])
            raise InvalidWorkflow(f"node id {shown} must be 1 to {NODE_ID_CHARS_MAX} printable characters")


def _parse_node(node_id: str, body: object, errors: NodeErrors) -> Node | None:
    if not isinstance(body, dict):
        fault(errors, node_id, "", "not_a_node: an object with class_type and inputs is needed")
        return None
    class_type = body.get("class_type")
    inputs = body.get("inputs", {})
    if not isinstance(class_type, str) or not class_type or not class_type.isprintable():
        fault(errors, node_id, "class_type", "missing_class_type")
        return None
    if not isinstance(inputs, dict):
        fault(errors, node_id, "inputs", "inputs_not_an_object")
        return None
    # Keys beside the inputs (`_meta`) are carried along, so they must be as harmless to copy.
    beside = {key: value for key, value in body.items() if key != "inputs"}
    for field, value in (*inputs.items(), *beside.items()):
        if isinstance(value, dict | list) and _depth(value) > VALUE_DEPTH_MAX:
            fault(errors, node_id, field, f"nested_too_deep: more than {VALUE_DEPTH_MAX} levels")
            return None
    return Node(id=node_id, class_type=class_type, inputs=inputs)


def _depth(value: object) -> int:
    """Nesting depth, counted without recursion so that no input can exhaust the stack."""
    deepest, level = 0, [value]
    while level and deepest <= VALUE_DEPTH_MAX:
        inner: list[object] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        deepest += 1
        level = inner
    return deepest


def is_link(value: object) -> bool:
    """Whether an input value is a link: [node id, output index]."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    )


def _check_links(node: Node, raw: Mapping[str, Any], errors: NodeErrors) -> None:
    for field, value in node.inputs.items():
        if is_link(value) and value[0] not in raw:
            fault(errors, node.id, field, f"broken_link: node {value[0]!r} is not in the workflow")


def fault(errors: NodeErrors, node_id: str, field: str, reason: str) -> None:
    """Note one fault of a node's input; a name that cannot be printed is shown escaped."""
    shown = field if field.isprintable() else ascii(field)
    errors.setdefault(node_id, []).append({"field": shown, "reason": reason})


def invalid_nodes(
    errors: NodeErrors, raw: Mapping[str, Any], kind: type[InvalidWorkflow] = InvalidWorkflow
) -> InvalidWorkflow:
    """One InvalidWorkflow, of this `kind`, that names the first fault in words and has all in its details."""
    node_id, faults = next(iter(errors.items()))
    body = raw.get(node_id)
    class_type = body.get("class_type") if isinstance(body, dict) else None
    known = isinstance(class_type, str) and class_type.isprintable()
    label = f"node {node_id} ({class_type})" if known else f"node {node_id}"
    field = f", field {faults[0]['field']!r}" if faults[0]["field"] else ""
    others = sum(len(found) for found in errors.values()) - 1
    more = f" (and {others} more)" if others else ""
    return kind(f"{label}{field}: {faults[0]['reason']}{more}", details={"node_errors": errors})


def check_classes(graph: Graph, classes: Mapping[str, NodeClass]) -> None:
    """Refuse a graph that no server described by `classes` could run.

    Raises InvalidWorkflow for unknown node classes, required inputs left out, links to outputs that do not
    exist, and a graph without any output node.
    """
    errors: NodeErrors = {}
    for node in graph.nodes.values():
        known = classes.get(node.class_type)
        if known is None:
            fault(errors, node.id, "class_type", f"unknown_node_class: {node.class_type}")
            continue
        for field in sorted(known.required - node.inputs.keys()):
            fault(errors, node.id, field, "missing_input")
        for field, value in node.inputs.items():
            source = graph.nodes.get(value[0]) if is_link(value) else None
            source_class = classes.get(source.class_type) if source else None
            if source_class is not None and not 0 <= value[1] < source_class.output_count:
                fault(errors, node.id, field, f"broken_link: node {value[0]!r} has no output {value[1]}")
    if errors:
        raise invalid_nodes(errors, graph.raw)
    if not any(classes[node.class_type].is_output for node in graph.nodes.values()):
        raise InvalidWorkflow("workflow has no output node, so it would make nothing; add a save node")


def node_class(described: Mapping[str, Any]) -> NodeClass:
    """Read one entry of `/object_info`; unknown shapes read as 'requires nothing'."""
    inputs = described.get("input")
    sections = inputs if isinstance(inputs, dict) else {}
    required: set[str] = set()
    files: set[str] = set()
    models: dict[str, frozenset[str]] = {}
    texts: set[str] = set()
    for section in ("required", "optional"):
        fields = sections.get(section)
        for name, spec in (fields if isinstance(fields, dict) else {}).items():
            kind = spec[0] if isinstance(spec, list) and spec else None
            options = spec[1] if isinstance(spec, list) and len(spec) > 1 else None
            # V3 nodes declare growing inputs under names that never appear in a graph.
            if section == "required" and not (isinstance(kind, str) and kind.startswith("COMFY_")):
                required.add(name)
            if isinstance(options, dict) and any(key.endswith("_upload") and options[key] for key in options):
                files.add(name)
            elif (choices := _model_choices(kind, options)) is not None:
                models[name] = choices
            if isinstance(options, dict) and kind == "STRING" and options.get("multiline"):
                texts.add(name)
    outputs = described.get("output")
    return NodeClass(
        required=frozenset(required),
        output_count=len(outputs) if isinstance(outputs, list) else 0,
        is_output=bool(described.get("output_node")),
        file_fields=frozenset(files),
        models=models,
        text_fields=frozenset(texts),
    )


def _model_choices(kind: object, options: object) -> frozenset[str] | None:
    """The choices of a combo that has model files among them, or has none at all; else None.

    `kind` is the list itself, or COMBO with the list under `options` (V3 nodes).
    """
    listed = options.get("options") if kind == "COMBO" and isinstance(options, dict) else kind
    if not isinstance(listed, list):
        return None
    names = frozenset(name for name in listed if isinstance(name, str))
    if names and not any(MODEL_FILE.search(name) for name in names):
        return None
    return names


def node_classes(described: Mapping[str, Any]) -> dict[str, NodeClass]:
    """Every node class of a server's /object_info; what is not described as one is left out."""
    return {name: node_class(body) for name, body in described.items() if isinstance(body, dict)}


def file_references(graph: Graph, file_inputs: Mapping[str, Sequence[str]]) -> tuple[FileReference, ...]:
    """Every asset reference, and every plain file name in an input that takes files.

    `file_inputs` maps node class to the names of its file inputs. Raises MissingAsset, naming node and field,
    for a reference object without a usable id.
    """
    found: list[FileReference] = []
    for node in graph.nodes.values():
        file_fields = file_inputs.get(node.class_type, ())
        for field, value in node.inputs.items():
            if isinstance(value, str) and field in file_fields:
                found.append(FileReference(node.id, (field,), None, value))
                continue
            for path, reference in _assets_in(value, (field,)):
                found.append(FileReference(node.id, path, _asset_id(node, path, reference), None))
    return tuple(found)


def _assets_in(value: object, path: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    if isinstance(value, dict):
        if value.get("__type") == ASSET_TYPE:
            yield path, value
            return
        for key, item in value.items():
            yield from _assets_in(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _assets_in(item, (*path, index))


def _asset_id(node: Node, path: Path, reference: Mapping[str, Any]) -> str:
    info = reference.get("info")
    asset_id = info.get("id") if isinstance(info, dict) else None
    if isinstance(asset_id, str) and asset_id and asset_id.isprintable():
        return asset_id
    dotted = ".".join(str(part) for part in path)
    field = dotted if dotted.isprintable() else ascii(dotted)
    raise MissingAsset(
        f"node {node.id} ({node.class_type}), field {field!r}: a {ASSET_TYPE} reference needs info.id",
        details={"node_errors": {node.id: [{"field": field, "reason": "missing_asset_id"}]}},
    )


def workflow_digest(graph: Graph) -> str:
    """What the graph is, whatever its values: node classes, links, and the model files it names.

    Two jobs of one digest take about as long as each other, and hang alike. 16 hex digits.
    """
    shape = {
        node.id: [
            node.class_type,
            {
                field: value
                for field, value in sorted(node.inputs.items())
                if is_link(value) or (isinstance(value, str) and MODEL_FILE.search(value))
            },
        ]
        for node in graph.nodes.values()
    }
    return hashlib.sha256(sorted_json(shape).encode()).hexdigest()[:16]


def lane_candidates(graph: Graph, output_nodes: Mapping[str, str]) -> frozenset[str]:
    """The lanes that the graph's output nodes belong to, by the table class -> lane."""
    return frozenset(
        output_nodes[node.class_type] for node in graph.nodes.values() if node.class_type in output_nodes
    )


def expected_outputs(graph: Graph, output_nodes: Mapping[str, str]) -> frozenset[str]:
    """Ids of the nodes that must deliver something for the job to count as succeeded (invariant I9)."""
    return frozenset(node.id for node in graph.nodes.values() if node.class_type in output_nodes)


def rewrite(
    graph: Mapping[str, Any], staged: Mapping[tuple[str, Path], str], *, folder: str
) -> dict[str, Any]:
    """The copy of `graph` that a server gets.

    `staged` maps (node id, path inside its inputs) to the name the file was uploaded under. Every
    `filename_prefix` becomes `folder/` plus what is harmless of the caller's own prefix.
    """
    result: dict[str, Any] = copy.deepcopy(dict(graph))
    for (node_id, path), name in staged.items():
        target = result[node_id]["inputs"]
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = name
    for body in result.values():
        inputs = body.get("inputs", {})
        if "filename_prefix" in inputs:
            inputs["filename_prefix"] = f"{folder}/{harmless_prefix(inputs['filename_prefix'])}"
    return result


def harmless_prefix(value: object) -> str:
    """The last part of a caller's prefix, without separators, `..`, or anything ComfyUI would expand."""
    text = value if isinstance(value, str) else ""
    last = re.split(r"[\\/]", text)[-1]
    kept = re.sub(r"[^\w\- ]+", "_", last).strip(" _")[:PREFIX_CHARS_MAX]
    return kept.rstrip(" _") or "output"
