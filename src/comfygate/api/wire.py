"""The bodies that go over the wire, as Comfy API v2 shapes them, in our own words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field

from comfygate.gate.rows import AccountRow

Status = Literal["queued", "running", "succeeded", "canceling", "canceled", "failed", "expired"]
OutputType = Literal["image", "video", "audio", "text", "file", "latent"]


def moment(ms: int) -> datetime:
    """Milliseconds since 1970 as a moment in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def moment_or_none(ms: int | None) -> datetime | None:
    """As `moment`, for what may not have happened yet."""
    return None if ms is None else moment(ms)


class ErrorBody(BaseModel):
    """What went wrong: a code for programs, a sentence for people, and what belongs to it."""

    code: Annotated[str, Field(examples=["missing_asset"])]
    message: str
    details: dict[str, Any] | None = None


class ErrorEnvelope(BaseModel):
    """The body of every error."""

    error: ErrorBody


class AssetBody(BaseModel):
    """A file of yours: an upload, or something that a job made."""

    id: str
    hash: Annotated[str | None, Field(description="blake3 of the bytes, `blake3:` and 64 hex digits.")]
    size_bytes: int
    content_type: str
    file_path: Annotated[str | None, Field(description="Name by which a graph may mean this upload.")] = None
    created_at: datetime
    url: Annotated[str, Field(description="Signed address of the bytes, made fresh for this answer.")]
    url_expires_at: datetime
    expires_at: Annotated[datetime | None, Field(description="When record and bytes go.")] = None
    job_id: Annotated[str | None, Field(description="The job that made it; null for uploads.")] = None


class CreatedAssetBody(AssetBody):
    """An asset just made."""

    created_new: Annotated[bool, Field(description="Whether you had none of these bytes before.")]


class FromHashBody(BaseModel):
    """Asks for a record over bytes that you already have here."""

    hash: Annotated[str, Field(pattern=r"^blake3:[0-9a-f]{64}$")]
    file_path: Annotated[str | None, Field(min_length=1, max_length=255)] = None
    tags: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=32)] = []
    expires_in: Annotated[int | None, Field(ge=60, le=604_800, description="Seconds to keep it.")] = None


class ProgressBody(BaseModel):
    """How far a running job is: always the whole picture, never a difference."""

    value: Annotated[float, Field(ge=0, le=1, description="Part done of the whole.")]
    nodes_done: int
    nodes_total: int
    current_node: str | None = None
    current_node_class: str | None = None
    step: int | None = None
    steps: int | None = None
    message: Annotated[str | None, Field(examples=["KSampler 7/20"])] = None


class OutputBody(BaseModel):
    """A file that a job made. Its `id` is an asset's."""

    node_id: str
    name: str
    type: OutputType
    content_type: str
    size_bytes: int
    id: str
    hash: str | None
    url: str
    url_expires_at: datetime
    job_id: str | None = None


class JobErrorBody(BaseModel):
    """Why a job failed. `traceback` is always null: it is for the operator."""

    code: str
    message: str
    node_id: str | None = None
    class_type: str | None = None
    traceback: str | None = None


class JobUrlsBody(BaseModel):
    """Where to go on from here; relative to the host, prefix included."""

    self: str
    events: str
    cancel: str


class JobBody(BaseModel):
    """One workflow being run for you."""

    id: str
    status: Status
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: Annotated[
        datetime, Field(description="After this the job answers 404 and its results are gone.")
    ]
    queue_position: Annotated[
        int | None,
        Field(description="While queued: 1 is next, 0 is taken by a server. Beyond a limit: limit + 1."),
    ]
    progress: Annotated[ProgressBody | None, Field(description="The latest; null unless an attempt runs.")]
    outputs: Annotated[
        list[OutputBody],
        Field(description="All of them once the job succeeded, none before; of a failed job those released."),
    ]
    error: JobErrorBody | None
    metrics: Annotated[
        dict[str, int | None], Field(description="`queue_ms` and `execution_ms`, null until known.")
    ]
    urls: JobUrlsBody


class JobItemBody(JobBody):
    """A job in a list; with the two times by which clients sort lists."""

    create_time: datetime
    update_time: Annotated[datetime, Field(description="When the job last changed its status.")]


class JobListBody(BaseModel):
    """A page of jobs, newest first."""

    jobs: list[JobItemBody]
    next_cursor: Annotated[str | None, Field(description="Give it back as `cursor`; null on the last page.")]


class WorkflowBody(BaseModel):
    """The graph of a job as it was submitted."""

    workflow: dict[str, Any]
    format: Literal["api"] = "api"


class StatusFrame(BaseModel):
    """Data of a `status` event."""

    status: Status
    queue_position: int | None = None


class PreviewFrame(BaseModel):
    """Data of a `preview` event: a picture of work in progress."""

    node_id: str
    content_type: str
    data_base64: str


