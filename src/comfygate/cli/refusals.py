"""An error a command ends with: one line for people, JSON for programs, one exit code. Never a traceback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfygate.cli.exit_codes import Exit, exit_of
from comfygate.domain.errors import GateError

CODES_THAT_SAY_IT_ALL = frozenset(
    {"invalid_request", "conflict", "settings_invalid", "out_of_reach", "error"}
)
"""Their messages name the way out themselves."""


@dataclass(slots=True)
class CommandError(Exception):
    """A command cannot go on. `code` is stable; the exit code follows from it."""

    code: str
    message: str
    next_step: str = ""
    details: Mapping[str, Any] | None = None

    @property
    def exit(self) -> Exit:
        return exit_of(self.code)

    def line(self) -> str:
        """One line: what is wrong and what to do."""
        text = " ".join(self.message.split())
        if not self.next_step or self.code in CODES_THAT_SAY_IT_ALL:
            return text
        return f"{text.rstrip('.')}. {self.next_step}"

    def to_json(self) -> dict[str, Any]:
        """The API's envelope, with what to do next beside it."""
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "next_step": self.next_step,
                "details": dict(self.details) if self.details else None,
            }
        }


def of_gate(error: GateError) -> CommandError:
    """A refusal of our own use cases."""
    return CommandError(error.code, error.message, error.next_step, error.details)


def of_envelope(answer: Any, status: int) -> CommandError | None:
    """A refusal as the API or the control channel wrote it; None if the answer is no such envelope."""
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return None
    details = error.get("details")
    code: str = error["code"]
    if status >= 500 and exit_of(code) is Exit.REFUSED:
        code = "internal_error"
    return CommandError(
        code,
        str(error.get("message") or code),
        next_steps().get(code, ""),
        details if isinstance(details, dict) else None,
    )


def next_steps() -> dict[str, str]:
    """What to do next, by code. A code that several classes share keeps the first's advice."""
    found: dict[str, str] = {}
    waiting: list[type[GateError]] = [GateError]
    while waiting:
        kind = waiting.pop(0)
        found.setdefault(kind.code, kind.next_step)
        waiting.extend(kind.__subclasses__())
    return found


def out_of_reach(message: str) -> CommandError:
    """The gateway does not answer; the message says what to do."""
    return CommandError("out_of_reach", message)
