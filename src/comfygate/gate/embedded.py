"""The gate as a library, for bots and sites that already exist: submit, follow, get the outputs. No HTTP.

async with comfygate.open(settings) as gate:
    job = await gate.submit(graph, account="ann", inputs={"photo.png": Path("photo.png")})
    async for event in job.events():
        print(event)
    for output in await job.outputs():
        Path(output.name).write_bytes(await output.read())
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from comfygate.domain.credits import Balance
from comfygate.domain.graph import ASSET_TYPE
from comfygate.domain.job import JobError
from comfygate.gate import accounts, files, views
from comfygate.gate import submit as use_cases
from comfygate.gate.context import Context
from comfygate.gate.files import Upload
from comfygate.gate.following import follow
from comfygate.gate.live import LiveEvent, StatusEvent
from comfygate.gate.service import Service
from comfygate.gate.submit import Submission
from comfygate.gate.views import JobView
from comfygate.store.rows import AssetRow

log = structlog.get_logger(__name__)

READ_CHUNK_BYTES = 1024 * 1024

Told = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Output:
    """One thing that a job made. `kind`: image, video, audio, text, file or latent."""

    ctx: Context
    asset: AssetRow

    @property
    def name(self) -> str:
        return self.asset.name or self.asset.id

    @property
    def kind(self) -> str:
        return self.asset.output_type or "file"

    @property
    def content_type(self) -> str:
        return self.asset.content_type

    def stream(self) -> AsyncIterator[bytes]:
        """The bytes, piece by piece."""
        return files.read_bytes(self.ctx, self.asset)

    async def read(self) -> bytes:
        """All bytes at once; prefer `stream` for clips."""
        return b"".join([piece async for piece in self.stream()])


class Job:
    """A handle on one job of one account."""

    def __init__(self, ctx: Context, job_id: str, account_id: str, lane: str) -> None:
        self._ctx = ctx
        self.id = job_id
        self.account_id = account_id
        self.lane = lane

    async def view(self) -> JobView:
        """The job as it stands now. Raises NotFound once it has expired."""
        return await views.get_job(self._ctx, self.id, self.account_id)

    async def events(self) -> AsyncIterator[LiveEvent]:
        """What happens to the job, from its present status to its last, with the latest progress first."""
        async for event in follow(self._ctx, self.id, self.account_id):
            yield event

    async def wait(self) -> JobView:
        """Wait for the end."""
        async for _event in self.events():
            continue
        return await self.view()

    async def outputs(self) -> list[Output]:
        """What the job made, in order. Waits for its end; empty unless it succeeded."""
        return [Output(self._ctx, asset) for asset in (await self.wait()).outputs]

    async def cancel(self) -> JobView:
        """Ask for the job to be canceled; credits come back unless it succeeds first."""
        return await use_cases.cancel(self._ctx, self.id, self.account_id)


class Gate:
    """A running gate in this process. Made by `comfygate.open`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.ctx = service.ctx
        self._followers: set[asyncio.Task[None]] = set()

    async def submit(
        self,
        graph: Mapping[str, Any],
        *,
        account: str,
        inputs: Mapping[str, Path | bytes] | None = None,
        lane: str | None = None,
        idempotency_key: str | None = None,
        on_position: Told | None = None,
        on_started: Told | None = None,
        on_completed: Told | None = None,
        on_failed: Told | None = None,
    ) -> Job:
        """Upload `inputs` under their names, then submit `graph`, which may use those names in its file
        inputs.

        `account` is an id or a name. Callbacks are awaited in order, in this process: `on_position(job,
        place)`,
        `on_started(job)`, `on_completed(job, outputs)`, `on_failed(job, error)`. For what must survive a
        crash follow the job again after a restart, by `job(job_id, account=…)`.

        Raises what submitting raises (see `comfygate.domain.errors`); nothing was charged then.
        """
        found = await accounts.get_account(self.ctx, account)
        ids: dict[str, str] = {}
        for name, content in (inputs or {}).items():
            upload = Upload(account_id=found.id, file_path=name, tags=("input",))
            ids[name] = (await files.store_upload(self.ctx, upload, _pieces(content))).asset.id
        workflow = _with_assets(self.ctx, graph, ids)
        view = await use_cases.submit(
            self.ctx, Submission(found.id, workflow, lane=lane, idempotency_key=idempotency_key)
        )
        job = Job(self.ctx, view.job.id, found.id, view.job.lane)
        if any((on_position, on_started, on_completed, on_failed)):
            task = asyncio.create_task(_call_back(job, on_position, on_started, on_completed, on_failed))
            self._followers.add(task)
            task.add_done_callback(self._followers.discard)
        return job

    async def job(self, job_id: str, *, account: str) -> Job:
        """A handle on an earlier job. Raises NotFound."""
        found = await accounts.get_account(self.ctx, account)
        view = await views.get_job(self.ctx, job_id, found.id)
        return Job(self.ctx, view.job.id, found.id, view.job.lane)

    async def add_account(self, name: str, *, tier: str = "regular", credits: int = 0) -> str:
        """Make an account; returns its id. Raises InvalidRequest and Conflict."""
        return (await accounts.add_account(self.ctx, name, tier=tier, credits=credits)).account.id

    async def grant(self, account: str, amount: int, reason: str) -> Balance:
        """Add credits. Raises InvalidRequest and NotFound."""
        return (await accounts.grant(self.ctx, account, amount, reason)).balance

    async def balance(self, account: str) -> Balance:
        """An account's credits. Raises NotFound."""
        return (await accounts.get_account(self.ctx, account)).balance

    async def told(self) -> None:
        """Wait until every callback of the jobs submitted so far has been called; what they raise is
        logged."""
        await asyncio.gather(*self._followers, return_exceptions=True)

    async def close(self, *, seconds: float) -> None:
        """Give callbacks of jobs that have ended `seconds` to be called, then follow no job any more."""
        if self._followers:
            await asyncio.wait(set(self._followers), timeout=seconds)
        for task in list(self._followers):
            task.cancel()
        await self.told()


