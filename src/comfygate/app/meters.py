"""Every metric there is, in a registry of its own: the one module that knows the Prometheus client.

Labels are bounded: lanes and tiers of the settings, servers of the fleet, route templates, and words of
closed tables. Nothing of an account, a job or a graph ever becomes a label. What is set here at a scrape is
gathered in `app/metrics.py`; every metric stands in docs/reference/metrics.md.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client import disable_created_metrics as _disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from comfygate.domain.health import ServerState

WAIT_SECONDS: Final = (0.05, 0.25, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14400)
RUN_SECONDS: Final = (0.1, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800)
GAP_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 3, 10)
PHASE_SECONDS: Final = (0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 20, 60, 300, 1800)
SMALL_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
OTHER: Final = "other"
"""The label of what is not in the settings any more."""

# The series `*_created` would double what is sent and say nothing that a rate needs.
_disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class ServerGauges:
    """How one server stands."""

    state: ServerState
    slots: int
    busy: int
    foreign: int | None


@dataclass(frozen=True, slots=True)
class Picture:
    """What is so at this moment; what is not known is None. `waiting` is by lane and priority."""

    servers: Mapping[str, ServerGauges]
    streams: int
    free_bytes: Mapping[str, int]
    lease_in_force: bool | None
    waiting: Mapping[tuple[str, int], int] | None = None
    oldest_seconds: Mapping[str, float] | None = None
    untold: int = 0
    untold_seconds: float = 0.0


class Meters:
    """Counts what happened, shows what is, and writes both down for a scrape."""

    def __init__(self, lanes: Collection[str], tiers: Collection[str], version: str, role: str) -> None:
        self._lanes, self._tiers = frozenset(lanes), frozenset(tiers)
        self.registry = CollectorRegistry(auto_describe=True)
        self._count_jobs()
        self._count_attempts()
        self._count_requests()
        self._show_fleet()
        self._show_waiting()
        info = Info("comfygate_build", "Version and role of this process.", registry=self.registry)
        info.info({"version": version, "role": role})
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        for lane in self._lanes:
            self.run.labels(lane)
            self.late.labels(lane)

    def _counter(self, name: str, about: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(f"comfygate_{name}", about, tuple(labels), registry=self.registry)

    def _gauge(self, name: str, about: str, labels: Iterable[str] = ()) -> Gauge:
        return Gauge(f"comfygate_{name}", about, tuple(labels), registry=self.registry)

    def _histogram(
        self, name: str, about: str, labels: Iterable[str], buckets: tuple[float, ...]
    ) -> Histogram:
        return Histogram(f"comfygate_{name}", about, tuple(labels), buckets=buckets, registry=self.registry)

    def _count_jobs(self) -> None:
        self.submitted = self._counter("jobs_submitted_total", "Jobs accepted.", ("lane", "tier"))
        self.ended = self._counter("jobs_ended_total", "Jobs that ended.", ("lane", "status"))
        self.wait = self._histogram(
            "job_wait_seconds", "From submission to the first claim.", ("lane", "tier"), WAIT_SECONDS
        )
        self.credits = self._counter("credits_total", "Credits that moved for jobs.", ("move",))
        for move in ("held", "captured", "refunded"):
            self.credits.labels(move)

    def _count_attempts(self) -> None:
        self.attempts = self._counter(
            "attempts_ended_total", "Attempts that ended.", ("lane", "outcome", "blame")
        )
        self.late = self._counter(
            "attempts_late_total", "Outcomes that changed nothing, because they came late.", ("lane",)
        )
        self.run = self._histogram(
            "execution_seconds", "From ComfyUI's beginning to its end, as seen here.", ("lane",), RUN_SECONDS
        )
        self.phase = self._histogram(
            "attempt_phase_seconds", "Phases of attempts.", ("lane", "phase"), PHASE_SECONDS
        )
        self.gap = self._histogram(
            "slot_idle_gap_seconds",
            "From the end of a slot's prompt to the next one's acceptance, where that job waited already.",
            ("server",),
            GAP_SECONDS,
        )

    def _count_requests(self) -> None:
        self.requests = self._counter(
            "http_requests_total", "Requests answered.", ("method", "route", "status")
        )
        self.answer = self._histogram(
            "http_answer_seconds",
            "From a request to the first byte of its answer.",
            ("route",),
            SMALL_SECONDS,
        )
        self.store = self._histogram(
            "store_seconds", "Intents of the store, waiting for its turn included.", ("kind",), SMALL_SECONDS
        )
        self.store_failed = self._counter(
            "store_failures_total", "Intents that the database failed.", ("kind",)
        )
        for kind in ("read", "write"):
            self.store.labels(kind)
            self.store_failed.labels(kind)
        self.lag = self._histogram(
            "event_loop_lag_seconds", "How late a timer of the event loop was.", (), SMALL_SECONDS
        )
        self.missed = self._counter(
            "metrics_rows_missed_total",
            "Rows of the outbox that were not counted: the store was away too long.",
        )

    def _show_fleet(self) -> None:
        self._state = self._gauge(
            "server_state", "1 for the state that a server of this process is in.", ("server", "state")
        )
        self._slots = self._gauge("server_slots", "Slots of a server.", ("server",))
        self._busy = self._gauge("server_slots_busy", "Slots with a job of ours.", ("server",))
        self._foreign = self._gauge(
            "server_foreign_prompts", "Prompts of others on a server, at its last probe.", ("server",)
        )
        self._streams = self._gauge("sse_followers", "Open live event streams.")
        self._free = self._gauge("disk_free_bytes", "Free bytes of the disk a folder is on.", ("folder",))
        self._lease = self._gauge(
            "lease_in_force", "Whether this process may give work to its servers; only where it does that."
        )

    def _show_waiting(self) -> None:
        self._up = self._gauge("store_up", "Whether the database answered.")
        self._depth = self._gauge(
            "queue_depth", "Jobs that wait, counted up to 20000 a lane.", ("lane", "priority")
        )
        self._oldest = self._gauge("queue_oldest_seconds", "Age of the oldest job that waits.", ("lane",))
        self._untold = self._gauge("outbox_rows", "Rows of the outbox that wait, counted up to 20000.")
        self._untold_age = self._gauge("outbox_oldest_seconds", "Age of the oldest row that waits.")

    def lane(self, name: str) -> str:
        """The label of a lane."""
        return name if name in self._lanes else OTHER

    def tier(self, name: str) -> str:
        """The label of a tier."""
        return name if name in self._tiers else OTHER

    def show(self, picture: Picture) -> None:
        """Set every gauge anew; what is not known is not shown."""
        for gauge in (self._state, self._slots, self._busy, self._foreign, self._depth, self._oldest):
            gauge.clear()
        for name, server in picture.servers.items():
            for state in ServerState:
                self._state.labels(name, state.value).set(server.state is state)
            self._slots.labels(name).set(server.slots)
            self._busy.labels(name).set(server.busy)
            if server.foreign is not None:
                self._foreign.labels(name).set(server.foreign)
        self._streams.set(picture.streams)
        for folder, free in picture.free_bytes.items():
            self._free.labels(folder).set(free)
        self._lease.set(math.nan if picture.lease_in_force is None else picture.lease_in_force)
        self._up.set(picture.waiting is not None)
        for (lane, priority), count in (picture.waiting or {}).items():
            self._depth.labels(lane, str(priority)).set(count)
        for lane, seconds in (picture.oldest_seconds or {}).items():
            self._oldest.labels(lane).set(seconds)
        self._untold.set(math.nan if picture.waiting is None else picture.untold)
        self._untold_age.set(math.nan if picture.waiting is None else picture.untold_seconds)

    def written(self, accept: str) -> tuple[bytes, str]:
        """Everything in the form that `accept` asks for, and that form's content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
