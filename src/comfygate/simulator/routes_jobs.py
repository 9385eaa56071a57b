"""The jobs API of newer ComfyUI versions (read, not recorded: pull requests 11054 and 14493).

`cancel` answers 200 with `cancelled: false` when there is nothing to cancel; it touches no other prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from comfygate.simulator.executor import Executor
from comfygate.simulator.journal import Journal, Moment
from comfygate.simulator.origin import origin_of
from comfygate.simulator.prompt_queue import Prompt, PromptQueue

_ENDS = {"execution_success", "execution_error", "execution_interrupted"}


@dataclass(frozen=True, slots=True)
class JobRoutes:
    """Handlers."""

    queue: PromptQueue
    executor: Executor
    journal: Journal

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /api/jobs/{id}/cancel: dequeue it if it waits, interrupt it if it runs."""
        job_id = request.match_info["job_id"]
        origin = origin_of(request)
        dequeued = self.queue.delete(job_id)
        if dequeued:
            self.journal.note(Moment("dequeued", job_id, origin=origin))
        return web.json_response({"cancelled": dequeued or self.executor.interrupt(job_id, origin)})

    async def show(self, request: web.Request) -> web.Response:
        """GET /api/jobs/{id}; 404 if unknown."""
        job_id = request.match_info["job_id"]
        for job in self._jobs(outputs=True):
            if job["id"] == job_id:
                return web.json_response(job)
        return web.json_response({"error": "Job not found"}, status=404)

    async def show_all(self, request: web.Request) -> web.Response:
        """GET /api/jobs; `status`, `limit` and `offset` as filters."""
        jobs = self._jobs(outputs=False)
        if "status" in request.query:
            wanted = request.query["status"].split(",")
            jobs = [job for job in jobs if job["status"] in wanted]
        offset = int(request.query.get("offset", "0"))
        limit = int(request.query["limit"]) if "limit" in request.query else None
        page = jobs[offset:] if limit is None else jobs[offset : offset + limit]
        pagination = {
            "offset": offset,
            "limit": limit,
            "total": len(jobs),
            "has_more": offset + len(page) < len(jobs),
        }
        return web.json_response({"jobs": page, "pagination": pagination})

    def _jobs(self, *, outputs: bool) -> list[dict[str, Any]]:
        jobs = [
            _finished(prompt_id, entry, outputs=outputs) for prompt_id, entry in self.queue.history.items()
        ]
        jobs += [_waiting(prompt, "in_progress") for prompt in self.queue.running]
        jobs += [_waiting(prompt, "pending") for prompt in self.queue.pending]
        return jobs


def _waiting(prompt: Prompt, status: str) -> dict[str, Any]:
    return {"id": prompt.prompt_id, "status": status, "priority": prompt.number, "outputs_count": 0}


def _finished(prompt_id: str, entry: dict[str, Any], *, outputs: bool) -> dict[str, Any]:
    messages = entry["status"]["messages"]
    kinds = [event for event, _ in messages]
    if entry["status"]["status_str"] == "success":
        status = "completed"
    else:
        status = "cancelled" if "execution_interrupted" in kinds else "failed"
    files = [one for node in entry["outputs"].values() for one in node.get("images", [])]
    job: dict[str, Any] = {"id": prompt_id, "status": status, "priority": entry["prompt"][0]}
    for event, data in messages:
        if event == "execution_start":
            job["execution_start_time"] = data["timestamp"]
        if event in _ENDS:
            job["execution_end_time"] = data["timestamp"]
        if event == "execution_error":
            job["execution_error"] = data
    job["outputs_count"] = len(files)
    if outputs:
        workflow = {"prompt": entry["prompt"][2], "extra_data": entry["prompt"][3]}
        job |= {"outputs": entry["outputs"], "execution_status": entry["status"], "workflow": workflow}
    return job
