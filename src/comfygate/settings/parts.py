"""The tables of `comfygate.toml`: frozen, closed against unknown keys, fields with units and limits."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_core import from_json

DAY_SECONDS: Final = 86_400
KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

_PLACEHOLDERS: Final = frozenset({
    "", "changeme", "change-me", "change_me", "change me", "secret", "password", "placeholder", "example",
})  # fmt: skip
_PLACEHOLDER_SHAPE: Final = re.compile(r"your[-_ ].*|x{3,}|<.*>|\*+|\.{3,}")


def is_placeholder(secret: str) -> bool:
    """Tell whether a secret is one that documentation prints and nobody should run with."""
    plain = secret.strip().lower()
    return plain in _PLACEHOLDERS or _PLACEHOLDER_SHAPE.fullmatch(plain) is not None


def _refuse_placeholder(secret: SecretStr) -> SecretStr:
    if is_placeholder(secret.get_secret_value()):
        message = "this is a placeholder or empty; set a real secret or leave the key out"
        raise ValueError(message)
    return secret


_NODE_PATTERN: Final = re.compile(r"[^*]*\*|[^*]+")


def _node_pattern(value: str) -> str:
    if not (value.isprintable() and value.strip() == value and _NODE_PATTERN.fullmatch(value)):
        message = "must be the name of a node class; a * may stand at its end, for all that begin so"
        raise ValueError(message)
    return value


NodePattern = Annotated[str, AfterValidator(_node_pattern)]
RealSecret = Annotated[SecretStr, AfterValidator(_refuse_placeholder)]
LaneName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
TierName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
ServerName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]
Seconds = Annotated[float, Field(gt=0, le=DAY_SECONDS)]


class Part(BaseModel):
    """One table of the file: frozen, and closed so that a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LaneSettings(Part):
    """A class of work with its own queue order, price and servers."""

    price: int = Field(1, ge=0, le=1_000_000_000, description="What a job in this lane costs, in credits.")
    depth_max: int = Field(
        10_000,
        ge=1,
        le=10_000_000,
        description="Jobs that may wait in this lane; more are refused as queue_full.",
    )
    queue_seconds_max: int = Field(
        DAY_SECONDS,
        ge=1,
        le=365 * DAY_SECONDS,
        description="How long a job may wait before it expires and its credits are refunded, in seconds.",
    )
    fair_share: bool = Field(
        False,
        description="Whether accounts of one priority take turns by predicted server time, instead of first"
        " come, first served.",
    )
    overtakes_max: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="After so many starts in a row that overtook an older job, that goes first; 0: never.",
    )


class TierSettings(Part):
    """What an account is: its place in the order and its limits."""

    priority: int = Field(
        100,
        ge=0,
        le=1_000_000,
        description="Place in a lane's order; lower starts first, equals go by ticket.",
    )
    jobs_queued_max: int = Field(
        100,
        ge=1,
        le=1_000_000,
        description="Jobs one account of this tier may have waiting at once, all lanes.",
    )
    priorities: Mapping[LaneName, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(
        default_factory=dict, description="Other priorities in single lanes, by the lane's name."
    )
    requests_per_minute: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Requests an account may send over HTTP in a minute, counted by each process; 0: any.",
    )
    free_jobs_daily: int = Field(
        0, ge=0, le=1_000_000, description="Jobs a day (UTC) that cost an account nothing."
    )
    free_price_max: int = Field(
        1_000_000_000, ge=1, le=1_000_000_000, description="Dearest job that may be one of them, in credits."
    )
    jobs_running_max: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Jobs one account may have on servers at once, the others wait; 0: any number.",
    )
    weight: float = Field(
        1.0, ge=0.001, le=1000, description="Its part of the server time in lanes with fair_share."
    )
    discount_percent: int = Field(0, ge=0, le=100, description="Percent off every price, rounded down.")
    raw_graphs: bool = Field(
        True, description="Whether accounts may send graphs of their own, not only the catalogue's workflows."
    )


