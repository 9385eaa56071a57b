"""Traces of jobs, made from what happens to them.

A job's trace needs nothing stored and nothing passed between processes: its trace id is the job's own UUID
without dashes, and the ids of its spans follow from job, attempt and process. So every replica adds to the
same trace, and who has a job's id can look its trace up. A span is made when its end is known.

    submit -+- wait
            +- attempt -+- stage, send, watch, collect, settle
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import EventDict

from comfygate.app.operations import PATHS, route_of
from comfygate.app.spans import Attributes, Spans, is_traced, span_id_of, trace_id_of
from comfygate.gate.happenings import Began, Claimed, Ended, Happening, Phase, Reached, Released, Submitted
from comfygate.store.rows import ClaimedAttempt

_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_WELL: Final = frozenset({"succeeded", "canceled"})
LEFT_OPEN: Final = "left_open"
"""The outcome of an attempt that another process will bring to its end."""


@dataclass(slots=True)
class RequestTrace:
    """The trace of one HTTP request: the caller's where it sent a `traceparent`, else one of its own."""

    trace_id: int
    span_id: int
    parent_id: int | None
    sampled: bool
    job_ids: list[str] = field(default_factory=list)
    """Jobs that were submitted in it."""


@dataclass(slots=True)
class _Open:
    """An attempt that is driven here. Times in ns since 1970."""

    attempt: ClaimedAttempt
    began_ns: int
    phase: Phase | None = None
    phase_began_ns: int = 0
    started_ns: list[int] = field(default_factory=list)
    ended: Ended | None = None


_request: ContextVar[RequestTrace | None] = ContextVar("comfygate_request_trace", default=None)


