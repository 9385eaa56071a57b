"""What a graph may do on a server: allowed nodes, one's own files, nothing outside, nothing endless. Pure.

A graph that passes names no path, no address and no file of anybody else's in any place where a node could
read it as one. Texts for people (prompts) may say what they like: no allowed node opens what they say.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import unquote

from comfygate.domain.core_nodes import CORE_NODES, REFUSED_NODES
from comfygate.domain.graph import ASSET_TYPE, Graph, Node, NodeErrors, invalid_nodes, is_link
from comfygate.domain.names import nearest

NUMBER_MAX: Final = 2**64 - 1
"""ComfyUI's largest seed; no other number comes near it."""
GROWTH_MAX: Final = 64
"""How many times as wide all scalings of a graph together may make a picture."""
NAMESPACE: Final = "comfygate"
"""First folder of everything this gateway puts on a server: no graph may name it."""

_TEXT_FIELDS: Final = re.compile(
    r"(^|_)(text|prompt|string|caption|lyrics|tags|negative|positive|clip_[lg]|t5xxl|llama|value|delimiter"
    r"|string_[ab]|substring|find|replace|prefix|suffix)(_|$)",
    re.IGNORECASE,
)
_TEXT_CLASSES: Final = re.compile(r"TextEncode|^String|^Primitive|^CaseConverter$|GLIGENTextBox")
_PATH_PREFIX: Final = "filename_prefix"
_ADDRESS: Final = re.compile(
    r"^\s*(?:[a-z][a-z0-9+.-]*:(?://|\\\\)|(?:data|javascript|file|blob):)", re.IGNORECASE
)
_ABSOLUTE: Final = re.compile(r"^\s*(?:[/\\]|~[/\\]?|[a-z]:|%[a-z]+%[/\\]|\$\{?[A-Z])", re.IGNORECASE)
_ANNOTATION: Final = re.compile(r"\[(?:input|output|temp)\]\s*$")
_COUNTS: Final = frozenset(
    {"batch_size", "amount", "repeats", "length", "frames", "num_frames", "video_frames", "batch", "count"}
)
_STEPS: Final = frozenset({"steps", "end_at_step", "num_steps"})
_SIDES: Final = (("width", "height"), ("target_width", "target_height"), ("resize_width", "resize_height"))
_GROWS: Final = frozenset({"scale_by", "upscale_by", "rescale_factor"})


@dataclass(frozen=True, slots=True)
class SafetyLimits:
    """The most that one node of a graph may ask for: pixels of a picture, pictures or frames, steps."""

    pixels_max: int = 67_108_864
    batch_max: int = 4096
    steps_max: int = 1000


@dataclass(frozen=True, slots=True)
class AllowedNodes:
    """The classes a graph may use: ComfyUI's own, `more` (names, patterns with * and ?), less `less`."""

    more: tuple[str, ...] = ()
    less: frozenset[str] = frozenset()
    _names: frozenset[str] = field(init=False)
    _patterns: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        patterns = tuple(one for one in self.more if "*" in one or "?" in one)
        object.__setattr__(self, "_names", (CORE_NODES | frozenset(self.more)) - self.less)
        object.__setattr__(self, "_patterns", patterns)

    def has(self, name: str) -> bool:
        """Whether graphs may use this class."""
        if name in self.less:
            return False
        return name in self._names or any(fnmatchcase(name, pattern) for pattern in self._patterns)

    def with_more(self, names: frozenset[str]) -> AllowedNodes:
        """These and the named ones; what was taken out stays out."""
        return AllowedNodes((*self.more, *names), self.less) if names - self._names else self

    def refusal(self, name: str) -> str:
        """Why a class that is not allowed is refused, and the way out."""
        if (why := REFUSED_NODES.get(name)) is not None:
            return f"node_not_allowed: {name}: {why}"
        near = nearest(name, self._names)
        hint = f"; did you mean {near}?" if near else ""
        return f"node_not_allowed: {name} is not among the allowed nodes{hint} (settings: allowed_nodes)"


def check_safe(
    graph: Graph,
    *,
    allowed: AllowedNodes | None,
    file_inputs: Mapping[str, Sequence[str]],
    limits: SafetyLimits,
) -> None:
    """Refuse a graph that could reach beyond its own files or never come to an end.

    `allowed` None: any node, for graphs of the operator's own. `file_inputs` maps classes to the inputs that
    take files. Raises InvalidWorkflow with every reason by node and field; linear in the graph.
    """
    errors: NodeErrors = {}

    def fault(node: Node, name: str, reason: str) -> None:
        shown = name if name.isprintable() else ascii(name)
        errors.setdefault(node.id, []).append({"field": shown[:128], "reason": reason})

    for node in graph.nodes.values():
        if allowed is not None and not allowed.has(node.class_type):
            fault(node, "class_type", allowed.refusal(node.class_type))
        files = file_inputs.get(node.class_type, ())
        for name, value in node.inputs.items():
            for reason in _faults_of(node, name, value, files):
                fault(node, name, reason)
        for name, reason in _too_much(node, limits):
            fault(node, name, reason)
    for node, name, reason in (*_cycles(graph), *_together(graph, limits)):
        fault(node, name, reason)
    if errors:
        raise invalid_nodes(errors, graph.raw)