class ServerSecret(Part):
    """What one ComfyUI server wants to see before it answers. Kept out of the database and of every log."""

    headers: Mapping[str, RealSecret] = Field(
        default_factory=dict, description="Headers sent with every call to this server."
    )
    username: str | None = Field(None, min_length=1, description="User name for HTTP basic authentication.")
    password: RealSecret | None = Field(None, description="Password for HTTP basic authentication.")

    @field_validator("headers", mode="before")
    @classmethod
    def _from_json(cls, headers: Any) -> Any:
        return from_json(headers) if isinstance(headers, str) else headers

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.username is None) != (self.password is None):
            message = "username and password go together; give both or neither"
            raise ValueError(message)
        return self


class ComfySettings(Part):
    """How ComfyUI servers are talked to."""

    poll_seconds: Seconds = Field(
        3.0,
        ge=0.01,
        description="Seconds between two looks at /history while a job runs; the truth behind the socket.",
    )
    submit_retries: int = Field(
        2,
        ge=0,
        le=20,
        description="How often sending is tried again after connection trouble; a 400 never is.",
    )
    submit_retry_seconds: Seconds = Field(1.0, description="Seconds between two tries to send.")
    connect_timeout_seconds: Seconds = Field(5.0, description="Seconds to wait for a connection.")
    request_timeout_seconds: Seconds = Field(
        30.0, description="Seconds to wait for the answer to a small request."
    )
    transfer_timeout_seconds: Seconds = Field(
        300.0, description="Seconds without a single byte before an upload or download is given up."
    )
    probe_seconds: Seconds = Field(15.0, description="Seconds between two looks at whether a server is well.")
    object_info_seconds: Seconds = Field(
        300.0, ge=0.05, description="Seconds between two looks at a server's node classes and model files."
    )
    lost_after_seconds: Seconds = Field(
        120.0,
        description="Seconds a server may stay out of reach before its running job goes back in its lane.",
    )


class DispatchSettings(Part):
    """How jobs are handed to servers."""

    poll_seconds: Seconds = Field(
        2.0, ge=0.01, description="Seconds between two looks for work; the safety net behind the wake-ups."
    )
    lease_seconds: Seconds = Field(
        10.0,
        ge=1,
        description="Seconds a replica's claim on servers and running jobs lasts without being renewed; about"
        " how long take-over takes after a crash.",
    )
    stop_seconds: float = Field(
        30.0,
        ge=0,
        le=DAY_SECONDS,
        description="Seconds to wait for running jobs at SIGTERM; then they are left for adoption.",
    )
    warm_window: int = Field(
        8,
        ge=0,
        le=1000,
        description="Of so many first jobs of a priority a server may begin one whose models it has loaded"
        " before the others; 0: never.",
    )
    warm_overtakes_max: int = Field(
        4, ge=0, le=1000, description="So many jobs may begin before another one because of warm models."
    )
    warm_wait_seconds: float = Field(
        0.2,
        ge=0,
        le=60,
        description="Seconds a job just submitted is left to a free server that has its models loaded.",
    )
    attempts_max: int = Field(
        3,
        ge=1,
        le=100,
        description="How often a job is started before it fails and its credits are refunded.",
    )
    unable_seconds_max: Seconds = Field(
        3600.0,
        description="Seconds a lane may have no server that is able to run its jobs before those that waited"
        " as long expire with a refund.",
    )
    failures_max: int = Field(
        3, ge=1, le=1000, description="Failures in a row that are blamed on a server before its quarantine."
    )
    quarantine_seconds: Seconds = Field(
        60.0, description="Seconds of a server's first quarantine; each one after it lasts twice as long."
    )
    quarantine_seconds_max: Seconds = Field(3600.0, description="Seconds of the longest quarantine.")


class WatchdogSettings(Part):
    """When a running job that says nothing counts as hanging."""

    floor_seconds: Seconds = Field(
        600.0, ge=0.1, description="Seconds of silence that are never too long, whatever the workflow."
    )
    times_usual: float = Field(
        3.0,
        ge=1,
        le=1000,
        description="Silence of so many times the workflow's usual run counts as a hang, if that is longer.",
    )
    verify_seconds: Seconds = Field(
        20.0, ge=0.1, description="Seconds a hanging prompt gets to go after its cancel."
    )
    restart_seconds: Seconds = Field(
        180.0, description="Seconds ComfyUI gets to come back after the restart hook."
    )
    pair_quarantine_seconds: Seconds = Field(
        3600.0, description="Seconds a workflow that hung on a server is not given to that server again."
    )


