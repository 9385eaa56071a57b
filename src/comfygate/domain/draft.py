"""Drafts a manifest from a graph: literals become parameters, nodes that load a file become inputs. Pure.

A draft is made to be edited. Bounds are those of the field's usual range, widened to hold the graph's own
value; what could not be mapped is said, and stays in the graph as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from comfygate.domain.evidence import MODEL_FILE
from comfygate.domain.graph import Graph, Node, is_link, lane_candidates
from comfygate.domain.workflow import SEED_MAX, TEXT_CHARS_MAX

PARAMETERS_MAX: Final = 48
"""Most parameters that are drafted; what is beyond them is said."""
HOPS_MAX: Final = 8
"""How far a text's way to a sampler is followed."""

Range = tuple[float, float]
USUAL: Final[Mapping[str, Range]] = {
    "width": (64, 2048),
    "height": (64, 2048),
    "steps": (1, 60),
    "cfg": (1, 20),
    "guidance": (0, 20),
    "denoise": (0, 1),
    "batch_size": (1, 4),
    "length": (1, 241),
    "frames": (1, 241),
    "fps": (1, 60),
    "frame_rate": (1, 60),
    "crf": (0, 63),
    "quality": (1, 100),
    "scale_by": (0.25, 4),
    "blend_factor": (0, 1),
    "strength": (0, 2),
    "strength_model": (0, 2),
    "strength_clip": (0, 2),
    "shift": (0, 20),
}
_SEEDS: Final = frozenset({"seed", "noise_seed"})
_TEXT_FIELD: Final = re.compile(r"text|prompt|string|caption|lyrics|tags", re.IGNORECASE)
_TEXT_CLASS: Final = re.compile(r"text|prompt|string", re.IGNORECASE)
_NOT_OURS: Final = frozenset({"filename_prefix"})
_KINDS: Final = (("video", "video"), ("audio", "audio"), ("image", "image"), ("mask", "image"))


@dataclass(slots=True)
class Draft:
    """A manifest as TOML's values, and what its editor should know."""

    manifest: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def draft(
    name: str,
    graph: Graph,
    *,
    file_inputs: Mapping[str, Sequence[str]],
    output_nodes: Mapping[str, str],
    prices: Mapping[str, int],
) -> Draft:
    """A manifest for the graph. `prices` in credits, by lane; the first lane is the one of last resort."""
    return _Drafting(graph, file_inputs).draft(name, output_nodes, prices)


