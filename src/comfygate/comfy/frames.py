"""Reading WebSocket frames of a server: pure, total; a frame that says nothing of use gives None.

Event names and fields as seen on ComfyUI 0.3.64; older servers send `progress` and `executing` without
`progress_state`. Binary frames begin with a big-endian 32-bit kind.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from comfygate.comfy.outputs import parse_node_output
from comfygate.comfy.wire import Output

PREVIEW_IMAGE = 1
PREVIEW_IMAGE_WITH_METADATA = 4
PREVIEW_TYPES: Mapping[int, str] = {1: "image/jpeg", 2: "image/png"}
METADATA_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """`status`: how many prompts of anybody run or wait. Goes to every socket whenever that changes."""

    queue_remaining: int


@dataclass(frozen=True, slots=True)
class ExecutionStart:
    """`execution_start`: the prompt left the queue and runs."""

    prompt_id: str


@dataclass(frozen=True, slots=True)
class ExecutionCached:
    """`execution_cached`: these nodes need not run."""

    prompt_id: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Executing:
    """`executing`: this node runs now; with node None the prompt is over and history is written."""

    prompt_id: str
    node: str | None


@dataclass(frozen=True, slots=True)
class NodeStep:
    """How far one node is: `value` of `maximum` steps."""

    node: str
    state: Literal["pending", "running", "finished"]
    value: float
    maximum: float


@dataclass(frozen=True, slots=True)
class ProgressState:
    """`progress_state`: all nodes begun so far, at once. `nodes` names nodes of the sent graph."""

    prompt_id: str
    nodes: tuple[NodeStep, ...]


@dataclass(frozen=True, slots=True)
class ProgressStep:
    """`progress`: one node's steps."""

    prompt_id: str
    step: NodeStep


@dataclass(frozen=True, slots=True)
class Executed:
    """`executed`: a node's output is there."""

    prompt_id: str
    node: str
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class ExecutionEnded:
    """`execution_success`, `_error` or `_interrupted`: it comes BEFORE history is written (ComfyUI
    #11540).
    """

    prompt_id: str
    how: Literal["success", "error", "interrupted"]


@dataclass(frozen=True, slots=True)
class Preview:
    """A preview image. Older frames do not say whose it is: `prompt_id` and `node` are None then."""

    prompt_id: str | None
    node: str | None
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class SocketLost:
    """Not a frame: the socket dropped; what was sent under its client id will not be heard of again."""


PromptFrame = (
    ExecutionStart
    | ExecutionCached
    | Executing
    | ProgressState
    | ProgressStep
    | Executed
    | ExecutionEnded
    | Preview
)
Frame = PromptFrame | QueueStatus


def parse_text_frame(text: str) -> Frame | None:
    """The event in a text frame; None for events without use here and for shapes not known."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match message:
        case {"type": "status", "data": {"status": {"exec_info": {"queue_remaining": int(remaining)}}}}:
            return QueueStatus(remaining)
        case {"type": str(kind), "data": {"prompt_id": str(prompt_id)}}:
            reader = _READERS.get(kind)
            return reader(prompt_id, message["data"]) if reader is not None else None
        case _:
            return None


def parse_binary_frame(data: bytes) -> Preview | None:
    """The preview in a binary frame; None for other kinds and for frames cut short."""
    if len(data) < 8:
        return None
    kind, head = struct.unpack_from(">II", data)
    if kind == PREVIEW_IMAGE:
        content_type = PREVIEW_TYPES.get(head, "application/octet-stream")
        return Preview(None, None, content_type, data[8:])
    if kind == PREVIEW_IMAGE_WITH_METADATA and head <= min(METADATA_BYTES_MAX, len(data) - 8):
        return _preview_with_metadata(data[8 : 8 + head], data[8 + head :])
    return None


def _preview_with_metadata(raw: bytes, image: bytes) -> Preview | None:
    try:
        about = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    match about:
        case {"prompt_id": str(prompt_id)}:
            node = about.get("display_node_id") or about.get("node_id")
            content_type = about.get("image_type")
            return Preview(
                prompt_id,
                node if isinstance(node, str) else None,
                content_type if isinstance(content_type, str) else "application/octet-stream",
                image,
            )
        case _:
            return None


def _executing(prompt_id: str, data: Mapping[str, Any]) -> Frame | None:
    if "node" not in data:
        return None
    node = data["node"]
    if node is None:
        return Executing(prompt_id, None)
    shown = data.get("display_node") or node
    return Executing(prompt_id, shown) if isinstance(shown, str) else None


def _cached(prompt_id: str, data: Mapping[str, Any]) -> Frame | None:
    nodes = data.get("nodes")
    if not isinstance(nodes, list):
        return None
    return ExecutionCached(prompt_id, tuple(node for node in nodes if isinstance(node, str)))


def _executed(prompt_id: str, data: Mapping[str, Any]) -> Frame | None:
    node = data.get("display_node") or data.get("node")
    if not isinstance(node, str):
        return None
    outputs, _unread = parse_node_output(data.get("output"))
    return Executed(prompt_id, node, outputs)


def _progress(prompt_id: str, data: Mapping[str, Any]) -> Frame | None:
    node = data.get("node")
    if not isinstance(node, str):
        return None
    return ProgressStep(
        prompt_id, NodeStep(node, "running", _number(data.get("value")), _number(data.get("max")))
    )


def _progress_state(prompt_id: str, data: Mapping[str, Any]) -> Frame | None:
    nodes = data.get("nodes")
    if not isinstance(nodes, dict):
        return None
    return ProgressState(
        prompt_id, tuple(step for key, entry in nodes.items() if (step := _node_step(key, entry)))
    )


def _node_step(key: str, entry: Any) -> NodeStep | None:
    """One entry; a node made by expanding another stands under an id of its own, `display_node_id` is the one
    of the sent graph."""
    if not isinstance(entry, dict):
        return None
    state = entry.get("state")
    shown = entry.get("display_node_id")
    if state not in ("pending", "running", "finished"):
        return None
    node = shown if isinstance(shown, str) else key
    value, maximum = _number(entry.get("value")), _number(entry.get("max"))
    if node == key:
        return NodeStep(node, state, value, maximum)
    return NodeStep(node, "running", *((value, maximum) if maximum > 1 else (0.0, 0.0)))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e18 else 0.0


_READERS: Mapping[str, Callable[[str, Mapping[str, Any]], Frame | None]] = {
    "execution_start": lambda prompt_id, _data: ExecutionStart(prompt_id),
    "execution_cached": _cached,
    "executing": _executing,
    "progress_state": _progress_state,
    "progress": _progress,
    "executed": _executed,
    "execution_success": lambda prompt_id, _data: ExecutionEnded(prompt_id, "success"),
    "execution_error": lambda prompt_id, _data: ExecutionEnded(prompt_id, "error"),
    "execution_interrupted": lambda prompt_id, _data: ExecutionEnded(prompt_id, "interrupted"),
}