class Traces:
    """Hears what happens in a process that calls itself `owner`, and makes spans of a part of it."""

    def __init__(self, spans: Spans, ratio: float, owner: str) -> None:
        self.spans, self.ratio, self._owner = spans, ratio, owner
        self._open: dict[str, _Open] = {}

    def heard(self, happening: Happening) -> None:
        """Add what happened to its job's trace, if the job is one of those that are traced."""
        job_id = happening.job.id if isinstance(happening, Submitted) else happening.attempt.fence.job_id
        if not is_traced(job_id, self.ratio):
            return
        now_ns = time.time_ns()
        match happening:
            case Submitted(seconds=seconds):
                self._submitted(happening, now_ns - int(seconds * 1e9), now_ns)
            case Claimed(attempt=attempt, seconds=seconds):
                self._claimed(attempt, now_ns - int(seconds * 1e9), now_ns)
            case Reached(attempt=attempt, phase=phase):
                opened = self._open.setdefault(attempt.prompt_id, _Open(attempt, now_ns))
                self._leave_phase(attempt, opened, now_ns)
                opened.phase, opened.phase_began_ns = phase, now_ns
            case Began(attempt=attempt):
                if (driven := self._open.get(attempt.prompt_id)) is not None:
                    driven.started_ns.append(now_ns)
            case Ended(attempt=attempt):
                if (driven := self._open.get(attempt.prompt_id)) is not None:
                    driven.ended = happening
            case Released(attempt=attempt):
                self._released(attempt, now_ns)

    def _submitted(self, happening: Submitted, began_ns: int, now_ns: int) -> None:
        job, request = happening.job, _request.get()
        links = []
        if request is not None:
            request.job_ids.append(job.id)
            links = [(request.trace_id, request.span_id)] if request.sampled else []
        attributes: Attributes = {"comfygate.job": job.id, "comfygate.lane": job.lane}
        trace_id, span_id = trace_id_of(job.id), span_id_of(job.id)
        self.spans.add("submit", trace_id, span_id, None, (began_ns, now_ns), attributes, links=links)

    def _claimed(self, attempt: ClaimedAttempt, began_ns: int, now_ns: int) -> None:
        # What was made ready ahead has been sent by now.
        opened = self._open.setdefault(attempt.prompt_id, _Open(attempt, began_ns))
        job_id = attempt.fence.job_id
        if attempt.fence.attempt == 1:
            times = (attempt.submitted_at_ms * 1_000_000, opened.began_ns)
            span_id, parent_id = span_id_of(job_id, "wait"), span_id_of(job_id)
            self.spans.add("wait", trace_id_of(job_id), span_id, parent_id, times, _about(attempt))
        self._phase(attempt, "claim", (began_ns, now_ns))

    def _phase(
        self, attempt: ClaimedAttempt, name: str, times: tuple[int, int], events: tuple[int, ...] = ()
    ) -> None:
        parent_id = self._attempt_span(attempt)
        self.spans.add(
            name,
            trace_id_of(attempt.fence.job_id),
            span_id_of(parent_id, name, times[0]),
            parent_id,
            times,
            _about(attempt),
            events=[("started", at_ns) for at_ns in events],
        )

    def _attempt_span(self, attempt: ClaimedAttempt) -> int:
        return span_id_of(attempt.fence.job_id, attempt.fence.attempt, self._owner)

    def _leave_phase(self, attempt: ClaimedAttempt, opened: _Open, now_ns: int) -> None:
        if opened.phase is None:
            return
        started, opened.started_ns = tuple(opened.started_ns), []
        self._phase(attempt, opened.phase.value, (opened.phase_began_ns, now_ns), started)

    def _released(self, attempt: ClaimedAttempt, now_ns: int) -> None:
        opened = self._open.pop(attempt.prompt_id, None)
        if opened is None:
            return
        self._leave_phase(attempt, opened, now_ns)
        outcome, blame = (opened.ended.outcome, opened.ended.blame) if opened.ended else (LEFT_OPEN, "")
        job_id = attempt.fence.job_id
        self.spans.add(
            "attempt",
            trace_id_of(job_id),
            self._attempt_span(attempt),
            span_id_of(job_id),
            (opened.began_ns, now_ns),
            {
                **_about(attempt),
                "comfygate.adopted": attempt.adopted,
                "comfygate.outcome": outcome,
                "comfygate.blame": blame,
            },
            failed=None if outcome in _WELL else blame or outcome,
        )

    async def close(self) -> None:
        """End the spans of what this process leaves open, and send what waits."""
        for opened in list(self._open.values()):
            self._released(opened.attempt, time.time_ns())
        await self.spans.close()

    def request(self, scope: Scope) -> RequestTrace:
        """The trace that a request belongs to."""
        for name, value in scope["headers"]:
            if name == b"traceparent" and (found := _TRACEPARENT.fullmatch(value.decode("latin-1"))):
                trace_id, parent_id, flags = (int(part, 16) for part in found.groups())
                if trace_id and parent_id:
                    return RequestTrace(trace_id, secrets.randbits(64) or 1, parent_id, bool(flags & 1))
        sampled = secrets.randbelow(2**32) < self.ratio * 2**32
        return RequestTrace(secrets.randbits(128) or 1, secrets.randbits(64) or 1, None, sampled)

    @contextlib.contextmanager
    def in_logs(self) -> Iterator[None]:
        """For the length of the block every log line of a traced job carries its trace id."""

        def with_trace_id(_logger: Any, _method: str, event: EventDict) -> EventDict:
            job_id = event.get("job")
            if isinstance(job_id, str) and is_traced(job_id, self.ratio):
                event["trace_id"] = f"{trace_id_of(job_id):032x}"
            return event

        # In the list itself: loggers that are bound already have this very list.
        processors: list[Any] = structlog.get_config()["processors"]
        processors.insert(1, with_trace_id)
        try:
            yield
        finally:
            processors.remove(with_trace_id)


def _about(attempt: ClaimedAttempt) -> Attributes:
    return {
        "comfygate.job": attempt.fence.job_id,
        "comfygate.attempt": attempt.fence.attempt,
        "comfygate.lane": attempt.lane,
        "comfygate.server": attempt.server,
    }


class TracedRequests:
    """ASGI middleware: a span for every request, named by its route, and its trace id in the log."""

    def __init__(self, app: ASGIApp, *, traces: Traces) -> None:
        self._app, self._traces = app, traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PATHS:
            await self._app(scope, receive, send)
            return
        trace, began_ns, status = self._traces.request(scope), time.time_ns(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        token = _request.set(trace)
        try:
            if not trace.sampled:
                await self._app(scope, receive, send)
                return
            with structlog.contextvars.bound_contextvars(trace_id=f"{trace.trace_id:032x}"):
                await self._app(scope, receive, noted)
        finally:
            _request.reset(token)
            if trace.sampled:
                self._end(scope, trace, (began_ns, time.time_ns()), status)

    def _end(self, scope: Scope, trace: RequestTrace, times: tuple[int, int], status: int) -> None:
        method, route = str(scope["method"])[:16], route_of(scope)
        self._traces.spans.add(
            f"{method} {route}",
            trace.trace_id,
            trace.span_id,
            trace.parent_id,
            times,
            {"http.request.method": method, "http.route": route, "http.response.status_code": status},
            links=[(trace_id_of(job_id), span_id_of(job_id)) for job_id in trace.job_ids],
            failed=f"answered {status}" if status >= 500 else None,
            is_request=True,
        )
