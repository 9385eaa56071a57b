"""A collector of traces: takes OTLP over HTTP and keeps the spans."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Span:
    """One span as it came."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began_ns: int
    seconds: float
    attributes: dict[str, Any]
    events: tuple[str, ...]
    links: tuple[str, ...]
    """The trace ids that it is linked to."""
    failed: bool
    resource: dict[str, Any]


@dataclass(slots=True)
class Collector:
    """What came so far."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def trace(self, trace_id: str) -> dict[str, Span]:
        """The spans of one trace, by name; the last of a name."""
        return {span.name: span for span in self.spans if span.trace_id == trace_id}

    async def take(self, request: web.Request) -> web.Response:
        self.keys.add(request.headers.get("x-key", ""))
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for group in sent.resource_spans:
            resource = _plain(group.resource.attributes)
            self.spans += [_span(span, resource) for scope in group.scope_spans for span in scope.spans]
        self._more.set()
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")


def _plain(attributes: Any) -> dict[str, Any]:
    return {item.key: getattr(item.value, item.value.WhichOneof("value")) for item in attributes}


def _span(span: Any, resource: dict[str, Any]) -> Span:
    return Span(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        _plain(span.attributes),
        tuple(event.name for event in span.events),
        tuple(link.trace_id.hex() for link in span.links),
        span.status.code == 2,
        resource,
    )


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector on a port that the system chooses."""
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
        yield collector
    finally:
        await runner.cleanup()
