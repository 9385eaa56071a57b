"""The words this client and its callers share: what ComfyUI names, says and answers, as plain values.

Names follow ComfyUI's wire format where it has one (seen on ComfyUI 0.3.64). Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from comfygate.comfy.address import ServerAddress

__all__ = [
    "CancelResult",
    "CancelVia",
    "Capabilities",
    "FileRef",
    "HistoryRecord",
    "HistoryStatus",
    "Located",
    "NodeFailure",
    "Output",
    "QueueIds",
    "Sent",
    "ServerAddress",
    "TextOutput",
    "Timeouts",
]

HistoryStatus = Literal["success", "error", "interrupted"]


@dataclass(frozen=True, slots=True)
class FileRef:
    """An output file as ComfyUI names it. `type` is `output`, `temp` (a preview) or `input`."""

    filename: str
    subfolder: str
    type: str


@dataclass(frozen=True, slots=True)
class TextOutput:
    """A plain string that a node gave as output (`PreviewAny` on ComfyUI 0.3.64)."""

    text: str


Output = FileRef | TextOutput


@dataclass(frozen=True, slots=True)
class NodeFailure:
    """Why a prompt failed. `message` and `traceback` carry the server's paths: for operators, not for
    users.
    """

    node_id: str | None
    class_type: str | None
    exception_type: str
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """How a prompt ended, from `/history/{prompt_id}`.

    `outputs` maps node id to what it gave, in ComfyUI's order. `unread` names the output entries
    (`node.key`) of which no file and no text could be made. `outputs_to_execute` are the output nodes that
    validation left in the run: fewer than the graph asked for when the server dropped bad ones. Times are
    Unix milliseconds by the server's clock, None where it did not say.
    """

    prompt_id: str
    status: HistoryStatus
    outputs: Mapping[str, tuple[Output, ...]]
    failure: NodeFailure | None = None
    outputs_to_execute: tuple[str, ...] = ()
    executed_nodes: tuple[str, ...] = ()
    cached_nodes: tuple[str, ...] = ()
    started_unix_ms: int | None = None
    finished_unix_ms: int | None = None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueIds:
    """Whose turn it is: prompt ids running and waiting. ComfyUI's queue is a heap, so `pending` has no
    order.
    """

    running: frozenset[str]
    pending: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sent:
    """ComfyUI took a prompt. A non-empty `node_errors` means that it dropped outputs and runs the rest.

    `number` counts prompts from 0 since the server's start: when it falls, the server was restarted.
    """

    number: int
    node_errors: Mapping[str, Any]


class Located(Enum):
    """Where a prompt is on a server at one moment."""

    FINISHED = "finished"
    RUNNING = "running"
    PENDING = "pending"
    UNKNOWN = "unknown"


class CancelVia(Enum):
    """The safest way a server has to stop one running prompt."""

    JOBS_API = "jobs_api"
    INTERRUPT_BY_ID = "interrupt_by_id"
    NONE = "none"


class CancelResult(Enum):
    """What became of a wish to cancel.

    REQUESTED: a waiting prompt is out of the queue, or a running one was told to stop (it does so at the next
    node or sampler step). MUST_WAIT: it runs and this server cannot stop one prompt without risking a
    stranger's. NOT_THERE: neither waiting nor running.
    """

    REQUESTED = "requested"
    MUST_WAIT = "must_wait"
    NOT_THERE = "not_there"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server is and can do, as probed.

    `keeps_prompt_id` is whether it runs a prompt under the id the client gave: ComfyUI #8189, first released
    in 0.3.45. Without it no prompt can be found again. `upload_bytes_max` is None where the server does not
    say.
    """

    version: str
    cancel_via: CancelVia
    devices: tuple[str, ...]
    keeps_prompt_id: bool = True
    upload_bytes_max: int | None = None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for a server, and how much to take from it."""

    connect_seconds: float = 5.0
    answer_seconds: float = 30.0
    object_info_seconds: float = 120.0
    transfer_stall_seconds: float = 60.0
    """Longest silence within the download of an output."""
    upload_bytes_per_second_min: int = 64 * 1024
    """An upload may take `answer_seconds` and its size at this rate."""
    json_bytes_max: int = 1024 * 1024
    history_bytes_max: int = 16 * 1024 * 1024
    queue_bytes_max: int = 64 * 1024 * 1024
    object_info_bytes_max: int = 64 * 1024 * 1024