class _Drafting:
    def __init__(self, graph: Graph, file_inputs: Mapping[str, Sequence[str]]) -> None:
        self._graph = graph
        self._file_inputs = file_inputs
        self._inputs: dict[str, Any] = {}
        self._parameters: dict[str, Any] = {}
        self._notes: list[str] = []

    def draft(self, name: str, output_nodes: Mapping[str, str], prices: Mapping[str, int]) -> Draft:
        lanes = [lane for lane in lane_candidates(self._graph, output_nodes) if lane in prices]
        lane = max(lanes, key=lambda one: (prices[one], one)) if lanes else next(iter(prices))
        if not lanes:
            self._notes.append(f"no node that is known to save a result was found: lane {lane} is a guess")
        for node in sorted(self._graph.nodes.values(), key=lambda one: _natural(one.id)):
            for input_name, value in node.inputs.items():
                self._take(node, input_name, value)
        title = name.replace("-", " ").replace("_", " ").capitalize()
        manifest: dict[str, Any] = {
            "title": {"en": title, "zh": title},
            "description": {"en": f"{title}, from a graph of {len(self._graph.nodes)} nodes."},
            "lane": lane,
            "price": prices[lane],
            "graph": "graph.json",
        }
        if self._inputs:
            manifest["inputs"] = self._inputs
        if self._parameters:
            manifest["parameters"] = self._parameters
        return Draft(manifest, self._notes)

    def _take(self, node: Node, name: str, value: Any) -> None:
        place = f"{node.id}.{name}"
        if is_link(value) or name in _NOT_OURS:
            return
        if name in self._file_inputs.get(node.class_type, ()):
            self._take_file(node, name, place)
        elif isinstance(value, str) and MODEL_FILE.search(value):
            self._stays(node, place, f"the model {value!r}", "it must be on the servers")
        elif (drafted := self._parameter(node, name, value)) is None:
            self._stays(node, place, repr(value)[:60], "give it choices to make it a parameter")
        elif len(self._parameters) >= PARAMETERS_MAX:
            self._stays(node, place, repr(value)[:60], f"there are {PARAMETERS_MAX} parameters already")
        else:
            label = self._label(node, name)
            self._parameters[self._free(label, node, self._parameters)] = {
                "title": {"en": label.replace("_", " ").capitalize()},
                **drafted,
                "sets": [place],
            }

    def _stays(self, node: Node, place: str, what: str, why: str) -> None:
        self._notes.append(f"{place} ({node.class_type}) stays {what}: {why}")

    def _take_file(self, node: Node, name: str, place: str) -> None:
        kind = next((kind for word, kind in _KINDS if word in f"{node.class_type} {name}".lower()), None)
        if kind is None:
            self._stays(node, place, "as it is", "it takes a file that is neither picture, clip nor sound")
            return
        label = {"image": "picture", "video": "clip", "audio": "sound"}[kind]
        title = label if not self._inputs else f"{label} {len(self._inputs) + 1}"
        self._inputs[self._free(label, node, self._inputs)] = {
            "title": {"en": title.capitalize()},
            "kind": kind,
            "sets": [place],
        }

    def _parameter(self, node: Node, name: str, value: Any) -> dict[str, Any] | None:
        match value:
            case bool():
                return {"type": "bool", "default": value}
            case int() if name in _SEEDS:
                return {"type": "seed"}
            case int() | float():
                return _number(name, value)
            case str() if _TEXT_FIELD.search(name) or _TEXT_CLASS.search(node.class_type) or "\n" in value:
                return {"type": "text", "default": value, "chars_max": max(TEXT_CHARS_MAX, len(value))}
            case _:
                return None

    def _label(self, node: Node, name: str) -> str:
        """What users call it: a text is the prompt or the negative prompt by where it leads."""
        if _TEXT_FIELD.search(name) and name in {"text", "prompt", "clip_l", "t5xxl"}:
            ends = self._leads_to(node.id)
            if "negative" in ends and "positive" not in ends:
                return "negative_prompt"
            if "positive" in ends or "conditioning" in ends:
                return "prompt" if name in {"text", "prompt"} else f"prompt_{name}"
        return re.sub(r"[^a-z0-9_-]+", "_", name.lower()).strip("_-") or "value"

    def _leads_to(self, node_id: str) -> set[str]:
        found: set[str] = set()
        here, seen = {node_id}, {node_id}
        for _ in range(HOPS_MAX):
            after: set[str] = set()
            for node in self._graph.nodes.values():
                for name, value in node.inputs.items():
                    if is_link(value) and value[0] in here:
                        found.add(name)
                        if name not in {"positive", "negative"}:
                            after.add(node.id)
            here = after - seen
            seen |= here
        return found

    def _free(self, label: str, node: Node, taken: Mapping[str, Any]) -> str:
        label = label if label[0].isalpha() else f"value_{label}"
        plain = re.sub(r"[^a-z0-9_-]+", "_", node.id.lower())
        for name in (label, f"{label}_{plain}"):
            if name[:64] not in taken:
                return name[:64]
        return next(name for number in range(2, 10_000) if (name := f"{label[:50]}_{number}") not in taken)


def _number(name: str, value: int | float) -> dict[str, Any] | None:
    low, high = USUAL.get(name, (0, max(10.0, 4 * abs(value))))
    low, high = min(low, value), max(high, value)
    if abs(low) > SEED_MAX or abs(high) > SEED_MAX:
        return None
    if isinstance(value, float):
        return {"type": "float", "default": value, "min": float(low), "max": float(high)}
    drafted = {"type": "int", "default": value, "min": int(low), "max": int(high)}
    if name in {"width", "height"} and value % 8 == 0 and low % 8 == 0:
        drafted["step"] = 8
    return drafted


def _natural(node_id: str) -> list[tuple[int, str]]:
    parts = [part for part in re.split(r"(\d+)", node_id) if part]
    return [(int(part), "") if part.isascii() and part.isdigit() else (0, part) for part in parts]
