"""What the server did, kept where a kill -9 cannot take it: one JSON line each, appended and flushed at once.

Not synced to disk: it outlives the process, not the machine.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from comfygate.simulator.journal import Moment

RECORDED: Final = frozenset(
    {
        "process-started",
        "restarted",
        "received",
        "started",
        "finished",
        "interrupted",
        "dequeued",
        "history-deleted",
    }
)
"""Moments an auditor needs; the others come by the thousand."""


class JournalFile:
    """An append-only file of moments, open until the process ends.

    Times are wall-clock milliseconds that never fall within a process.
    """

    def __init__(self, path: Path) -> None:
        """Open or create it; raises OSError."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._latest_ms = 0

    def write(self, moment: Moment) -> None:
        """Append it, if an auditor needs it, in one write."""
        if moment.kind not in RECORDED:
            return
        self._latest_ms = max(self._latest_ms, time.time_ns() // 1_000_000)
        line: dict[str, Any] = {"at_ms": self._latest_ms, "pid": os.getpid(), "kind": moment.kind}
        if moment.prompt_id:
            line["prompt_id"] = moment.prompt_id
        if moment.origin is not None:
            line["origin"] = moment.origin.to_json()
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")


@dataclass(slots=True)
class Facts:
    """What ran and who touched what since the process began, restarts of the in-process kind included."""

    accepted: Counter[str] = field(default_factory=Counter)
    executed: list[str] = field(default_factory=list)
    finished: Counter[str] = field(default_factory=Counter)
    clients: dict[str, str] = field(default_factory=dict)
    touched: list[dict[str, Any]] = field(default_factory=list)

    def observe(self, moment: Moment) -> None:
        """Take one moment in."""
        match moment.kind:
            case "received":
                self.accepted[moment.prompt_id] += 1
                if moment.origin is not None:
                    self.clients[moment.prompt_id] = moment.origin.client_id
            case "started":
                self.executed.append(moment.prompt_id)
            case "finished":
                self.finished[moment.prompt_id] += 1
            case "interrupted" | "dequeued" | "history-deleted":
                by = None if moment.origin is None else moment.origin.to_json()
                self.touched.append({"kind": moment.kind, "prompt_id": moment.prompt_id, "by": by})
            case _:
                return

    def to_json(self) -> dict[str, Any]:
        """As GET /simulator/state tells it."""
        return {
            "executed": list(self.executed),
            "accepted": dict(self.accepted),
            "finished": dict(self.finished),
            "clients": dict(self.clients),
            "touched": list(self.touched),
        }
