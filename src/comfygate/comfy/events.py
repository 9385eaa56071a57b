"""What watching a prompt tells: how it goes, and exactly one end."""

from __future__ import annotations

from dataclasses import dataclass

from comfygate.comfy.wire import HistoryRecord, Output


@dataclass(frozen=True, slots=True)
class Started:
    """The prompt left the server's queue and runs. Comes once, or never for one that was over at the first
    look.
    """


@dataclass(frozen=True, slots=True)
class NodeProgress:
    """How far the prompt is. `value` is 0 to 1 and never falls; `nodes_total` counts the sent graph's nodes.

    `step` of `steps` is within the current node, None where it does not say.
    """

    value: float
    nodes_done: int
    nodes_total: int
    current_node: str | None
    current_node_class: str | None
    step: int | None
    steps: int | None


@dataclass(frozen=True, slots=True)
class PreviewImage:
    """A picture of work under way."""

    node_id: str | None
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class NodeOutput:
    """A node gave its output; the record at the end has all of them."""

    node_id: str
    files: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Unreachable:
    """A poll found no usable answer, for so long now. Not an end: the caller decides how long to wait."""

    since_seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class OffServer:
    """The prompt ended well and the server works on it no more; what it made is in history, or soon will be.

    Comes at most once, before Finished, and only where the socket said so.
    """


@dataclass(frozen=True, slots=True)
class Finished:
    """End: the server's record, whatever its status."""

    record: HistoryRecord


@dataclass(frozen=True, slots=True)
class Vanished:
    """End: in neither queue nor history on two looks one poll apart (restarted, or taken out of the
    queue).
    """


Event = Started | NodeProgress | PreviewImage | NodeOutput | Unreachable | OffServer | Finished | Vanished
