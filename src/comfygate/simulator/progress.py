"""How far each node of a running prompt is, told as ComfyUI does: all nodes touched so far, every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Send = Callable[[str, Mapping[str, Any]], None]


class ProgressRegistry:
    """State by node of one run; every change sends one `progress_state`."""

    def __init__(self, prompt_id: str, send: Send) -> None:
        self._prompt_id = prompt_id
        self._send = send
        self._nodes: dict[str, dict[str, Any]] = {}

    def start(self, node_id: str) -> None:
        """The node began."""
        self._set(node_id, 0.0, 1.0, "running")

    def update(self, node_id: str, value: int, maximum: int) -> None:
        """The node did `value` of `maximum` steps; sends `progress` as well."""
        self._set(node_id, value, maximum, "running")
        self._send(
            "progress", {"value": value, "max": maximum, "prompt_id": self._prompt_id, "node": node_id}
        )

    def finish(self, node_id: str) -> None:
        """The node is done; a cached one was never started."""
        maximum = self._nodes.get(node_id, {"max": 1})["max"]
        self._set(node_id, maximum, maximum, "finished")

    def about(self, node_id: str) -> dict[str, Any]:
        """The node's names, as preview metadata carries them."""
        return {
            "node_id": node_id,
            "prompt_id": self._prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }

    def _set(self, node_id: str, value: float, maximum: float, state: str) -> None:
        self._nodes[node_id] = {"value": value, "max": maximum, "state": state, **self.about(node_id)}
        nodes = {key: dict(entry) for key, entry in self._nodes.items()}
        self._send("progress_state", {"prompt_id": self._prompt_id, "nodes": nodes})