def _faults_of(node: Node, name: str, value: Any, files: Sequence[str]) -> Iterator[str]:
    if not name.isprintable() or name.startswith("__"):
        yield "bad_field: names of inputs are printable and do not begin with __"
    if is_link(value):
        if name in files:
            yield "file_linked: an input that takes a file must name one of your uploads, not another node"
        if value[1] < 0:
            yield f"broken_link: node {value[0]!r} has no output {value[1]}"
        return
    text = _TEXT_FIELDS.search(name) is not None or _TEXT_CLASSES.search(node.class_type) is not None
    for one in _leaves(value):
        if isinstance(one, str):
            # A file input names an upload of the caller's or is refused as missing: it is never sent.
            reason = None if name in files else _bad_string(name, one, is_text=text)
            if reason is not None:
                yield reason
        elif isinstance(one, int | float) and abs(one) > NUMBER_MAX:
            yield f"number_too_large: the largest number is {NUMBER_MAX}"


def _leaves(value: Any) -> Iterator[Any]:
    """Every string and number inside, but for those of asset references. Depth was checked before."""
    if isinstance(value, dict):
        if value.get("__type") == ASSET_TYPE:
            return
        for key, inner in value.items():
            yield key
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _bad_string(name: str, value: str, *, is_text: bool) -> str | None:
    if is_text and name != _PATH_PREFIX:
        return None
    if "\0" in value:
        return "bad_name: it holds a NUL"
    plain = _plain(value)
    shown = ascii(value[:60])
    if _ADDRESS.search(plain):
        return f"address_not_allowed: {shown}; upload the file and name the upload"
    parts = [part.replace(" ", "") for part in re.split(r"[/\\]", plain)]
    if any(len(part) > 1 and set(part) == {"."} for part in parts):
        return f"path_not_allowed: {shown} leads out of its folder"
    if _ABSOLUTE.search(plain) and not (name == _PATH_PREFIX and plain.lstrip().startswith("%")):
        return f"path_not_allowed: {shown} is an absolute path"
    if len(parts) > 1 and parts[0].casefold() == NAMESPACE:
        return f"path_not_allowed: {shown} names files of the gateway's own"
    if _ANNOTATION.search(plain):
        return f"path_not_allowed: {shown} names another folder of the server; upload the file"
    return None


def _plain(value: str) -> str:
    """The string as the most lenient reader would take it: look-alikes folded, escapes undone, twice."""
    plain = unicodedata.normalize("NFKC", value)
    for _ in range(2):
        plain = unicodedata.normalize("NFKC", unquote(plain))
    return plain.replace("\u2215", "/").replace("\u2044", "/").replace("\u29f8", "/").replace("\u2024", ".")


def _numbers(node: Node, names: frozenset[str]) -> Iterator[tuple[str, float]]:
    for name, value in node.inputs.items():
        if name in names and isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value


def _too_much(node: Node, limits: SafetyLimits) -> Iterator[tuple[str, str]]:
    for name, value in _numbers(node, _COUNTS):
        if value > limits.batch_max:
            yield name, f"too_many: {value:g} is more than {limits.batch_max}"
    for name, value in _numbers(node, _STEPS):
        # 10000 is how ComfyUI writes 'to the end'.
        if value > limits.steps_max and not (name == "end_at_step" and value == 10_000):
            yield name, f"too_many: {value:g} steps are more than {limits.steps_max}"
    for width, height in _SIDES:
        sides = dict(_numbers(node, frozenset({width, height})))
        if sides and sides.get(width, 1) * sides.get(height, 1) > limits.pixels_max:
            yield next(iter(sides)), f"too_large: more than {limits.pixels_max} pixels"
    for name, value in _numbers(node, frozenset({"megapixels"})):
        if value * 1_000_000 > limits.pixels_max:
            yield name, f"too_large: more than {limits.pixels_max} pixels"


def _together(graph: Graph, limits: SafetyLimits) -> Iterator[tuple[Node, str, str]]:
    """What single nodes may do and all of them in a row may not."""
    pictures, growth = 1.0, 1.0
    for node in graph.nodes.values():
        for name, value in _numbers(node, frozenset({"batch_size", "amount", "repeats"})):
            pictures *= max(1.0, value)
            if pictures > limits.batch_max * 16:
                yield (
                    node,
                    name,
                    f"too_many: all nodes together make more than {limits.batch_max * 16} pictures",
                )
                return
        for name, value in _numbers(node, _GROWS):
            growth *= max(1.0, value)
            if growth > GROWTH_MAX:
                yield node, name, f"too_large: all scalings together are more than {GROWTH_MAX} times"
                return


def _cycles(graph: Graph) -> Iterator[tuple[Node, str, str]]:
    """A link that closes a circle, if there is one: ComfyUI would go round in it."""
    done: set[str] = set()
    for start in graph.nodes:
        if start in done:
            continue
        path: dict[str, Iterator[tuple[str, str]]] = {start: _sources(graph.nodes[start])}
        while path:
            here = next(reversed(path))
            step = next(path[here], None)
            if step is None:
                path.pop(here)
                done.add(here)
            elif step[1] in path:
                yield graph.nodes[here], step[0], f"cycle: it depends on itself by way of node {step[1]!r}"
                return
            elif step[1] not in done and step[1] in graph.nodes:
                path[step[1]] = _sources(graph.nodes[step[1]])


def _sources(node: Node) -> Iterator[tuple[str, str]]:
    return ((name, value[0]) for name, value in node.inputs.items() if is_link(value))
