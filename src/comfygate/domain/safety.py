"""What a graph may hold before any server sees it: allowed node classes, harmless names, sane numbers. Pure.

Classes are allowed by name, so what nobody has thought of is refused. Strings are told apart by where they
stand: names of files and models may not be paths or addresses, prose may be anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from comfygate.domain.core_nodes import CORE_NODES, LOADERS, TEXTS_AND_VALUES
from comfygate.domain.errors import NodeNotAllowed
from comfygate.domain.graph import ASSET_TYPE, Graph, Node, NodeErrors, fault, invalid_nodes, is_link
from comfygate.domain.names import nearest
from comfygate.domain.paths import Place, path_fault, prompt_fault
from comfygate.domain.refused_nodes import REFUSED, why_refused

SIDE_MAX: Final = 16_384
"""Longest side of a picture, in pixels: ComfyUI's own limit, which values that come by a link pass by."""
INTEGER_MAX: Final = 2**64 - 1
INTEGER_MIN: Final = -(2**63)
HINTS_MAX: Final = 3
"""For how many unknown classes of one graph the nearest name is looked for: each costs milliseconds."""
SHOWN_CHARS_MAX: Final = 80
FIELD_CHARS_MAX: Final = 256
FOLLOWED_MAX: Final = 8
"""How many links are followed to the number that a primitive node holds."""

Spot = tuple[str, str]
_WRAPPED: Final = "__value__"
_UNWANTED_KEYS: Final = frozenset({"__proto__", "constructor", "prototype"})
_TEXT: Final = re.compile(
    r"(text|texts|prompt|string|caption|lyrics|tags|title|message|description|instructions?|question|query|notes?"
    r"|style|lighting|medium|photo|aesthetics|background|art_style|system|negative|positive|abc|bert|mt5xl|t5xxl"
    r"|llama|clip_[gl]|qwen25_7b|find|replace|substring|delimiter|value|values|key|choice|content|speech|label)"
    r"(_?[a-z0-9])?|(text|prompt|string)_.*|.*_(text|texts|prompt|string|description|message|coords|caption)"
)
"""Names of inputs that take prose, in whatever class."""
_PATHLIKE: Final = re.compile(r"file|path|folder|dir(ectory)?$|dir_|url|uri|address|endpoint", re.IGNORECASE)
_SIDE: Final = re.compile(r"(.*_)?(width|height)|largest_size|longer_edge|shorter_edge")
_COUNTS: Final = frozenset({
    "amount", "batch", "batch_size", "frame_count", "frames", "frames_number", "length", "max_frames",
    "max_iteration", "num_frames", "num_iterations", "repeats", "video_frames", "video_length",
})  # fmt: skip
_STEPS: Final = frozenset({"steps", "num_steps", "inference_steps", "num_inference_steps"})
_MODEL_FIELD: Final = re.compile(r".*_name\d*|model_path")
_TEXT_CLASSES: Final = frozenset((*TEXTS_AND_VALUES, "PreviewAny"))
_LOADERS: Final = frozenset(LOADERS)


@dataclass(frozen=True, slots=True)
class NodePolicy:
    """Which node classes graphs may use: the shipped ones, and what the operator adds and takes away.

    `added` holds names, names that end in `*` for all that begin so, and perhaps `*` alone for every class.
    `*` behind a prefix leaves out what is known to be dangerous: that must be named in full. `taken` wins.
    """

    added: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()

    @property
    def everything(self) -> bool:
        """Whether every class is allowed that is not taken away."""
        return "*" in self.added

    def allows(self, name: str) -> bool:
        if _matches(name, self.taken):
            return False
        if name in CORE_NODES or name in self.added or self.everything:
            return True
        return name not in REFUSED and _matches(name, self.added)

    def opened_by(self, names: Iterable[str]) -> frozenset[str]:
        """Those of the catalogue's classes that its use opens to all: not what is taken away, nor what is
        known to be dangerous, where the operator's own values are harmless and a caller's would not be."""
        return frozenset(name for name in names if name not in REFUSED and not _matches(name, self.taken))

    def known(self) -> frozenset[str]:
        """The names that can be told: for hints."""
        named = frozenset(name for name in self.added if not name.endswith("*"))
        return frozenset(name for name in CORE_NODES | named if self.allows(name))