class HealthBody(BaseModel):
    """Whether the gateway can do its work. `degraded`: no server is up and jobs wait, or pictures cannot be
    screened and jobs with them are refused."""

    status: Literal["ok", "degraded"]
    version: str
    servers: int
    servers_up: int
    screening: Literal["ok", "unavailable"]


class AccountBody(BaseModel):
    """You, and your credits. `held` is set aside for jobs that have not ended."""

    id: str
    name: str
    tier: str
    available: int
    held: int

    @classmethod
    def of(cls, account: AccountRow) -> Self:
        """As the account reads itself."""
        return cls(
            id=account.id,
            name=account.name,
            tier=account.tier,
            available=account.balance.available,
            held=account.balance.held,
        )


class EntryBody(BaseModel):
    """One line of your ledger. `words` is what people are told."""

    id: int
    kind: Literal["grant", "hold", "capture", "release", "merge_out", "merge_in", "withdraw"]
    words: str
    amount: int
    job_id: str | None
    reason: str
    created_at: datetime


class EntriesBody(BaseModel):
    """A page of entries, newest first. `next_before` asks for older ones; null on the last page."""

    entries: list[EntryBody]
    next_before: int | None


class LaneBody(BaseModel):
    """A lane: what a job costs, how many wait, and where yours stand (job id to position)."""

    name: str
    price: int
    depth: int
    servers_up: int
    positions: Mapping[str, int]


class LanesBody(BaseModel):
    """Every lane."""

    lanes: list[LaneBody]


class TextBody(BaseModel):
    """A text for people, in English and Chinese."""

    en: str
    zh: str


class PriceBody(BaseModel):
    """A price in credits: fixed, or a formula over the parameters."""

    credits: int | None
    formula: str | None


class StyleBody(BaseModel):
    """A style of a workflow, with its price and its own defaults of parameters."""

    name: str
    title: TextBody
    price: PriceBody
    parameters: dict[str, Any]


class InputBody(BaseModel):
    """A file that a workflow takes."""

    name: str
    title: TextBody
    kind: Literal["image", "video", "audio"]
    required: bool
    bytes_max: int | None
    pixels_max: int | None


class ParameterBody(BaseModel):
    """Something to choose. Without a default it must be given; a `seed` left out is drawn at random."""

    name: str
    title: TextBody
    type: Literal["int", "float", "text", "bool", "choice", "seed"]
    default: str | int | float | bool | None
    min: int | float | None
    max: int | float | None
    step: int | float | None
    choices: list[str | int | float] | None
    chars_max: int | None


class WorkflowEntryBody(BaseModel):
    """A workflow of the catalogue. With styles, one must be named. Empty `tiers`: for everybody.

    `examples`: the styles of which there is an example picture, an empty name for the workflow's own."""

    name: str
    title: TextBody
    description: TextBody
    lane: str
    price: PriceBody
    styles: list[StyleBody]
    inputs: list[InputBody]
    parameters: list[ParameterBody]
    tiers: list[str]
    examples: list[str]


class WorkflowsBody(BaseModel):
    """What you may order."""

    workflows: list[WorkflowEntryBody]


class QuoteBody(BaseModel):
    """What an order would cost you now: `price` less `discount` is `charged`; `enough`: you have that."""

    workflow: str
    style: str | None
    parameters: dict[str, Any]
    lane: str
    price: int
    discount: int
    charged: int
    free: Annotated[bool, Field(description="Whether one of today's free jobs would be used.")]
    available: int
    enough: bool


class AheadBody(BaseModel):
    """Jobs of one priority ahead of yours, and the tiers that have it. Never whose they are."""

    priority: int
    tiers: list[str]
    jobs: int


class LineLimitsBody(BaseModel):
    """Limits in force for a waiting job. `jobs_running_max` is null where there is none."""

    jobs_running: int
    jobs_running_max: int | None
    lane_paused: bool
    expires_at: Annotated[datetime, Field(description="If no server took it by then it expires, refunded.")]


class LineBody(BaseModel):
    """What surrounds a queued job."""

    queue_position: int
    ahead: list[AheadBody]
    servers: Annotated[
        dict[str, int],
        Field(
            description="Servers of the lane by how they stand: free, busy, drained, down, quarantined,"
            " unknown, unfit (lacks a node or model), failed_there, kept_off (this workflow is)."
        ),
    ]
    limits: LineLimitsBody


class EtaBody(BaseModel):
    """When a job will start and end, in seconds from now: half of the jobs like it are that fast (`p50`), or
    nine of ten (`p90`). `starts_*` are null once a server has it."""

    p50_seconds: float
    p90_seconds: float
    starts_p50_seconds: float | None
    starts_p90_seconds: float | None


class WhyBody(BaseModel):
    """Why a job is where it is. `code` is stable; `reason` is a sentence for people; `line` while queued.

    `eta` is null when it is not known: the job has ended, its lane is paused, or no server that is up can
    take it."""

    id: str
    status: Status
    code: str
    reason: str
    line: LineBody | None
    eta: EtaBody | None
