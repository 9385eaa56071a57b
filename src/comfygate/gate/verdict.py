"""From what a server said to what became of an attempt. Pure; the words in it are for the job's user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfygate.comfy.errors import PromptRejected
from comfygate.comfy.wire import HistoryRecord, NodeFailure
from comfygate.domain.blame import CONSEQUENCES, Blame, sentence_of
from comfygate.domain.evidence import of_execution, of_rejection
from comfygate.domain.job import Failed, JobError, Lost, Succeeded
from comfygate.domain.words import for_users

CAUSE_CHARS_MAX = 4000
"""How much of a server's own words is kept for the operator."""


def rejected(refusal: PromptRejected) -> Failed:
    """ComfyUI's own validation refused the graph."""
    if refusal.node_errors:
        return dropped_outputs(refusal.node_errors)
    blame = of_rejection(refusal.error, {})
    words = for_users(str(refusal.error.get("message") or "the server refused the workflow"))
    if blame is Blame.WORKFLOW:
        return Failed(
            JobError("invalid_workflow", f"The workflow was refused: {words}"),
            cause=str(refusal),
            blame=blame,
        )
    return failed(blame, str(refusal), place="The workflow", words=words)


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
    cause = str(dict(node_errors))[:CAUSE_CHARS_MAX]
    blame = of_rejection({}, node_errors)
    if blame is not Blame.WORKFLOW:
        given = extra.get("received_value") if isinstance(extra, dict) else None
        named = f"{field} {for_users(str(given))!r}" if field and given else words
        return failed(blame, cause, place=place, words=named, node_id=node_id, class_type=class_type)
    sentence = f"{place}, input {field!r}: {words}" if field else f"{place}: {words}"
    return Failed(
        JobError("invalid_workflow", sentence, node_id=node_id, class_type=class_type),
        cause=cause,
        blame=blame,
    )


def failed(
    blame: Blame,
    cause: str,
    *,
    place: str = "",
    words: str = "",
    node_id: str | None = None,
    class_type: str | None = None,
) -> Failed:
    """A failure of this class, in the words of its table; `cause` is for the operator."""
    error = JobError(
        CONSEQUENCES[blame].code, sentence_of(blame, place=place, words=words), node_id, class_type
    )
    return Failed(error, cause[:CAUSE_CHARS_MAX], blame)


def unreachable(cause: str) -> Failed:
    """The server could not be reached to take the job, after all retries."""
    return failed(Blame.UNREACHABLE, cause)


def refused_by_server(cause: str) -> Failed:
    """The server turns the gateway away: the operator's to correct."""
    sentence = "The server did not accept the job; the operator has been told."
    return Failed(JobError("server_refused", sentence), cause, Blame.UNREACHABLE)


def not_understood(cause: str) -> Failed:
    """The server answers in a shape that is not ComfyUI's."""
    sentence = "The server gave an answer that cannot be read."
    return Failed(JobError("server_not_understood", sentence), cause, Blame.UNREACHABLE)


def ended(
    record: HistoryRecord,
    expected: frozenset[str],
    *,
    asked: frozenset[str] = frozenset(),
    with_files: frozenset[str] = frozenset(),
) -> Succeeded | Failed | Lost:
    """What a history record means, given the nodes that must have delivered something.

    `asked` are all output nodes of the graph: the record says which of them validation left in the run, so
    that a dropped one is noticed even when the answer to the sent prompt is not known any more. `with_files`
    are the nodes that take a file of the user's.

    An interrupt that we did not ask for is nobody's fault here: the job goes back to its place.
    """
    if record.status == "interrupted":
        return Lost("interrupted on the server by somebody else", Blame.INTERRUPTED)
    if record.status == "error":
        return execution_failed(record.failure, with_files)
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


def execution_failed(failure: NodeFailure | None, with_files: frozenset[str] = frozenset()) -> Failed:
    """A node raised. The traceback is kept for the operator only."""
    if failure is None:
        return Failed(JobError("execution_error", "The server reports a failure without saying more."))
    blame = of_execution(
        failure.exception_type, failure.message, has_users_file=failure.node_id in with_files
    )
    place = f"Node {failure.node_id}" if failure.node_id else "A node"
    if failure.class_type:
        place += f" ({failure.class_type})"
    return failed(
        blame,
        f"{failure.exception_type}: {failure.message}\n{failure.traceback}",
        place=place,
        words=for_users(failure.message) or failure.exception_type,
        node_id=failure.node_id,
        class_type=failure.class_type,
    )