def _matches(name: str, patterns: Collection[str]) -> bool:
    return name in patterns or any(
        pattern.endswith("*") and name.startswith(pattern[:-1]) for pattern in patterns
    )


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest numbers in a graph. `pixels_max`: width times height; `batch_max`: pictures or frames."""

    pixels_max: int = 8192 * 8192
    batch_max: int = 4096
    steps_max: int = 1000


@dataclass(frozen=True, slots=True)
class Trust:
    """What the operator vouches for, where a graph comes from the catalogue.

    `classes` are allowed besides the policy's. Only at `chosen` places (node id, input) did a caller write
    what stands there; None: everywhere.
    """

    classes: frozenset[str] = frozenset()
    chosen: frozenset[Spot] | None = None

    def vouches_for(self, node_id: str, name: str) -> bool:
        return self.chosen is not None and (node_id, name) not in self.chosen


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is known of the inputs of node classes: which take files, and which take prose, by class."""

    files: Mapping[str, Sequence[str]] = field(default_factory=dict)
    texts: Mapping[str, Collection[str]] = field(default_factory=dict)

    def is_file(self, node: Node, name: str) -> bool:
        return name in self.files.get(node.class_type, ())

    def is_text(self, node: Node, name: str, path: Iterable[str]) -> bool:
        """Whether the string at `path` inside this input is prose, which nothing opens as a file."""
        if node.class_type in _TEXT_CLASSES:
            return True
        keys = [part for key in (name, *path) for part in key.casefold().split(".")]
        if any(_PATHLIKE.search(key) for key in keys):
            return False
        return name in self.texts.get(node.class_type, ()) or any(_TEXT.fullmatch(key) for key in keys)


UNTRUSTED: Final = Trust()


def check_safety(
    graph: Graph, policy: NodePolicy, bounds: Bounds, inputs: Inputs, trust: Trust = UNTRUSTED
) -> None:
    """Refuse a graph that may not run here, with every fault by node and field.

    Raises NodeNotAllowed for node classes and InvalidWorkflow for structure, names and numbers. Takes time in
    proportion to the graph.
    """
    check_nodes(graph, policy, trust)
    errors: NodeErrors = {}
    for node in graph.nodes.values():
        for name, value in node.inputs.items():
            for reason in _faults_of(graph, node, name, value, inputs, trust):
                fault(errors, node.id, name, reason)
        for name, reason in _too_much(graph, node, bounds):
            fault(errors, node.id, name, reason)
    _check_cycles(graph, errors)
    if errors:
        raise invalid_nodes(errors, graph.raw)


def check_nodes(graph: Graph, policy: NodePolicy, trust: Trust = UNTRUSTED) -> None:
    """Refuse a graph for its node classes alone. Raises NodeNotAllowed."""
    errors: NodeErrors = {}
    reasons: dict[str, str] = {}
    for node in graph.nodes.values():
        name = node.class_type
        if name in trust.classes or policy.allows(name):
            continue
        if name not in reasons:
            reasons[name] = _why(name, policy, with_hint=len(reasons) < HINTS_MAX)
        fault(errors, node.id, "class_type", reasons[name])
    if errors:
        raise invalid_nodes(errors, graph.raw, NodeNotAllowed)


def _why(name: str, policy: NodePolicy, *, with_hint: bool) -> str:
    shown = name[:SHOWN_CHARS_MAX]
    why = "the operator has taken it away" if _matches(name, policy.taken) else why_refused(name)
    near = nearest(shown, policy.known()) if with_hint and why is None else None
    hint = f"; the nearest allowed name is {near}" if near else ""
    return (
        f"node_not_allowed: {shown} is not allowed here{f', as {why}' if why else ''}{hint};"
        " use another node, or ask the operator to allow it under allowed_nodes"
    )


