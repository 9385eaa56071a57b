"""A graph made ready to run: what is cached, what must run, and which node ComfyUI would take next."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfygate.simulator.files import Folders
from comfygate.simulator.node import NodeClass

_OPEN = ""


def links_of(node: Mapping[str, Any], node_class: NodeClass) -> list[tuple[str, str, int]]:
    """(input, source node, slot) of every declared input that is a link; what is not declared is ignored."""
    inputs = _inputs_of(node)
    return [
        (one.name, value[0], value[1])
        for one in node_class.inputs
        if isinstance(value := inputs.get(one.name), list) and len(value) == 2 and isinstance(value[0], str)
    ]


def _inputs_of(node: Mapping[str, Any]) -> dict[str, Any]:
    inputs = node.get("inputs")
    return dict(inputs) if isinstance(inputs, dict) else {}


def signatures(
    graph: Mapping[str, Any], catalog: Mapping[str, NodeClass], folders: Folders
) -> dict[str, str | None]:
    """By node a hash of its class, its inputs and all that lies upstream; None where a link leads nowhere.

    Node ids do not count, so the same node twice in a graph runs once, as in ComfyUI.
    """
    known: dict[str, str | None] = {}

    def sign(node_id: str) -> str | None:
        if node_id in known:
            return known[node_id] or None
        if node_id not in graph:
            return None
        known[node_id] = _OPEN
        node = graph[node_id]
        inputs = _inputs_of(node)
        for name, source, slot in links_of(node, catalog[node["class_type"]]):
            upstream = sign(source)
            if upstream is None:
                known[node_id] = None
                return None
            inputs[name] = {"from": upstream, "slot": slot}
        fingerprint = catalog[node["class_type"]].fingerprint
        changed = fingerprint(folders, inputs) if fingerprint else ""
        text = json.dumps([node["class_type"], changed, sorted(inputs.items())], default=str)
        known[node_id] = hashlib.sha256(text.encode()).hexdigest()
        return known[node_id]

    return {node_id: sign(node_id) for node_id in graph}


@dataclass(slots=True)
class Plan:
    """Nodes still to run; order of choice as in ComfyUI: outputs first, then what leads to one soonest."""

    links: Callable[[str], list[tuple[str, str, int]]]
    is_output: Callable[[str], bool]
    is_cached: Callable[[str], bool]
    _blockers: dict[str, set[str]] = field(default_factory=dict)

    def add(self, node_id: str) -> None:
        """Plan a node and all it needs that is not cached."""
        stack = [node_id]
        while stack:
            current = stack.pop()
            if current in self._blockers:
                continue
            needs = [source for _, source, _ in self.links(current) if not self.is_cached(source)]
            self._blockers[current] = set(needs)
            stack += needs

    def __bool__(self) -> bool:
        return bool(self._blockers)

    def next(self) -> str:
        """The node to run now."""
        ready = [node_id for node_id, blockers in self._blockers.items() if not blockers]
        for distance in range(3):
            for node_id in ready:
                if any(self.is_output(one) for one in self._at(node_id, distance)):
                    return node_id
        return ready[0]

    def done(self, node_id: str) -> None:
        """The node ran; what waited for it waits no longer."""
        del self._blockers[node_id]
        for blockers in self._blockers.values():
            blockers.discard(node_id)

    def _at(self, node_id: str, distance: int) -> list[str]:
        reached = [node_id]
        for _ in range(distance):
            reached = [one for one, blockers in self._blockers.items() if blockers.intersection(reached)]
        return reached
