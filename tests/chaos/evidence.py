"""What a run left behind, read once: rows of the database, the simulators' journals, the gateways' logs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

Row = Any
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A journal's line; `order` is its place in the file."""

    server: str
    at_ms: int
    kind: str
    prompt_id: str
    agent: str
    order: int


@dataclass(frozen=True, slots=True)
class Said:
    """A gateway's log line about an attempt."""

    process: str
    at_ms: int
    event: str
    job: str
    attempt: int


@dataclass(slots=True)
class Evidence:
    """Everything an auditor looks at."""

    jobs: dict[str, Row]
    graphs: dict[str, str]
    attempts: list[Row]
    entries: list[Row]
    accounts: list[Row]
    outputs_of: dict[str, int]
    journals: dict[str, list[Line]]
    said: list[Said]
    attempt_of_prompt: dict[str, Row] = field(default_factory=dict)
    attempts_of_job: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for attempt in self.attempts:
            self.attempt_of_prompt[attempt.prompt_id] = attempt
            self.attempts_of_job[attempt.job_id].append(attempt)


def read_evidence(url: str, journals: Sequence[tuple[str, Path]], logs: Path) -> Evidence:
    """Read it all; nothing may be running any more that writes."""
    engine = create_engine(url)
    try:
        with engine.connect() as conn:

            def rows(query: str) -> list[Row]:
                return list(conn.execute(text(query)))

            outputs = rows(
                "SELECT job_id, count(*) AS n FROM assets WHERE job_id IS NOT NULL GROUP BY job_id"
            )
            return Evidence(
                jobs={row.id: row for row in rows("SELECT * FROM jobs ORDER BY ticket")},
                graphs={row.job_id: row.graph for row in rows("SELECT job_id, graph FROM job_graphs")},
                attempts=rows("SELECT * FROM attempts ORDER BY job_id, number"),
                entries=rows("SELECT * FROM entries ORDER BY id"),
                accounts=rows("SELECT * FROM accounts"),
                outputs_of={row.job_id: row.n for row in outputs},
                journals={name: list(_lines(name, path)) for name, path in journals},
                said=sorted(_said(logs), key=lambda one: one.at_ms),
            )
    finally:
        engine.dispose()


def keep_rows(found: Evidence, path: Path) -> None:
    """Write the rows down beside the logs: the database goes with its server."""
    tables = {
        "jobs": found.jobs.values(),
        "attempts": found.attempts,
        "entries": found.entries,
        "accounts": found.accounts,
    }
    with path.open("w", encoding="utf-8") as file:
        for table, rows in tables.items():
            for row in rows:
                file.write(json.dumps({"table": table, **row._mapping}) + "\n")


def unfinished(url: str) -> int:
    """How many jobs have not ended, asked beside the running gateways."""
    engine = create_engine(url)
    try:
        with engine.connect() as conn:
            states = "('succeeded', 'failed', 'canceled', 'expired')"
            query = text(f"SELECT count(*) FROM jobs WHERE state NOT IN {states}")  # noqa: S608 - our own words
            return int(conn.execute(query).scalar_one())
    finally:
        engine.dispose()


def _lines(server: str, path: Path) -> Iterator[Line]:
    for order, raw in enumerate(path.read_text(encoding="utf-8").splitlines()):
        said = json.loads(raw)
        origin = said.get("origin", {})
        yield Line(
            server,
            int(said["at_ms"]),
            said["kind"],
            said.get("prompt_id", ""),
            origin.get("agent", ""),
            order,
        )


def _said(logs: Path) -> Iterator[Said]:
    for path in sorted(logs.glob("gateway*.log")):
        for raw in path.read_text(encoding="utf-8", errors="replace").splitlines():
            line = _json(raw)
            if line is None or "job" not in line or "attempt" not in line:
                continue
            at = datetime.fromisoformat(line["timestamp"])
            yield Said(
                path.stem, int(at.timestamp() * 1000), line["event"], str(line["job"]), int(line["attempt"])
            )


def _json(raw: str) -> Json | None:
    """A log line, or None for what is none: a process may die in the middle of one."""
    try:
        line = json.loads(raw)
    except ValueError:
        return None
    return line if isinstance(line, dict) and "timestamp" in line and "event" in line else None
