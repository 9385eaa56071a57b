"""Spans and their ids: the one module that knows OpenTelemetry.

That is an extra, and loaded only where traces are wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import threading
import uuid
from collections.abc import Mapping
from typing import Final

from comfygate.domain.errors import SettingsError

# ruff: noqa: PLC0415 - see above

NAME: Final = "comfygate"
EXPORT_SECONDS: Final = 5.0
"""How long a batch of spans may take on its way, and how long the last of them may at the stop."""
QUEUE_SPANS_MAX: Final = 4096
"""Spans that wait to be sent; more are dropped."""
Attributes = Mapping[str, str | int | bool]


def trace_id_of(job_id: str) -> int:
    """The trace id of a job: its UUID as a number."""
    try:
        return uuid.UUID(job_id).int
    except ValueError:
        return int.from_bytes(hashlib.blake2b(job_id.encode(), digest_size=16).digest())


def is_traced(job_id: str, ratio: float) -> bool:
    """Whether a job belongs to the part that is traced: the same answer in every process."""
    # Not the UUID's own bits: some of them are always the same.
    drawn = int.from_bytes(hashlib.blake2b(job_id.encode(), digest_size=8, person=b"ratio").digest())
    return drawn < ratio * 2**64


def span_id_of(*parts: object) -> int:
    """The span id that follows from these parts; never 0."""
    text = "/".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest()) or 1


class Spans:
    """Makes spans of plain values and hands them to the SDK's exporter. Raises SettingsError without it."""

    def __init__(self, endpoint: str, headers: Mapping[str, str], version: str, role: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise SettingsError(
                "traces.endpoint is set and OpenTelemetry is not installed: pip install comfygate[traces]"
            ) from error
        exporter = OTLPSpanExporter(endpoint, headers=dict(headers), timeout=EXPORT_SECONDS)
        self._sent = BatchSpanProcessor(exporter, max_queue_size=QUEUE_SPANS_MAX)
        self._resource = Resource.create(
            {"service.name": NAME, "service.version": version, "comfygate.role": role}
        )

    def add(
        self,
        name: str,
        trace_id: int,
        span_id: int,
        parent_id: int | None,
        times_ns: tuple[int, int],
        attributes: Attributes,
        *,
        events: list[tuple[str, int]] | None = None,
        links: list[tuple[int, int]] | None = None,
        failed: str | None = None,
        is_request: bool = False,
    ) -> None:
        """Send one span. `links` are trace and span ids; `failed` says what went wrong."""
        from opentelemetry.sdk.trace import Event, ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def context(trace: int, span: int, *, is_remote: bool = True) -> SpanContext:
            return SpanContext(trace, span, is_remote, TraceFlags(TraceFlags.SAMPLED))

        span: ReadableSpan = ReadableSpan(
            name,
            context(trace_id, span_id, is_remote=False),
            parent=None if parent_id is None else context(trace_id, parent_id),
            resource=self._resource,
            attributes=attributes,
            events=[Event(event, timestamp=at_ns) for event, at_ns in events or ()],
            links=[Link(context(*link)) for link in links or ()],
            kind=SpanKind.SERVER if is_request else SpanKind.INTERNAL,
            status=Status(StatusCode.UNSET) if failed is None else Status(StatusCode.ERROR, failed),
            start_time=times_ns[0],
            end_time=max(times_ns),
            instrumentation_scope=InstrumentationScope(NAME),
        )
        self._sent.on_end(span)

    async def close(self) -> None:
        """Send what waits, within limits; what a collector does not take by then is lost."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def shut_down() -> None:
            self._sent.shutdown()  # type: ignore[no-untyped-call]
            with contextlib.suppress(RuntimeError):
                # The loop may have ended meanwhile.
                loop.call_soon_threadsafe(done.set)

        # A thread that nobody waits for at the process's end, unlike those of the loop's executor.
        threading.Thread(target=shut_down, name="comfygate-traces", daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXPORT_SECONDS):
                await done.wait()
