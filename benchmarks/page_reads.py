"""What every page of the web asks for when it is opened, by the page's address.

A test compares the list with the pages' scripts. The names in braces stand for what `crowd` wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from benchmarks.crowd import HEAVY, job_id, waiting_id

OPS: Final = "gate/v1/ops"
RANGES: Final = ("1h", "24h", "7d", "30d")
MEASURES: Final = ("wait", "ended", "blame", "busy", "credits", "eta")
STREAMS: Final = {f"{OPS}/stream": "now", "gate/v1/events": "all"}
"""Streams, and the event after which a page knows how everything stands."""
ENDED: Final = ("succeeded", "failed", "canceled", "expired")
JOB: Final = job_id(6)
"""One of the heavy account's, not past its time."""
REVIEWED: Final = job_id(0)
"""One whose result waits for a decision."""


def _gallery(*statuses: str, workflow: str = "") -> str:
    wanted = "".join(f"&status={one}" for one in statuses)
    return f"gate/v1/jobs?limit=24{wanted}{f'&workflow={workflow}' if workflow else ''}"


def _jobs(query: str) -> tuple[str, ...]:
    return (f"{OPS}/jobs?{query}&limit=50",)


PAGES: Final[Mapping[str, tuple[str, ...]]] = {
    "/ops, what every page of it asks first": (
        "gate/v1/session", f"{OPS}/me", f"{OPS}/first-run", f"{OPS}/stream",
    ),
    "#/jobs": _jobs(""),
    **{
        f"#/jobs/status={status}": _jobs(f"status={status}")
        for status in ("queued", "running", "canceling", *ENDED, "queued,running,canceling")
    },
    "#/jobs/lane=video": _jobs("lane=video"),
    "#/jobs/lane=image/status=failed": _jobs("lane=image&status=failed"),
    "#/jobs/account": (f"{OPS}/jobs?account={HEAVY}&limit=1", *_jobs(f"account={HEAVY}")),
    "#/jobs/account/status=expired": _jobs(f"account={HEAVY}&status=expired"),
    "#/job": (f"{OPS}/jobs/{JOB}",),
    "#/job, that waits": (f"{OPS}/jobs/{waiting_id(40)}",),
    "#/accounts": (f"{OPS}/accounts?limit=50",),
    "#/accounts/search": (f"{OPS}/accounts?search=wd-77&limit=50",),
    "#/accounts/search, nobody": (f"{OPS}/accounts?search=nobody&limit=50",),
    "#/account": (
        f"{OPS}/accounts/{HEAVY}", f"{OPS}/jobs?account={HEAVY}&limit=50",
        f"{OPS}/entries?account={HEAVY}&limit=50",
    ),
    "#/server": (f"{OPS}/servers/gpu1",),
    **{
        f"#/plots/{name}": (
            *(f"{OPS}/series?measure={measure}&range={name}" for measure in MEASURES), f"{OPS}/eta",
        )
        for name in RANGES
    },
    **{
        f"#/reviews/{state or 'all'}": (f"{OPS}/reviews?limit=50{f'&state={state}' if state else ''}",)
        for state in ("", "waiting", "released", "rejected", "expired")
    },
    "#/review": (f"{OPS}/reviews/{REVIEWED}", f"{OPS}/accounts/{HEAVY}/suspicions"),
    "#/books": (f"{OPS}/entries?limit=50", f"{OPS}/codes?limit=100", f"{OPS}/payments?limit=100"),
    "#/books/account": (
        f"{OPS}/accounts/{HEAVY}", f"{OPS}/entries?account={HEAVY}&limit=50", f"{OPS}/codes?limit=100",
        f"{OPS}/payments?limit=100&account={HEAVY}",
    ),
    "#/catalogue": (f"{OPS}/workflows",),
    "#/catalogue, one": (f"{OPS}/workflows/restyle",),
    "#/audit": (f"{OPS}/audit?limit=50",),
    "#/audit/operation": (f"{OPS}/audit?operation=lanes.&limit=50",),
    "#/audit/actor": (f"{OPS}/audit?actor=account:{HEAVY}&limit=50",),
    "#/audit/actor, nobody": (f"{OPS}/audit?actor=telegram:7&limit=50",),
    "/studio, what every page of it asks first": (
        "gate/v1/session", "gate/v1/workflows", "gate/v1/events", "gate/v1/account",
    ),
    "studio#/gallery": (_gallery("succeeded"),),
    "studio#/gallery, all": (_gallery(*ENDED),),
    "studio#/gallery, not made": (_gallery("failed", "canceled", "expired"),),
    "studio#/gallery, of a workflow": (_gallery("succeeded", workflow="two"),),
    "studio#/gallery, of one never used": (_gallery("succeeded", workflow="three"),),
    "studio#/job": (f"gate/v1/jobs/{JOB}",),
    "studio#/job, why it waits": (f"gate/v1/jobs/{waiting_id(40)}", f"gate/v1/jobs/{waiting_id(40)}/why"),
    "studio#/credits": ("gate/v1/entries?limit=50",),
    "studio#/account": ("gate/v1/sessions",),
}  # fmt: skip

GROWS: Final[Mapping[str, tuple[str, ...]]] = {"#/books, recomputed": (f"{OPS}/ledger/audit",)}
"""Asked for by a button: every entry is read, which is what it is for."""

NOT_AT_OPENING: Final = frozenset(
    {
        # Bytes of one file, or of many: their rows are found by their keys.
        "gate/v1/outputs.zip",
        f"{OPS}/reviews/{{}}/outputs/{{}}",
        # A file of the catalogue's folder.
        "gate/v1/workflows/{}/example",
        # What a price and an order are posted under.
        "gate/v1/workflows/{}",
    }
)
"""What the scripts name beside, which no page waits for."""