class ServerHook(Part):
    """How one ComfyUI is started anew when a prompt hangs there and cannot be cancelled. Give one of the
    two."""

    restart_command: tuple[str, ...] = Field(
        (), description="Program and arguments, run on this machine without a shell."
    )
    restart_url: RealSecret | None = Field(None, description="Address that gets an empty POST.")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if bool(self.restart_command) == (self.restart_url is not None):
            message = "give restart_command or restart_url, one of the two"
            raise ValueError(message)
        return self


class LimitSettings(Part):
    """A limit on everything."""

    graph_bytes_max: int = Field(
        2 * MIB, ge=KIB, le=GIB, description="Size of a submitted graph, in bytes of JSON."
    )
    graph_nodes_max: int = Field(2000, ge=1, le=1_000_000, description="Nodes in a submitted graph.")
    inputs_max: int = Field(32, ge=0, le=10_000, description="Input files of one job.")
    upload_bytes_max: int = Field(100 * MIB, ge=1, le=1024 * GIB, description="Size of one upload, in bytes.")
    output_bytes_max: int = Field(
        2 * GIB, ge=1, le=1024 * GIB, description="Size of one output file, in bytes."
    )
    pixels_max: int = Field(
        8192 * 8192, ge=64, le=2**40, description="Width times height that a node of a graph may ask for."
    )
    batch_max: int = Field(
        4096, ge=1, le=10_000_000, description="Pictures or frames that a node of a graph may ask for."
    )
    steps_max: int = Field(
        1000, ge=1, le=10_000_000, description="Sampling steps that a node of a graph may ask for."
    )
    picture_pixels_max: int = Field(
        64_000_000,
        ge=1,
        le=400_000_000,
        description="Pixels of an uploaded picture, or of a frame of a clip.",
    )
    picture_frames_max: int = Field(
        3000, ge=1, le=1_000_000, description="Frames of an uploaded clip or animated picture."
    )
    outputs_max: int = Field(256, ge=1, le=100_000, description="Output files of one job.")
    streams_per_account_max: int = Field(
        16, ge=1, le=100_000, description="Live event streams one account may hold open at once."
    )
    page_limit_max: int = Field(100, ge=1, le=10_000, description="Entries in one page of a list.")
    idempotency_seconds: int = Field(
        DAY_SECONDS, ge=1, le=365 * DAY_SECONDS, description="Seconds an Idempotency-Key stays used."
    )
    position_cap: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="Positions are counted exactly up to here; beyond it the answer is N+.",
    )
    retry_after_seconds: int = Field(
        10, ge=1, le=DAY_SECONDS, description="Seconds a refused caller is told to wait (Retry-After)."
    )


class ScreeningSettings(Part):
    """How pictures and clips are screened, in and out."""

    enabled: bool = Field(
        True,
        description="Screen what jobs are sent and what they make. Off, jobs that were sent a picture or clip"
        " are screened all the same, for the one rule that no setting turns off.",
    )
    threshold: float = Field(
        0.8, gt=0, le=1, description="From this probability, 0 to 1, a picture counts as explicit."
    )
    action: Literal["block", "review"] = Field(
        "block",
        description="block: a job with an explicit output fails with a refund, explicit inputs are refused;"
        " review: its outputs are held for the operator to release or reject.",
    )
    frames_max: int = Field(
        12, ge=4, le=256, description="Frames of a clip or animated picture that are scored, taken evenly."
    )
    workers: int = Field(
        2,
        ge=1,
        le=64,
        description="Processes that decode and score, at most; another is started when all are at work.",
    )
    suspicions_max: int = Field(
        3,
        ge=0,
        le=1_000_000,
        description="So many explicit pictures suspend their account; 0: none ever does.",
    )


class RetentionSettings(Part):
    """How long bytes are kept. Ledger and job rows stay for ever."""

    results_seconds: int = Field(
        7 * DAY_SECONDS,
        ge=60,
        le=36_500 * DAY_SECONDS,
        description="Seconds a result is kept after its job ended.",
    )
    uploads_seconds: int = Field(
        7 * DAY_SECONDS,
        ge=60,
        le=36_500 * DAY_SECONDS,
        description="Seconds an upload is kept after its last use.",
    )


class LogSettings(Part):
    """What is logged and how; always one line an event, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least serious event that is written."
    )
    format: Literal["json", "console"] = Field(
        "json", description="json for machines, console for people at a terminal."
    )
