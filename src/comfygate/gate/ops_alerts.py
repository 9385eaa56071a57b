"""What needs a person, in sentences with the way out: for the banner of the operator's pages.

Made of what was looked at anyway; only the books and the reviews are asked for, seldom, and counted up to a
limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from comfygate.domain.errors import GateError, StoreTrouble
from comfygate.domain.health import ServerState
from comfygate.gate.context import Context
from comfygate.gate.fleet_control import UNKNOWN
from comfygate.gate.ops_now import Scene
from comfygate.store import ledger, ops_story

BOOKS_SECONDS: Final = 3600.0
"""Between two looks whether the books balance: it reads all of them."""
BOOKS_RETRY_SECONDS: Final = 60.0
REVIEWS_SECONDS: Final = 5.0
REVIEWS_COUNTED_MAX: Final = 1000
UNTOLD_MS: Final = 60_000
"""What waits longer than this to be told is stuck."""
FAULT: Final = "fault"
WARN: Final = "warn"
NOTE: Final = "note"
"""Nothing is wrong unless somebody meant otherwise: a lane that nobody uses and no server has."""
_WORST_FIRST: Final = (FAULT, WARN, NOTE)

Json = dict[str, Any]

log = structlog.get_logger(__name__)


class Finding(Protocol):
    """Something that was looked at in this process: `grade` is ok, note, warn or fault."""

    @property
    def grade(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def says(self) -> str: ...


Look = Callable[[], Awaitable[Sequence[Finding]]]


async def nothing_looked_at() -> Sequence[Finding]:
    """Where nobody looks at disks and screening."""
    return ()


@dataclass(slots=True)
class Alerts:
    """Finds alerts. `findings` looks at this process: disks, database, screening."""

    ctx: Context
    findings: Look = nothing_looked_at
    _books: Json | None = None
    _books_due: float = float("-inf")
    _reading: asyncio.Task[None] | None = None
    _reviews: tuple[float, int] = (float("-inf"), 0)

    async def of(self, scene: Scene) -> list[Json]:
        """Every alert, the worst first; each under a key that stays the same while it does."""
        found = [*_servers(scene), *_lanes(scene), *_telling(scene)]
        found += [
            _alert(one.grade, one.subject, one.says, _ADVICE.get(one.subject, ""))
            for one in await self.findings()
            # Lanes are looked at above, with what the store knows.
            if one.grade in {FAULT, WARN} and not one.subject.startswith("lane ")
        ]
        found += [*self._books_off(), *await self._reviews_wait()]
        return sorted(found, key=lambda alert: (_WORST_FIRST.index(alert["grade"]), alert["key"]))

    def _books_off(self) -> list[Json]:
        """What the last reading of the books found. They are read beside the looks, which do not wait."""
        now = asyncio.get_running_loop().time()
        if now >= self._books_due and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read_books(now), name="books")
        return [] if self._books is None else [self._books]

    async def books_read(self) -> None:
        """Wait until a reading of the books that is under way has ended."""
        if self._reading is not None:
            await self._reading

    async def _read_books(self, now: float) -> None:
        self._books_due = now + BOOKS_SECONDS
        try:
            audit = await self.ctx.store.read(ledger.audit)
        except GateError as error:
            log.info("alerts.books_not_read", error=error.message)
            self._books_due = now + BOOKS_RETRY_SECONDS
            return
        except Exception:
            # Nobody awaits this: told with its traceback, and read again in its time.
            log.exception("alerts.books_not_read")
            return
        self._books = None
        if audit.faults:
            says = f"The ledger does not balance: {len(audit.faults)} faults, the first: {audit.faults[0]}."
            self._books = _alert(FAULT, "ledger", says, "Run the ledger's audit, and look at each fault.")

    async def _reviews_wait(self) -> list[Json]:
        now = asyncio.get_running_loop().time()
        if now - self._reviews[0] >= REVIEWS_SECONDS:
            try:
                waiting = await self.ctx.store.read(ops_story.reviews_waiting, REVIEWS_COUNTED_MAX)
            except StoreTrouble as error:
                log.info("alerts.reviews_not_read", error=error.message)
                return []
            self._reviews = (now, waiting)
        waiting = self._reviews[1]
        if not waiting:
            return []
        says = f"Results that wait for review: {waiting}{'+' * (waiting == REVIEWS_COUNTED_MAX)}."
        return [_alert(WARN, "reviews", says, "Release or reject them; undecided ones expire.")]


_ADVICE: Final[Mapping[str, str]] = {
    "disk": "Free some space, or shorten retention in the settings.",
    "screening": "Look at the log; until it is mended jobs with pictures are refused.",
    "database": "Look at the log and at the database.",
    "lease": "Look at the log and at the database.",
}


def _alert(grade: str, subject: str, says: str, advice: str, **more: Any) -> Json:
    return {"key": subject, "grade": grade, "subject": subject, "says": says, "advice": advice, **more}


def _servers(scene: Scene) -> list[Json]:
    found = []
    for view in scene.views:
        name, reason = view.row.name, (view.reason.splitlines() or [""])[0]
        subject = f"server {name}"
        why = f": {reason}" if reason else ""
        if view.state == ServerState.QUARANTINED.value:
            advice = "Look at the server; 'resume' ends the quarantine at once."
            says, more = f"Server {name} is quarantined{why}.", {"until_at_ms": view.quarantined_until_at_ms}
            found.append(_alert(WARN, subject, says, advice, server=name, **more))
        elif view.state == ServerState.DOWN.value:
            advice = "Start it, or correct its address, or remove it."
            found.append(_alert(WARN, subject, f"Server {name} does not answer{why}.", advice, server=name))
        elif view.state == UNKNOWN:
            advice = "Start a service that gives work to servers."
            says = f"Nobody looks at server {name}: no running service owns it."
            found.append(_alert(WARN, subject, says, advice, server=name))
    return found


def _lanes(scene: Scene) -> list[Json]:
    found = []
    for name, lane in scene.lanes.items():
        waiting = lane["depth"]
        if lane["servers_up"] or not (scene.views or waiting):
            # Where there is no server at all, and nothing waits, the first run says so.
            continue
        what = "has no server that is up" if lane["servers"] else "has no server"
        says = f"Lane {name} {what}; {waiting} jobs wait."
        advice = "Look at its servers." if lane["servers"] else "Add a server to it."
        grade = FAULT if waiting else WARN if lane["servers"] else NOTE
        found.append(_alert(grade, f"lane {name}", says, advice, lane=name))
    return found


def _telling(scene: Scene) -> list[Json]:
    oldest = scene.untold["oldest_at_ms"]
    if oldest is None or scene.at_ms - oldest < UNTOLD_MS:
        return []
    says = f"{scene.untold['rows']} changes of jobs wait to be told, the oldest for over a minute."
    return [_alert(WARN, "outbox", says, "The log says which subscriber refuses them.")]
