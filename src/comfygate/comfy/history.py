"""Reading `/history/{prompt_id}`: how a prompt ended. Pure and total; shapes as seen on ComfyUI 0.3.64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfygate.comfy.answers import mapping
from comfygate.comfy.errors import ProtocolError
from comfygate.comfy.outputs import parse_outputs
from comfygate.comfy.wire import HistoryRecord, HistoryStatus, NodeFailure

Messages = Mapping[str, Mapping[str, Any]]

FAILURE_TEXT_CHARS_MAX = 64 * 1024
"""Longest kept message or traceback of a failure."""


def parse_history(data: Any, prompt_id: str, server: str) -> HistoryRecord | None:
    """The record of `prompt_id`, or None: `{}` stands for waiting, running and unknown alike.

    Anything but `status_str: "success"` counts as an error, and as interrupted when an
    `execution_interrupted` message is among the messages. Raises ProtocolError where the shape is unknown.
    """
    entry = mapping(data, "history", server).get(prompt_id)
    if entry is None:
        return None
    record = mapping(entry, "history.entry", server)
    status = mapping(record.get("status"), "history.status", server)
    verdict = status.get("status_str")
    if not isinstance(verdict, str):
        raise ProtocolError("expected a string", server=server, path="history.status.status_str")
    messages = _messages(status.get("messages"))
    outputs, unread = parse_outputs(mapping(record.get("outputs") or {}, "history.outputs", server))
    how = _status(verdict, messages)
    ended = messages.get("execution_error") or messages.get("execution_interrupted") or {}
    return HistoryRecord(
        prompt_id=prompt_id,
        status=how,
        outputs=outputs,
        failure=parse_failure(messages.get("execution_error", {})) if how == "error" else None,
        outputs_to_execute=_outputs_to_execute(record.get("prompt")),
        executed_nodes=_strings(ended.get("executed")),
        cached_nodes=_strings(messages.get("execution_cached", {}).get("nodes")),
        started_unix_ms=_milliseconds(messages.get("execution_start")),
        finished_unix_ms=_milliseconds(messages.get("execution_success") or ended),
        unread=unread,
    )


def parse_failure(message: Mapping[str, Any]) -> NodeFailure:
    """The failure told by an `execution_error` message; every field of it may be missing."""
    traceback = message.get("traceback")
    lines = traceback if isinstance(traceback, list) else [traceback]
    return NodeFailure(
        node_id=_string(message.get("node_id")),
        class_type=_string(message.get("node_type")),
        exception_type=_string(message.get("exception_type")) or "unknown",
        message=(_string(message.get("exception_message")) or "The server gave no reason.")[
            :FAILURE_TEXT_CHARS_MAX
        ],
        traceback="".join(line for line in lines if isinstance(line, str))[:FAILURE_TEXT_CHARS_MAX],
    )


def _status(verdict: str, messages: Messages) -> HistoryStatus:
    if verdict == "success":
        return "success"
    return "interrupted" if "execution_interrupted" in messages else "error"


def _messages(value: Any) -> dict[str, Mapping[str, Any]]:
    """Messages by type, the last of each; an odd one among them is not worth losing the result for."""
    messages: dict[str, Mapping[str, Any]] = {}
    for entry in value if isinstance(value, list) else ():
        match entry:
            case [str(kind), dict(body)]:
                messages[kind] = body
            case _:
                continue
    return messages


def _outputs_to_execute(prompt: Any) -> tuple[str, ...]:
    """Index 4 of `[number, prompt_id, graph, extra_data, outputs_to_execute]`."""
    return _strings(prompt[4]) if isinstance(prompt, list) and len(prompt) > 4 else ()


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _milliseconds(message: Mapping[str, Any] | None) -> int | None:
    stamp = message.get("timestamp") if message else None
    return stamp if isinstance(stamp, int) and not isinstance(stamp, bool) else None
