"""Exit codes, each with one meaning for all commands; docs/reference/cli.md shows this table."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """What a command's end means."""

    OK = 0
    BUG = 1
    USAGE = 2
    SETTINGS = 3
    REFUSED = 4
    NOT_FOUND = 5
    OUT_OF_REACH = 6
    JOB_FAILED = 7
    NOT_BALANCED = 8
    FAULTS = 9
    INTERRUPTED = 130


MEANINGS: Final[dict[Exit, str]] = {
    Exit.OK: "done; for `serve`, stopped in order by a signal",
    Exit.BUG: "an error in comfygate itself; its traceback is worth a report",
    Exit.USAGE: "the command line cannot be understood: unknown command or option, missing or misspelt value",
    Exit.SETTINGS: "the settings are refused: an unknown key, a value outside its limits, a port, folder or"
    " database that cannot be used",
    Exit.REFUSED: "the request was refused and nothing changed: a field outside its limits, a name already"
    " taken, too few credits, a full queue, a bad API key, another process at the same data",
    Exit.NOT_FOUND: "no such account, job, file or operation",
    Exit.OUT_OF_REACH: "the gateway or a server does not answer; the message says whether to look first",
    Exit.JOB_FAILED: "`run`, `demo`: the job failed, was canceled or expired; its credits came back",
    Exit.NOT_BALANCED: "`ledger audit`, `restore`, `demo`: the books do not balance",
    Exit.FAULTS: "`doctor`, `workflows check` found at least one fault",
    Exit.INTERRUPTED: "ended by Ctrl-C",
}

_OF_CODES: Final[dict[str, Exit]] = {
    "settings_invalid": Exit.SETTINGS,
    "not_found": Exit.NOT_FOUND,
    "blob_not_found": Exit.NOT_FOUND,
    "upstream_error": Exit.OUT_OF_REACH,
    "screening_unavailable": Exit.OUT_OF_REACH,
    "out_of_reach": Exit.OUT_OF_REACH,
    "job_failed": Exit.JOB_FAILED,
    "ledger_violation": Exit.NOT_BALANCED,
    "internal_error": Exit.BUG,
    "usage": Exit.USAGE,
}


def exit_of(code: str) -> Exit:
    """The exit code of an error code, ours or one that the gateway answered; all others are refusals."""
    return _OF_CODES.get(code, Exit.REFUSED)
