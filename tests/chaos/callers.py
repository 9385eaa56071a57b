"""The users: they submit, cancel, top up and look, through whichever gateway answers.

They write down what they were told. An answer that does not come is never taken for a refusal: the same
Idempotency-Key goes again, and when it was used the job is looked up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from comfygate.cli import control_file
from comfygate.cli.operate import NobodyThereError, ask
from comfygate.cli.refusals import CommandError
from tests.chaos.plan import Caller, Submit
from tests.chaos.processes import Child, pause, wall_ms

ANSWER_SECONDS_MAX: Final = 5.0
AGAIN_SECONDS: Final = 0.2
OPEN: Final = "queued,running,canceling"
ENDED: Final = frozenset({"succeeded", "failed", "canceled", "expired"})

Json = dict[str, Any]


@dataclass(slots=True)
class Notes:
    """What callers know, for the auditor to compare with the database."""

    accepted: dict[str, str] = field(default_factory=dict)
    """Job by the key that it was submitted with."""
    known_at_ms: dict[str, int] = field(default_factory=dict)
    """When a job was known, for certain, to be accepted."""
    seen_ended: dict[str, str] = field(default_factory=dict)
    """The final status that a job was seen in."""
    changed_mind: list[str] = field(default_factory=list)
    """Jobs seen in two final states, or open again after one."""
    top_ups: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By reason: the account and the credits, of every one that was made for certain."""
    unanswered: int = 0
    looked_up: int = 0
    refused: int = 0
    cancel_asked_at_ms: dict[str, int] = field(default_factory=dict)
    """When its user began to ask for a job's end."""

    def saw(self, job_id: str, status: str) -> None:
        """A status that a gateway told."""
        before = self.seen_ended.get(job_id)
        if before is not None and before != status:
            self.changed_mind.append(f"job {job_id} was {before}, then {status}")
        if status in ENDED:
            self.seen_ended[job_id] = status


class Gone(Exception):
    """No usable answer: it may have been done or not."""


@dataclass(slots=True)
class Gateways:
    """The gateways' addresses as they change, one HTTP session for all callers."""

    children: list[Child]
    http: aiohttp.ClientSession
    over: asyncio.Event
    notes: Notes
    _next: int = 0

    async def call(
        self, method: str, path: str, key: str, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Json]:
        """One try at one gateway. Raises Gone when there is no answer, or one that says 5xx."""
        self._next += 1
        child = self.children[self._next % len(self.children)]
        url = f"{child.ready['url']}{path}"
        sent = {"Authorization": f"Bearer {key}", **(headers or {})}
        try:
            async with self.http.request(method, url, json=body, headers=sent) as answer:
                found = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            self.notes.unanswered += 1
            await pause(AGAIN_SECONDS, self.over)
            raise Gone from None
        if answer.status >= 500:
            await pause(AGAIN_SECONDS, self.over)
            raise Gone
        return answer.status, found

    async def operator(self, operation: str, arguments: Json) -> Json:
        """An operator's request through some gateway's control channel. Raises Gone and CommandError."""
        self._next += 1
        child = self.children[self._next % len(self.children)]
        found = control_file.read(Path(child.environment["COMFYGATE_BASE_DIR"]) / "data")
        if found is None:
            await pause(AGAIN_SECONDS, self.over)
            raise Gone
        try:
            return await ask(found, operation, arguments)
        except NobodyThereError:
            await pause(AGAIN_SECONDS, self.over)
            raise Gone from None
        except CommandError as error:
            if error.code in {"out_of_reach", "upstream_error", "internal_error", "server_trouble"}:
                await pause(AGAIN_SECONDS, self.over)
                raise Gone from None
            raise


