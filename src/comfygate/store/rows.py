"""What store functions take and give: plain frozen values, no SQLAlchemy rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from comfygate.domain.blame import Blame
from comfygate.domain.credits import Balance, EntryKind, HoldState
from comfygate.domain.job import Fence, JobError, JobState
from comfygate.domain.order import Place
from comfygate.domain.screening import Finding, Suspicion


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account with its credits."""

    id: str
    name: str
    tier: str
    balance: Balance
    created_at_ms: int
    disabled_at_ms: int | None


@dataclass(frozen=True, slots=True)
class SessionRow:
    """Somebody's session in one browser. The digest is that of its token."""

    digest: str
    created_at_ms: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class ServerRow:
    """A configured ComfyUI server. Being drained does not make it another one: its loop goes on."""

    name: str
    url: str
    slots: int
    lanes: tuple[str, ...]
    created_at_ms: int
    drained_at_ms: int | None = field(default=None, compare=False)
    ahead: int = 0
    """How many prompts of ours may wait there behind those that run: 0 or 1."""


@dataclass(frozen=True, slots=True)
class JobInput:
    """A place in a job's graph, and the asset that goes there. `path` leads into the node's inputs."""

    node_id: str
    path: tuple[str | int, ...]
    asset_id: str


@dataclass(frozen=True, slots=True)
class NewJob:
    """A checked submission, ready to be written. `graph` is JSON text, verbatim. Times in ms since 1970.

    `price` is before the tier's discount. Only accounts of a tier that stands in each of `tiers` may submit
    it; `raw` says that the graph is the caller's own. `deliver`: ids of the nodes whose outputs are wanted,
    all of them if empty.
    """

    id: str
    account_id: str
    lane: str
    graph: str
    inputs: tuple[JobInput, ...]
    price: int
    depth_max: int
    now_ms: int
    queue_deadline_at_ms: int
    expires_at_ms: int
    idempotency_key: str | None = None
    request_hash: str = ""
    workflow: str = ""
    retry_of: str | None = None
    workflow_name: str = ""
    style: str = ""
    tiers: tuple[frozenset[str], ...] = ()
    raw: bool = False
    deliver: tuple[str, ...] = ()
    fair_share: bool = False
    models: str = ""
    shape: str = ""


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job as it stands. `price` is what it costs its account, `base_price` that without discount."""

    ticket: int
    id: str
    account_id: str
    lane: str
    priority: int
    state: JobState
    attempt: int
    price: int
    hold: HoldState
    error: JobError | None
    cause: str
    created_at_ms: int
    started_at_ms: int | None
    completed_at_ms: int | None
    expires_at_ms: int
    workflow: str = ""
    retry_of: str | None = None
    workflow_name: str = ""
    style: str = ""
    base_price: int | None = None
    deliver: tuple[str, ...] = ()
    share: int = 0
    running_max: int | None = None
    models: str = ""
    shape: str = ""

    @property
    def fence(self) -> Fence:
        return Fence(self.id, self.attempt)

    @property
    def place(self) -> Place:
        """Where it stands in its lane while it is queued."""
        return Place(self.lane, self.priority, self.share, self.ticket)


@dataclass(frozen=True, slots=True)
class ClaimedAttempt:
    """An attempt in flight, with all that is needed to drive it. `adopted`: an earlier process began it;
    `left`: its prompt is on the server no more, and it holds no slot; `ready`: it was made ready ahead and is
    to be claimed once it was sent (`store/ready.py`)."""

    fence: Fence
    account_id: str
    lane: str
    state: JobState
    prompt_id: str
    server: str
    slot: int
    graph: str
    inputs: tuple[JobInput, ...]
    adopted: bool
    workflow: str = ""
    usual_ms: int | None = None
    deliver: tuple[str, ...] = ()
    models: str = ""
    left: bool = False
    submitted_at_ms: int = 0
    ready: bool = False


@dataclass(frozen=True, slots=True)
class BlobRow:
    """Stored bytes. `key` is where; `hash` is `blake3:<hex>`."""

    hash: str
    key: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class AssetRow:
    """A user's record over stored bytes: an upload, or an output of a job."""

    id: str
    account_id: str
    hash: str
    key: str
    size_bytes: int
    content_type: str
    file_path: str | None
    created_at_ms: int
    expires_at_ms: int
    job_id: str | None = None
    node_id: str | None = None
    name: str | None = None
    output_type: str | None = None


@dataclass(frozen=True, slots=True)
class NewOutput:
    """An output already in our storage, to be recorded by the settling transaction."""

    asset_id: str
    blob: BlobRow
    node_id: str
    name: str
    output_type: str
    content_type: str


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One line of the ledger as its account reads it."""

    id: int
    kind: EntryKind
    amount: int
    job_id: str | None
    reason: str
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """Something that happened to a job and that somebody must be told."""

    id: int
    job_id: str
    account_id: str
    lane: str
    kind: str
    payload: dict[str, Any]
    created_at_ms: int


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt, for operators."""

    number: int
    prompt_id: str
    server: str
    slot: int
    claimed_at_ms: int
    started_at_ms: int | None
    ended_at_ms: int | None
    outcome: str | None
    cause: str
    blame: Blame | None = None
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Something an operator did. `arguments` is JSON text; `result` is `ok` or the refusal's code and
    sentence."""

    id: int
    at_ms: int
    actor: str
    operation: str
    arguments: str
    result: str


@dataclass(frozen=True, slots=True)
class JobScore:
    """What one output of a job screened as. `score` is the probability, 0 to 1, of being explicit."""

    position: int
    name: str
    content_type: str
    hash: str
    score: float
    finding: Finding


@dataclass(frozen=True, slots=True)
class Screening:
    """What a job's outputs screened as, to be recorded by the settling transaction. `suspicion` is what
    counts against its account; `held` are the outputs that wait for the operator; `model` gave the scores."""

    scores: tuple[JobScore, ...]
    suspicion: Suspicion | None = None
    held: tuple[NewOutput, ...] = ()
    suspicions_max: int = 0
    model: str = ""


@dataclass(frozen=True, slots=True)
class ReviewRow:
    """A job whose outputs are or were held. `state`: waiting, released, rejected or expired."""

    job_id: str
    account_id: str
    state: str
    score: float
    created_at_ms: int
    expires_at_ms: int
    decided_at_ms: int | None


@dataclass(frozen=True, slots=True)
class HeldOutput:
    """An output that is or was held; `key` is None once its bytes are gone."""

    asset_id: str
    hash: str
    key: str | None
    size_bytes: int
    content_type: str
    node_id: str
    name: str
    output_type: str


@dataclass(frozen=True, slots=True)
class SuspicionRow:
    """Something that counts, or counted until it was forgiven, against an account."""

    id: int
    kind: str
    job_id: str | None
    hash: str
    score: float
    at_ms: int
    suspended: bool
    forgiven_at_ms: int | None
