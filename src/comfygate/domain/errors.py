"""Every refusal a caller can meet, as one tree; nothing here knows of HTTP, Telegram or exit codes.

GateError
├── RequestRefused              what was asked cannot be done as asked
│   ├── InvalidRequest          a field outside its limits
│   ├── InvalidWorkflow         the graph cannot run; details name node and field
│   │   └── NodeNotAllowed      it uses a node class that may not run here
│   ├── WorkflowFormatUi        the editor's own format instead of the API format
│   ├── MissingAsset            a reference to a file that is not the caller's
│   ├── HashMismatch            the bytes received are not those that were announced
│   ├── IdempotencyKeyReuse     a key is good for one request
│   ├── PayloadTooLarge         more bytes, pixels or frames than the limit
│   ├── UnreadablePicture       no decoder makes the picture or clip of it that it claims to be
│   ├── Screened                an input that screens as explicit
│   └── Conflict                the thing is not in a state that allows this
│       ├── JobNotEnded         only a job that has ended can be deleted
│       └── AssetInUse          a job still needs the asset
├── AccessRefused
│   ├── Unauthorized            no valid API key
│   └── Forbidden               a valid key that may not do this
├── NotFound                    unknown, or not the caller's: the two look the same
│   └── BlobNotFound
├── Busy                        try again later; carries retry_after_seconds
│   ├── QueueFull
│   ├── RateLimited             more requests a minute than the account's tier may send
│   └── TooManyStreams
├── InsufficientCredits
├── ServerTrouble               a ComfyUI, the store or the disk failed us
│   ├── StoreTrouble            the database does not answer, or cannot write
│   ├── WorkflowUnusable        a workflow of the catalogue breaks its own rules: the operator's to correct
│   └── ScreeningUnavailable    pictures cannot be screened now, so none are taken
├── LedgerViolation             a money rule was about to be broken: our bug, nothing was written
└── SettingsError               the configuration cannot be used
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class GateError(Exception):
    """Base of all refusals: a stable `code`, a sentence for people, and what to do next.

    `details` is safe to show to the caller. `retry_after_seconds` is set where waiting helps.
    """

    code: ClassVar[str] = "error"
    next_step: ClassVar[str] = "Report this to the operator."

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details) if details else None
        self.retry_after_seconds = retry_after_seconds


class RequestRefused(GateError):
    """What was asked cannot be done as asked; nothing was changed and nothing was charged."""

    code = "invalid_request"
    next_step = "Correct the request and send it again."


class InvalidRequest(RequestRefused):
    """A field of the request is missing or outside its limits."""


class InvalidWorkflow(RequestRefused):
    """The graph cannot run. `details["node_errors"]` maps node id to a list of {field, reason}."""

    code = "invalid_workflow"
    next_step = "Correct the named node and field, then submit again."


class NodeNotAllowed(InvalidWorkflow):
    """A node class is not among the allowed ones. The contract has no code of its own for it."""

    next_step = "Use another node, or ask the operator to allow it under allowed_nodes."


class WorkflowFormatUi(RequestRefused):
    """The editor's own format was sent where the API format is needed."""

    code = "workflow_format_ui"
    next_step = "In ComfyUI choose Workflow > Export (API) and send that file."


class MissingAsset(RequestRefused):
    """A graph names a file that is not one of the caller's own assets."""

    code = "missing_asset"
    next_step = "Upload the file first and refer to it by asset id or by its file name."


class HashMismatch(RequestRefused):
    """The received bytes do not have the announced blake3 hash."""

    code = "hash_mismatch"
    next_step = "Upload the file again."


class IdempotencyKeyReuse(RequestRefused):
    """An Idempotency-Key was presented a second time within its life."""

    code = "idempotency_key_reuse"
    next_step = "List your jobs to find the one made under this key, or use a new key for new work."


class PayloadTooLarge(RequestRefused):
    """More bytes, pixels or frames arrived than the limit allows."""

    code = "payload_too_large"
    next_step = "Send a smaller file."


class UnreadablePicture(RequestRefused):
    """The bytes are not the picture or clip that they claim to be, or decoding them takes too much."""

    code = "unreadable_picture"
    next_step = "Save the picture or clip anew in a usual format and send that."


class Screened(RequestRefused):
    """An input screens as explicit."""

    code = "screened"
    next_step = "Use another picture; ask the operator if this is a mistake."


class Conflict(RequestRefused):
    """The thing exists and is not in a state that allows this."""

    code = "conflict"


class JobNotEnded(Conflict):
    """Only a job that has ended can be deleted."""

    code = "job_not_ended"
    next_step = "Cancel the job, or wait for its end, then delete it."


class AssetInUse(Conflict):
    """A job that is not finished still needs this asset."""

    code = "asset_in_use"
    next_step = "Wait for the job to end, or cancel it, then delete the asset."


class AccessRefused(GateError):
    """The caller may not do this."""


class Unauthorized(AccessRefused):
    """No API key came with the request, or none that is valid."""

    code = "unauthorized"
    next_step = "Send a valid API key as 'Authorization: Bearer KEY'."


class Forbidden(AccessRefused):
    """The key is valid but its account may not do this."""

    code = "forbidden"
    next_step = "Ask the operator for access."


class NotFound(GateError):
    """Unknown, or another account's: deliberately the same answer."""

    code = "not_found"
    next_step = "Check the id; it may have expired."


class BlobNotFound(NotFound):
    """No bytes with this hash that the caller may use."""

    code = "blob_not_found"
    next_step = "Upload the file."


class Busy(GateError):
    """A limit is reached for now."""

    code = "queue_full"
    next_step = "Wait the given seconds and try again."


class QueueFull(Busy):
    """The lane or the account has as many jobs queued as it may."""


class RateLimited(Busy):
    """The account sends more requests a minute than its tier may."""

    code = "rate_limited"


class TooManyStreams(Busy):
    """The account has as many live event streams open as it may."""

    code = "too_many_streams"
    next_step = "Close a stream, or poll the job instead."


class InsufficientCredits(GateError):
    """The account's available credits do not cover the price."""

    code = "insufficient_credits"
    next_step = "Top up the account."


class ServerTrouble(GateError):
    """A ComfyUI server, the store or the disk failed; the caller did nothing wrong."""

    code = "upstream_error"
    next_step = "Try again; if it stays, tell the operator."


class StoreTrouble(ServerTrouble):
    """The database cannot be reached or cannot write now; nothing is known of what was being written."""

    next_step = "Try again in a few seconds."


class WorkflowUnusable(ServerTrouble):
    """A workflow of the catalogue breaks its own rules for these values, its price formula say."""


class ScreeningUnavailable(ServerTrouble):
    """Pictures cannot be screened: the message says why, for the operator."""

    code = "screening_unavailable"
    next_step = "Try again in a while; 'comfygate doctor' says what is wrong."


class LedgerViolation(GateError):
    """A rule of the ledger was about to be broken; the whole transaction was rolled back."""

    code = "ledger_violation"
    next_step = "This is a bug in comfygate: report it with the job's id."


class SettingsError(GateError):
    """The configuration cannot be used; the service does not start."""

    code = "settings_invalid"
    next_step = "Correct the named key in comfygate.toml or the environment."