@dataclass(slots=True)
class CallerAtWork:
    """One account's user, doing what was planned in order."""

    plan: Caller
    api_key: str
    gateways: Gateways
    notes: Notes
    open_max: int
    accepted_one: Callable[[], None]
    _due: dict[int, list[str]] = field(default_factory=dict)
    _top_ups: int = 0

    async def work(self) -> None:
        """Until everything planned was done, or the run is over."""
        for position, submit in enumerate(self.plan.submits):
            await self._room()
            job_id = await self._submit(submit)
            if job_id is None:
                return
            if submit.cancel_after is not None:
                self._due.setdefault(position + submit.cancel_after, []).append(job_id)
            for due in self._due.pop(position, []):
                await self._cancel(due)
        for waiting in self._due.values():
            for job_id in waiting:
                await self._cancel(job_id)

    async def _submit(self, submit: Submit) -> str | None:
        """Until it is accepted; None when the run is over."""
        path = f"/api/v2/jobs?lane={submit.lane}"
        headers = {"Idempotency-Key": submit.key}
        while not self.gateways.over.is_set():
            try:
                status, answer = await self.gateways.call(
                    "POST", path, self.api_key, body={"workflow": submit.graph}, headers=headers
                )
                code = answer.get("error", {}).get("code") if status >= 400 else None
                if code is None:
                    return self._accepted(submit, answer)
                if code == "idempotency_key_reuse":
                    found = await self._look_up(submit)
                    if found is not None:
                        return self._accepted(submit, found)
                self.notes.refused += code != "idempotency_key_reuse"
                if code == "insufficient_credits":
                    await self._top_up()
                elif code == "queue_full":
                    await pause(1.0, self.gateways.over)
                elif code != "idempotency_key_reuse":
                    raise AssertionError(f"{submit.key} was refused: {status} {answer}")
            except Gone:
                continue
        return None

    def _accepted(self, submit: Submit, job: Json) -> str:
        job_id = str(job["id"])
        self.notes.accepted[submit.key] = job_id
        self.notes.known_at_ms[job_id] = wall_ms()
        self.accepted_one()
        return job_id

    async def _look_up(self, submit: Submit) -> Json | None:
        """Find the job that an unanswered submission made, among one's own newest. Raises Gone."""
        self.notes.looked_up += 1
        known = set(self.notes.accepted.values())
        _, page = await self.gateways.call("GET", "/api/v2/jobs?limit=20", self.api_key)
        for job in page["jobs"]:
            if job["id"] in known:
                continue
            status, graph = await self.gateways.call(
                "GET", f"/api/v2/jobs/{job['id']}/workflow", self.api_key
            )
            if status == 200 and submit.key in str(graph):
                found: Json = job
                return found
        return None

    async def _cancel(self, job_id: str) -> None:
        self.notes.cancel_asked_at_ms.setdefault(job_id, wall_ms())
        while not self.gateways.over.is_set():
            try:
                await self.gateways.call("POST", f"/api/v2/jobs/{job_id}/cancel", self.api_key)
            except Gone:
                continue
            return

    async def _room(self) -> None:
        """Wait until fewer than `open_max` of one's jobs are open; what is seen on the way is noted."""
        while not self.gateways.over.is_set():
            try:
                path = f"/api/v2/jobs?limit=100&status={OPEN}"
                _, page = await self.gateways.call("GET", path, self.api_key)
                if len(page["jobs"]) < self.open_max:
                    await self._look_at_one()
                    return
                for job in page["jobs"]:
                    self.notes.saw(job["id"], job["status"])
            except Gone:
                continue
            await pause(AGAIN_SECONDS, self.gateways.over)

    async def _look_at_one(self) -> None:
        """The newest ended jobs, as their user sees them. Raises Gone."""
        _, page = await self.gateways.call("GET", "/api/v2/jobs?limit=50", self.api_key)
        for job in page["jobs"]:
            self.notes.saw(job["id"], job["status"])

    async def _top_up(self) -> None:
        """Once, whatever happens: unanswered, it is looked for in the ledger before it is asked again."""
        self._top_ups += 1
        reason = f"top-up {self.plan.name} {self._top_ups}"
        given = {"account": self.plan.name, "amount": self.plan.top_up, "reason": reason}
        in_doubt = False
        while not self.gateways.over.is_set():
            try:
                if in_doubt:
                    shown = await self.gateways.operator("ledger.show", {"account": self.plan.name})
                    if any(entry["reason"] == reason for entry in shown["entries"]):
                        break
                in_doubt = True
                await self.gateways.operator("credits.grant", given)
            except Gone:
                continue
            break
        self.notes.top_ups[reason] = (self.plan.name, self.plan.top_up)
