"""From frames to one number: nodes done and the fraction of those at work, over the nodes of the sent graph.

Pure: no clock, no I/O. The number never falls. Servers that send `progress_state` are believed about what is
done; for older ones a node is done once another one executes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfygate.comfy.events import NodeProgress
from comfygate.comfy.frames import (
    Executed,
    Executing,
    ExecutionCached,
    NodeStep,
    ProgressState,
    ProgressStep,
    PromptFrame,
)


class ProgressTracker:
    """Progress of one prompt over `graph` (API format)."""

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._classes = {node_id: _class_of(node) for node_id, node in graph.items()}
        self._done: set[str] = set()
        self._at_work: dict[str, NodeStep] = {}
        self._current: str | None = None
        self._has_states = False
        self._highest = 0.0
        self._last: NodeProgress | None = None

    def apply(self, frame: PromptFrame) -> NodeProgress | None:
        """Take a frame in; the new state if it differs from the last one told."""
        match frame:
            case ExecutionCached():
                for node in frame.nodes:
                    self._finish(node)
            case Executing():
                self._executing(frame.node)
            case ProgressStep():
                self._work(frame.step)
            case ProgressState():
                self._has_states = True
                for step in frame.nodes:
                    self._work(step)
            case Executed():
                self._finish(frame.node)
            case _:
                return None
        return self._told()

    def _executing(self, node: str | None) -> None:
        if node is None:
            return
        previous, self._current = self._current, node
        if previous is not None and previous != node and not self._has_states:
            self._finish(previous)

    def _work(self, step: NodeStep) -> None:
        if step.node not in self._classes or step.node in self._done:
            return
        if step.state == "finished":
            self._finish(step.node)
        elif step.state == "running":
            self._current = step.node
            known = self._at_work.get(step.node)
            if known is None or _fraction(step) >= _fraction(known):
                self._at_work[step.node] = step

    def _finish(self, node: str) -> None:
        if node in self._classes:
            self._done.add(node)
            self._at_work.pop(node, None)

    def _told(self) -> NodeProgress | None:
        total = len(self._classes)
        parts = sum(_fraction(step) for step in self._at_work.values())
        if total:
            self._highest = max(self._highest, min(1.0, (len(self._done) + parts) / total))
        step = self._at_work.get(self._current or "")
        counts = step is not None and step.maximum > 1
        told = NodeProgress(
            value=self._highest,
            nodes_done=len(self._done),
            nodes_total=total,
            current_node=self._current,
            current_node_class=self._classes.get(self._current or ""),
            step=int(step.value) if step is not None and counts else None,
            steps=int(step.maximum) if step is not None and counts else None,
        )
        if told == self._last:
            return None
        self._last = told
        return told


def _fraction(step: NodeStep) -> float:
    return min(1.0, max(0.0, step.value / step.maximum)) if step.maximum > 0 else 0.0


def _class_of(node: Any) -> str | None:
    name = node.get("class_type") if isinstance(node, Mapping) else None
    return name if isinstance(name, str) else None