def _faults_of(
    graph: Graph, node: Node, name: str, value: Any, inputs: Inputs, trust: Trust
) -> Iterator[str]:
    """Faults of one input, without those of numbers that are only too large for here."""
    if name in _UNWANTED_KEYS or len(name) > FIELD_CHARS_MAX or not name.isprintable():
        yield f"bad_field_name: inputs are named with 1 to {FIELD_CHARS_MAX} printable characters"
        return
    if isinstance(value, list | dict):
        yield from _link_faults(graph, node, name, value, inputs, trust)
        if is_link(value):
            return
    vouched = trust.vouches_for(node.id, name)
    if inputs.is_file(node, name) and not vouched:
        yield from _file_faults(value)
        return
    for path, inner in _leaves(value):
        if isinstance(inner, str) and not vouched:
            reason = _string_fault(node, name, path, inner, inputs)
        else:
            reason = _number_fault(inner) or (
                "bad_key: an object has a key that is none" if inner is _BAD_KEY else None
            )
        if reason:
            inside = ".".join(path)[:SHOWN_CHARS_MAX]
            yield f"{reason} (at {inside!r})" if inside else reason
            return


def _link_faults(
    graph: Graph, node: Node, name: str, value: Any, inputs: Inputs, trust: Trust
) -> Iterator[str]:
    if not is_link(value):
        inner = value.get(_WRAPPED) if isinstance(value, dict) else value
        # ComfyUI also follows links that are wrapped, or count their outputs in floats.
        if isinstance(inner, list) and len(inner) == 2 and _is_almost_link(graph, inner):
            yield "broken_link: write a link plainly as [node id, output]"
        return
    source = graph.nodes[value[0]]
    if value[0] == node.id:
        yield "self_link: a node cannot take its own output"
    if not 0 <= value[1] <= INTEGER_MAX:
        yield f"broken_link: node {value[0]!r} has no output {str(value[1])[:20]}"
    if trust.vouches_for(node.id, name):
        return
    if inputs.is_file(node, name):
        yield "file_by_link: this input takes an uploaded file, not what another node makes"
    elif node.class_type in _LOADERS and _MODEL_FIELD.fullmatch(name) and source.class_type in _TEXT_CLASSES:
        yield "model_by_link: write the model's name here, not in another node"


def _file_faults(value: Any) -> Iterator[str]:
    """A file is an asset, or the plain name of an own upload."""
    if isinstance(value, dict) and value.get("__type") == ASSET_TYPE:
        return
    if isinstance(value, str):
        reason = path_fault(value, Place.FILE)
        if reason:
            yield reason
    elif value is not None:
        yield f"not_a_file: give a {ASSET_TYPE} reference or the file name of an upload"


class _BadKey:
    """Stands for an object's key that no node has a use for."""


_BAD_KEY: Final = _BadKey()


