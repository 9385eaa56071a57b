"""From what a server said to what became of an attempt. Pure; the words in it are for the job's user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfygate.comfy.errors import PromptRejected
from comfygate.comfy.wire import HistoryRecord, NodeFailure
from comfygate.domain.job import Failed, JobError, Lost, Succeeded
from comfygate.domain.words import for_users

CAUSE_CHARS_MAX = 4000
"""How much of a server's own words is kept for the operator."""


def rejected(refusal: PromptRejected) -> Failed:
    """ComfyUI's own validation refused the graph: the sender's to correct, never tried again."""
    if refusal.node_errors:
        return dropped_outputs(refusal.node_errors)
    words = for_users(str(refusal.error.get("message") or "the server refused the workflow"))
    return Failed(JobError("invalid_workflow", f"The workflow was refused: {words}"), cause=str(refusal))


def dropped_outputs(node_errors: Mapping[str, Any]) -> Failed:
    """Some outputs of the graph cannot be made. A server would run the rest and call it success (I9)."""
    node_id, body = next(iter(node_errors.items()))
    class_type = body.get("class_type") if isinstance(body, dict) else None
    errors = body.get("errors") if isinstance(body, dict) else None
    first = errors[0] if isinstance(errors, list) and errors and isinstance(errors[0], dict) else {}
    extra = first.get("extra_info")
    field = extra.get("input_name") if isinstance(extra, dict) else None
    place = f"Node {node_id}" + (f" ({class_type})" if class_type else "")
    words = for_users(str(first.get("message") or "is not valid"))
    sentence = f"{place}, input {field!r}: {words}" if field else f"{place}: {words}"
    return Failed(
        JobError("invalid_workflow", sentence, node_id=node_id, class_type=class_type),
        cause=str(dict(node_errors))[:CAUSE_CHARS_MAX],
    )


def unreachable(cause: str) -> Failed:
    """The server could not be reached to take the job, after all retries."""
    return Failed(JobError("server_unreachable", "The server could not be reached."), cause=cause)


def refused_by_server(cause: str) -> Failed:
    """The server turns the gateway away: the operator's to correct."""
    return Failed(
        JobError("server_refused", "The server did not accept the job; the operator has been told."), cause
    )


def ended(
    record: HistoryRecord, expected: frozenset[str], *, asked: frozenset[str] = frozenset()
) -> Succeeded | Failed | Lost:
    """What a history record means, given the nodes that must have delivered something.

    `asked` are all output nodes of the graph: the record says which of them validation left in the run, so
    that a dropped one is noticed even when the answer to the sent prompt is not known any more.

    An interrupt that we did not ask for is nobody's fault here: the job goes back to its place.
    """
    if record.status == "interrupted":
        return Lost("interrupted on the server by somebody else")
    if record.status == "error":
        return execution_failed(record.failure)
    dropped = sorted(asked - set(record.outputs_to_execute)) if record.outputs_to_execute else []
    if dropped:
        return Failed(
            JobError("invalid_workflow", f"Node {dropped[0]} could not be run by the server.", dropped[0]),
            cause=f"the server dropped output nodes {', '.join(dropped)}",
        )
    missing = sorted(node for node in expected if not record.outputs.get(node))
    if missing:
        return Failed(
            JobError(
                "outputs_missing",
                f"Node {missing[0]} delivered nothing, so the job is not complete.",
                node_id=missing[0],
            ),
            cause=f"no output from nodes {', '.join(missing)}; not understood: {', '.join(record.unread)}",
        )
    return Succeeded()


def execution_failed(failure: NodeFailure | None) -> Failed:
    """A node raised. The traceback is kept for the operator only."""
    if failure is None:
        return Failed(JobError("execution_error", "The server reports a failure without saying more."))
    place = f"Node {failure.node_id}" if failure.node_id else "A node"
    if failure.class_type:
        place += f" ({failure.class_type})"
    words = for_users(failure.message) or failure.exception_type
    return Failed(
        JobError("node_execution_error", f"{place} failed: {words}", failure.node_id, failure.class_type),
        cause=f"{failure.exception_type}: {failure.message}\n{failure.traceback}"[:CAUSE_CHARS_MAX],
    )
