"""Puts together what a process is watched by: probes always, metrics and traces as the settings say."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from comfygate.app.meters import Meters
from comfygate.app.metrics import MeteredStore, Metrics
from comfygate.app.operations import CountedRequests, add_metrics, add_probes, operations_app
from comfygate.app.readiness import Readiness
from comfygate.app.spans import Spans
from comfygate.app.traces import TracedRequests, Traces
from comfygate.gate.service import Service
from comfygate.settings import Settings
from comfygate.store.engine import Store
from comfygate.version import VERSION


@dataclass(frozen=True, slots=True)
class Watched:
    """A running gate with what watches it."""

    settings: Settings
    readiness: Readiness
    metrics: Metrics | None
    traces: Traces | None

    def put_on(self, api: FastAPI) -> None:
        """Give the HTTP face its probes, and count its requests; /metrics is there only behind its key."""
        add_probes(api, self.readiness)
        api.state.board.alerts.findings = self.readiness.look
        if self.traces is not None:
            api.add_middleware(TracedRequests, traces=self.traces)
        if self.metrics is None:
            return
        api.add_middleware(CountedRequests, metrics=self.metrics, clock=time.perf_counter)
        key = self.settings.metrics.key
        if key is not None:
            add_metrics(api, self.metrics, key.get_secret_value())

    def operations_app(self) -> FastAPI:
        """The face of `metrics.port`."""
        return operations_app(self.readiness, self.metrics)


class Watch:
    """What will watch a gate: made before the gate, because the store is wrapped.

    Raises SettingsError when traces are wanted and their extra is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._meters: Meters | None = None
        if settings.metrics.enabled:
            self._meters = Meters(settings.lanes, settings.tiers, VERSION, settings.role)
        self._spans: Spans | None = None
        if given := settings.traces.endpoint:
            headers = {name: value.get_secret_value() for name, value in settings.traces.headers.items()}
            self._spans = Spans(given, headers, VERSION, settings.role)

    def seen(self, store: Store) -> Store:
        """The store, metered if that is wanted."""
        return store if self._meters is None else MeteredStore(store, self._meters)

    @contextlib.asynccontextmanager
    async def over(self, service: Service) -> AsyncIterator[Watched]:
        """Watch a running gate for the length of the block."""
        settings, ctx = self._settings, service.ctx
        dispatching = settings.role in {"all", "dispatch"}
        folders = _folders(settings)
        readiness = Readiness(ctx, dispatching=dispatching, folders=folders)
        async with contextlib.AsyncExitStack() as stack:
            metrics = None
            if self._meters is not None:
                metrics = Metrics(
                    ctx,
                    self._meters,
                    owns=service.dispatcher.owns,
                    dispatching=dispatching,
                    folders=folders,
                )
                await stack.enter_async_context(metrics.running())
                service.subscribers.append(metrics.told)
                stack.callback(service.subscribers.remove, metrics.told)
            traces = None
            if self._spans is not None:
                traces = Traces(self._spans, settings.traces.ratio, ctx.owner)
                stack.push_async_callback(traces.close)
                ctx.happened.listeners.append(traces.heard)
                stack.callback(ctx.happened.listeners.remove, traces.heard)
                stack.enter_context(traces.in_logs())
            yield Watched(settings, readiness, metrics, traces)


def _folders(settings: Settings) -> Mapping[str, Path]:
    return {"data": settings.data_path, "uploads": settings.uploads_path, "results": settings.results_path}