def _leaves(value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value that holds no others, with the keys that lead to it; asset references are left out.

    The stack is on the heap: no nesting exhausts it.
    """
    waiting: list[tuple[tuple[str, ...], Any]] = [((), value)]
    while waiting:
        path, item = waiting.pop()
        if isinstance(item, dict):
            if item.get("__type") == ASSET_TYPE:
                continue
            for key, inner in item.items():
                name = str(key)
                yield from ((path, _BAD_KEY) for _ in range(name in _UNWANTED_KEYS))
                waiting.append((path if name == _WRAPPED else (*path, name), inner))
        elif isinstance(item, list):
            waiting.extend((path, inner) for inner in item)
        else:
            yield path, item


def _string_fault(node: Node, name: str, path: tuple[str, ...], text: str, inputs: Inputs) -> str | None:
    if name == "filename_prefix":
        return path_fault(text, Place.PREFIX)
    if inputs.is_text(node, name, path):
        return prompt_fault(text)
    return path_fault(text, Place.NAME)


def _is_almost_link(graph: Graph, pair: list[Any]) -> bool:
    return isinstance(pair[0], str) and pair[0] in graph.nodes and isinstance(pair[1], int | float)


def _number_fault(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return None if math.isfinite(value) else "not_finite: give a number that is one"
    if INTEGER_MIN <= value <= INTEGER_MAX:
        return None
    return f"number_too_large: whole numbers go from {INTEGER_MIN} to {INTEGER_MAX}"


def _too_much(graph: Graph, node: Node, bounds: Bounds) -> Iterator[tuple[str, str]]:
    """Numbers beyond the limits, as (field, reason). Numbers in text count, as ComfyUI reads them so."""
    found: dict[str, float] = {}
    for name, value in node.inputs.items():
        last = name.rpartition(".")[2]
        if not (_is_bounded(last) if len(last) <= FIELD_CHARS_MAX else _is_bounded.__wrapped__(last)):
            continue
        number = _number_of(graph, value)
        if number is None:
            continue
        found[last] = max(number, found.get(last, number))
        if last in _COUNTS and number > bounds.batch_max:
            yield name, f"over_limit: {number:.12g} is more than limits.batch_max, {bounds.batch_max}"
        elif last in _STEPS and number > bounds.steps_max:
            yield name, f"over_limit: {number:.12g} is more than limits.steps_max, {bounds.steps_max}"
        elif last == "megapixels" and number * 1024 * 1024 > bounds.pixels_max:
            yield name, f"over_limit: {number:.12g} is more than limits.pixels_max, {bounds.pixels_max}"
        elif _SIDE.fullmatch(last) and number > SIDE_MAX:
            yield name, f"over_limit: {number:.12g} is more than {SIDE_MAX} pixels"
    for width in [name for name in found if name.endswith("width")]:
        height = f"{width.removesuffix('width')}height"
        pixels = found[width] * found.get(height, 0.0)
        if min(found[width], found.get(height, 0.0)) > 0 and pixels > bounds.pixels_max:
            size = f"{found[width]:.12g} x {found[height]:.12g}"
            yield width, f"over_limit: {size} is more than limits.pixels_max, {bounds.pixels_max}"


@lru_cache(maxsize=1024)
def _is_bounded(last: str) -> bool:
    return last in _COUNTS or last in _STEPS or last == "megapixels" or _SIDE.fullmatch(last) is not None


def _number_of(graph: Graph, value: Any) -> float | None:
    """The number that this input will be, if the graph says it: also by way of primitive nodes."""
    for _ in range(FOLLOWED_MAX):
        if isinstance(value, dict):
            value = value.get(_WRAPPED)
        if not is_link(value):
            break
        source = graph.nodes[value[0]]
        if source.class_type not in _TEXT_CLASSES:
            return None
        value = source.inputs.get("value", source.inputs.get("seed"))
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None if isinstance(value, str) else math.inf


def _check_cycles(graph: Graph, errors: NodeErrors) -> None:
    """Find links that lead round in a circle: take away whatever waits for nothing until nothing is left."""
    sources = {
        node.id: [value[0] for value in node.inputs.values() if is_link(value) and value[0] != node.id]
        for node in graph.nodes.values()
    }
    takers: dict[str, list[str]] = {node_id: [] for node_id in sources}
    for node_id, wanted in sources.items():
        for source in wanted:
            takers[source].append(node_id)
    waits = {node_id: len(wanted) for node_id, wanted in sources.items()}
    ready = [node_id for node_id, count in waits.items() if count == 0]
    while ready:
        for taker in takers[ready.pop()]:
            waits[taker] -= 1
            if waits[taker] == 0:
                ready.append(taker)
    stuck = [node_id for node_id, count in waits.items() if count]
    if not stuck:
        return
    ring = _ring(sources, waits, stuck[0])
    node = graph.nodes[ring[0]]
    name = next(name for name, value in node.inputs.items() if is_link(value) and value[0] == ring[1])
    shown = " < ".join(part[:SHOWN_CHARS_MAX] for part in ring[:HINTS_MAX])
    fault(
        errors, node.id, name, f"cycle: the links lead round in a circle, {shown}{' < ...' * (len(ring) > 3)}"
    )


def _ring(sources: Mapping[str, list[str]], waits: Mapping[str, int], start: str) -> list[str]:
    """Ids of one circle, its first one last again. Every stuck node has a source that is stuck."""
    seen: dict[str, int] = {}
    walk: list[str] = []
    at = start
    while at not in seen:
        seen[at] = len(walk)
        walk.append(at)
        at = next(source for source in sources[at] if waits[source])
    return [*walk[seen[at] :], at]
