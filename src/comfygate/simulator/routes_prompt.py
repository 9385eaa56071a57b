"""POST /prompt, and all about queue, history and cancelling, with ComfyUI 0.3.64's answers (recorded)."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from comfygate.simulator.executor import Executor
from comfygate.simulator.files import Folders
from comfygate.simulator.journal import Journal, Moment
from comfygate.simulator.origin import origin_of
from comfygate.simulator.prompt_queue import PromptQueue
from comfygate.simulator.switches import Switchboard
from comfygate.simulator.validation import validate

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(slots=True)
class PromptRoutes:
    """Handlers; `number` is the process's counter, which falls when the server restarts."""

    queue: PromptQueue
    executor: Executor
    folders: Folders
    journal: Journal
    switches: Switchboard
    interrupt_by_id: bool
    strict_prompt_ids: bool
    number: int = 0

    async def submit(self, request: web.Request) -> web.Response:
        """POST /prompt."""
        body = await request.json()
        number = self._number(body)
        if "prompt" not in body:
            return _refused("no_prompt", "No prompt provided", "No prompt provided")
        graph = body["prompt"]
        prompt_id = str(body.get("prompt_id", uuid.uuid4()))
        if self.strict_prompt_ids and _CANONICAL_UUID.fullmatch(prompt_id) is None:
            return _refused(
                "invalid_prompt_id", "Invalid prompt_id", "prompt_id must be a canonical lowercase UUID"
            )
        verdict = validate(graph, self.executor.bench.catalog, self.folders)
        if verdict.error is not None:
            return web.json_response({"error": verdict.error, "node_errors": verdict.node_errors}, status=400)
        extra_data = dict(body.get("extra_data") or {})
        if "client_id" in body:
            extra_data["client_id"] = body["client_id"]
        outputs, node_errors = verdict.outputs, verdict.node_errors
        if self.switches.drawn("lie_in_node_errors"):
            *outputs, dropped = outputs
            node_errors = node_errors | {dropped: _lie(dropped, graph)}
        origin = origin_of(request, str(extra_data.get("client_id", "")))
        self.journal.note(Moment("received", prompt_id, origin=origin))
        self.queue.put(number, prompt_id, graph, extra_data, outputs)
        return web.json_response({"prompt_id": prompt_id, "number": number, "node_errors": node_errors})

    def _number(self, body: dict[str, Any]) -> float:
        if "number" in body:
            return float(body["number"])
        number = -self.number if body.get("front") else self.number
        self.number += 1
        return number

    async def status(self, request: web.Request) -> web.Response:
        """GET /prompt."""
        return web.json_response(self.info())

    def info(self) -> dict[str, Any]:
        """Queue depth as GET /prompt and status frames tell it."""
        return {"exec_info": {"queue_remaining": self.queue.remaining}}

    async def show_queue(self, request: web.Request) -> web.Response:
        """GET /queue."""
        running = [prompt.wire() for prompt in self.queue.running]
        pending = [prompt.wire() for prompt in self.queue.pending]
        return web.json_response({"queue_running": running, "queue_pending": pending})

    async def edit_queue(self, request: web.Request) -> web.Response:
        """POST /queue: `clear` and `delete`; unknown ids are silent."""
        body = await request.json()
        removed = self.queue.clear() if body.get("clear") else []
        removed += [one for one in body.get("delete", []) if self.queue.delete(one)]
        for prompt_id in removed:
            self.journal.note(Moment("dequeued", prompt_id, origin=origin_of(request)))
        return web.Response(status=200)

    async def interrupt(self, request: web.Request) -> web.Response:
        """POST /interrupt; without an id, or on a server that ignores ids, whatever runs is interrupted."""
        try:
            body = await request.json()
        except json.JSONDecodeError:
            body = {}
        prompt_id = body.get("prompt_id") if self.interrupt_by_id else None
        self.executor.interrupt(prompt_id or None, origin_of(request))
        return web.Response(status=200)

    async def show_history(self, request: web.Request) -> web.Response:
        """GET /history."""
        max_items = request.query.get("max_items")
        offset = int(request.query.get("offset", "-1"))
        return web.json_response(self.queue.recent(int(max_items) if max_items else None, offset))

    async def show_history_of(self, request: web.Request) -> web.Response:
        """GET /history/{prompt_id}."""
        return web.json_response(self.queue.history_of(request.match_info["prompt_id"]))

    async def edit_history(self, request: web.Request) -> web.Response:
        """POST /history: `clear` and `delete`; unknown ids are silent."""
        body = await request.json()
        history = self.queue.history
        wanted = [*history] if body.get("clear") else body.get("delete", [])
        for prompt_id in wanted:
            if history.pop(prompt_id, None) is not None:
                self.journal.note(Moment("history-deleted", prompt_id, origin=origin_of(request)))
        return web.Response(status=200)

    async def free(self, request: web.Request) -> web.Response:
        """POST /free: with `free_memory` the cache is forgotten."""
        body = await request.json()
        if body.get("free_memory"):
            self.executor.free()
        return web.Response(status=200)


def _lie(node_id: str, graph: dict[str, Any]) -> dict[str, Any]:
    """What ComfyUI says of an output it drops; here the graph gave no reason."""
    error = {
        "type": "custom_validation_failed",
        "message": "Custom validation failed for node",
        "details": "simulated",
        "extra_info": {},
    }
    return {
        "errors": [error],
        "dependent_outputs": [node_id],
        "class_type": graph[node_id]["class_type"],
    }


def _refused(type_: str, message: str, details: str) -> web.Response:
    error = {"type": type_, "message": message, "details": details, "extra_info": {}}
    return web.json_response({"error": error, "node_errors": {}}, status=400)