def _with_assets(ctx: Context, graph: Mapping[str, Any], ids: Mapping[str, str]) -> Any:
    """The graph with the names of this call's own uploads replaced by references to them.

    By name alone the newest upload of the account would count, perhaps that of another call at the same time.
    """
    replaced = copy.deepcopy(dict(graph))
    for node in replaced.values():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        if not isinstance(inputs, dict):
            continue
        for field in ctx.rules.file_inputs.get(str(node.get("class_type")), ()):
            name = inputs.get(field)
            if isinstance(name, str) and name in ids:
                inputs[field] = {"__type": ASSET_TYPE, "info": {"id": ids[name], "file_path": name}}
    return replaced


async def _pieces(content: Path | bytes) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, READ_CHUNK_BYTES):
            yield piece


async def _call_back(
    job: Job, position: Told | None, started: Told | None, completed: Told | None, failed: Told | None
) -> None:
    async for event in job.events():
        if not isinstance(event, StatusEvent):
            continue
        try:
            await _tell(job, event, position, started, completed, failed)
        except Exception:
            # The caller's own code: what it raises at one event does not keep the next from it.
            log.exception("callback.broke", job=job.id, status=event.status)


async def _tell(
    job: Job,
    event: StatusEvent,
    position: Told | None,
    started: Told | None,
    completed: Told | None,
    failed: Told | None,
) -> None:
    match event.status:
        case "queued" if position is not None and event.position is not None:
            await position(job, event.position)
        case "running" if started is not None:
            await started(job)
        case "succeeded" if completed is not None:
            await completed(job, await job.outputs())
        case "failed" | "canceled" | "expired" as status if failed is not None:
            view = await job.view()
            await failed(job, view.job.error or JobError(status, f"The job is {status}."))
        case _:
            return
