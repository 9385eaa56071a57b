"""What can go wrong with one ComfyUI server, as one tree.

These are for the gateway and its operator, never for users: messages name the server's address (without
credentials) and what it said. None carries a header, a password or a traceback of the server.

ComfyError
├── ServerUnreachable    no usable answer: connecting, timeout, 5xx, or something else answers in its place
├── ServerRefused        401 or 403: the credentials in the settings are wrong
├── RequestRefused       any other status that is neither success nor 5xx (404, 405, 413, a redirect)
├── PromptRejected       400 to a graph: ComfyUI's own validation, never worth retrying
├── OutputUnavailable    the server does not (or no longer) have the named output file
└── ProtocolError        the answer is JSON of a shape not known; names the place
    └── AnswerTooLarge   the answer is longer than its limit
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ComfyError(Exception):
    """Base of all trouble with one server. `server` is its address without credentials."""

    def __init__(self, message: str, *, server: str) -> None:
        super().__init__(f"ComfyUI at {server}: {message}")
        self.server = server


class ServerUnreachable(ComfyError):
    """The server gave no usable answer.

    `maybe_accepted` is False only when the request certainly never took effect (connecting itself failed, or
    the server said 429); otherwise what was asked may have happened and must be looked for before asking
    again.
    """

    def __init__(self, message: str, *, server: str, maybe_accepted: bool) -> None:
        super().__init__(message, server=server)
        self.maybe_accepted = maybe_accepted


class ServerRefused(ComfyError):
    """401 or 403. The operator must correct the server's headers or basic_auth in the settings."""

    def __init__(self, message: str, *, server: str, status: int) -> None:
        super().__init__(message, server=server)
        self.status = status


class RequestRefused(ComfyError):
    """A status that is neither success, 401/403, 429 nor 5xx; redirects count, they are not followed."""

    def __init__(self, message: str, *, server: str, status: int) -> None:
        super().__init__(message, server=server)
        self.status = status


class PromptRejected(ComfyError):
    """400 from POST /prompt. `error` and `node_errors` are ComfyUI's own (seen on ComfyUI 0.3.64)."""

    def __init__(
        self, *, server: str, status: int, error: Mapping[str, Any], node_errors: Mapping[str, Any]
    ) -> None:
        super().__init__(f"graph rejected: {error.get('type')}: {error.get('message')}", server=server)
        self.status = status
        self.error = dict(error)
        self.node_errors = dict(node_errors)


class OutputUnavailable(ComfyError):
    """404 or 400 from GET /view: the file is not there."""


class ProtocolError(ComfyError):
    """JSON of a shape that this client does not know. `path` names the place, e.g. `history.outputs`."""

    def __init__(self, message: str, *, server: str, path: str) -> None:
        super().__init__(f"{path}: {message}", server=server)
        self.path = path


class AnswerTooLarge(ProtocolError):
    """The answer is longer than the limit for its kind; reading was stopped there."""
