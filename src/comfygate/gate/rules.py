"""The settings that use cases and loops need, as plain values handed down from `app`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from comfygate.domain.health import HealthLimits
from comfygate.domain.order import Lane, Tier
from comfygate.domain.retry import SubmitPolicy
from comfygate.domain.safety import Bounds, NodePolicy
from comfygate.domain.screening import Policy
from comfygate.domain.watchdog import Patience


@dataclass(frozen=True, slots=True)
class Limits:
    """The most of everything; see `docs/reference/settings.md`."""

    graph_bytes_max: int = 2 * 1024 * 1024
    graph_nodes_max: int = 2000
    inputs_max: int = 32
    upload_bytes_max: int = 100 * 1024 * 1024
    picture_pixels_max: int = 64_000_000
    picture_frames_max: int = 3000
    output_bytes_max: int = 2 * 1024**3
    outputs_max: int = 256
    streams_per_account_max: int = 16
    page_limit_max: int = 100
    position_cap: int = 1000
    pixels_max: int = 8192 * 8192
    batch_max: int = 4096
    steps_max: int = 1000

    @property
    def bounds(self) -> Bounds:
        """The largest numbers in a graph."""
        return Bounds(self.pixels_max, self.batch_max, self.steps_max)


@dataclass(frozen=True, slots=True)
class Rules:
    """How this house runs. Times in seconds."""

    lanes: Mapping[str, Lane]
    tiers: Mapping[str, Tier]
    output_nodes: Mapping[str, str]
    file_inputs: Mapping[str, Sequence[str]]
    node_prices: Mapping[str, int] = field(default_factory=dict)
    nodes: NodePolicy = field(default_factory=NodePolicy)
    limits: Limits = field(default_factory=Limits)
    submit: SubmitPolicy = field(default_factory=SubmitPolicy)
    health: HealthLimits = field(default_factory=HealthLimits)
    patience: Patience = field(default_factory=Patience)
    screening: Policy = field(default_factory=Policy)
    attempts_max: int = 3
    comfy_poll_seconds: float = 3.0
    probe_seconds: float = 15.0
    lost_after_seconds: float = 120.0
    dispatch_poll_seconds: float = 2.0
    object_info_seconds: float = 300.0
    warm_window: int = 8
    warm_overtakes_max: int = 4
    warm_wait_seconds: float = 0.2
    unable_seconds_max: float = 3600.0
    lease_seconds: float = 10.0
    stop_seconds: float = 30.0
    idempotency_seconds: int = 86_400
    retry_after_seconds: int = 10
    results_seconds: int = 7 * 86_400
    uploads_seconds: int = 7 * 86_400
    code_seconds: int = 600
    session_seconds: int = 14 * 86_400

    @property
    def overtakes_max(self) -> Mapping[str, int]:
        """The lanes with a bound on overtaking."""
        return {name: lane.overtakes_max for name, lane in self.lanes.items() if lane.overtakes_max}

    @property
    def fair_lanes(self) -> frozenset[str]:
        """The lanes with fair share."""
        return frozenset(name for name, lane in self.lanes.items() if lane.fair_share)
