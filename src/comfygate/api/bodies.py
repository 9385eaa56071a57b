"""From the gate's values to wire bodies."""

from __future__ import annotations

from typing import cast

from starlette.requests import Request

from comfygate.api.face import Face
from comfygate.api.wire import (
    AssetBody,
    CreatedAssetBody,
    JobBody,
    JobErrorBody,
    JobItemBody,
    JobUrlsBody,
    OutputBody,
    OutputType,
    ProgressBody,
    Status,
    moment,
    moment_or_none,
)
from comfygate.gate.files import Minted
from comfygate.gate.live import ProgressEvent
from comfygate.gate.rows import AssetRow
from comfygate.gate.views import JobView


def asset_body(face: Face, request: Request, asset: AssetRow) -> AssetBody:
    """An asset, with a fresh address."""
    url, url_ends = face.content_url(request, asset.id)
    return AssetBody(
        id=asset.id,
        hash=asset.hash,
        size_bytes=asset.size_bytes,
        content_type=asset.content_type,
        file_path=asset.file_path,
        created_at=moment(asset.created_at_ms),
        url=url,
        url_expires_at=moment(url_ends * 1000),
        expires_at=moment(asset.expires_at_ms),
        job_id=asset.job_id,
    )


def created_asset_body(face: Face, request: Request, minted: Minted) -> CreatedAssetBody:
    """An asset just made."""
    plain = asset_body(face, request, minted.asset)
    return CreatedAssetBody(**plain.model_dump(), created_new=minted.created_new)


def output_body(face: Face, request: Request, asset: AssetRow) -> OutputBody:
    """An output of a job, with a fresh address."""
    url, url_ends = face.content_url(request, asset.id)
    return OutputBody(
        node_id=asset.node_id or "",
        name=asset.name or asset.id,
        type=cast("OutputType", asset.output_type or "file"),
        content_type=asset.content_type,
        size_bytes=asset.size_bytes,
        id=asset.id,
        hash=asset.hash,
        url=url,
        url_expires_at=moment(url_ends * 1000),
        job_id=asset.job_id,
    )


def progress_body(progress: ProgressEvent) -> ProgressBody:
    """A snapshot, with one line for people."""
    return ProgressBody(
        value=min(1.0, max(0.0, progress.value)),
        nodes_done=progress.nodes_done,
        nodes_total=progress.nodes_total,
        current_node=progress.current_node,
        current_node_class=progress.current_node_class,
        step=progress.step,
        steps=progress.steps,
        message=_message(progress),
    )


def _message(progress: ProgressEvent) -> str | None:
    name = progress.current_node_class or progress.current_node
    if name is None or progress.step is None or progress.steps is None:
        return name
    return f"{name} {progress.step}/{progress.steps}"


def job_body(face: Face, request: Request, view: JobView) -> JobBody:
    """A job with all there is to show."""
    job, own = view.job, f"/jobs/{view.job.id}"
    error = job.error
    return JobBody(
        id=job.id,
        status=cast("Status", view.status),
        created_at=moment(job.created_at_ms),
        started_at=moment_or_none(job.started_at_ms),
        completed_at=moment_or_none(job.completed_at_ms),
        expires_at=moment(job.expires_at_ms),
        queue_position=view.position,
        progress=progress_body(view.progress) if view.progress and not job.completed_at_ms else None,
        outputs=[output_body(face, request, output) for output in view.outputs],
        error=JobErrorBody(**error.to_json()) if error else None,
        metrics={
            "queue_ms": _span(job.created_at_ms, job.started_at_ms),
            "execution_ms": _span(job.started_at_ms, job.completed_at_ms),
        },
        urls=JobUrlsBody(
            self=face.path(own), events=face.path(f"{own}/events"), cancel=face.path(f"{own}/cancel")
        ),
    )


def _span(start_ms: int | None, end_ms: int | None) -> int | None:
    # Clocks of two replicas may differ; a span is never negative.
    return None if start_ms is None or end_ms is None else max(0, end_ms - start_ms)


def job_item_body(face: Face, request: Request, view: JobView) -> JobItemBody:
    """A job in a list."""
    body = job_body(face, request, view)
    return JobItemBody(
        **body.model_dump(),
        create_time=body.created_at,
        update_time=body.completed_at or body.started_at or body.created_at,
    )
