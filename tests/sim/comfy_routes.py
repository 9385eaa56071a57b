"""The simulated server's HTTP: what each call does, what it answers, and what ours may never do."""

from __future__ import annotations

import copy
from typing import Any

from tests.sim.comfy_server import CLASSES, SAVES, Json, Prompt, SimServer

Reply = tuple[int, Any]
HANG_SECONDS = 45.0
"""After so long the operator restarts a server that hangs."""


def handle(
    server: SimServer, method: str, path: tuple[str, ...], query: Any, body: Any, *, ours: bool
) -> Reply:
    """What the server does for one request. `ours`: it comes from a gateway, not from a stranger."""
    if method == "GET":
        return _look(server, path, query)
    match path:
        case ("prompt",):
            return _prompt(server, body, ours=ours)
        case ("queue",):
            return _queue(server, body, ours=ours)
        case ("history",):
            return _history(server, body, ours=ours)
        case ("interrupt",):
            return _interrupt(server, body, ours=ours)
        case ("free",):
            server.freed += 1
            return 200, None
        case "upload", "image":
            server.inputs.add(f"{body['subfolder']}/{body['name']}")
            return 200, {"name": body["name"], "subfolder": body["subfolder"], "type": "input"}
        case "api", "jobs", prompt_id, "cancel":
            return _cancel_job(server, prompt_id, ours=ours)
        case _:
            return 404, None


def _look(server: SimServer, path: tuple[str, ...], query: Any) -> Reply:
    match path:
        case ("system_stats",):
            return 200, {"system": {"comfyui_version": server.version}, "devices": [{"name": "cuda:0"}]}
        case ("object_info",):
            return 200, {name: _described(name) for name in CLASSES}
        case ("prompt",):
            waiting = len(server.pending) + (server.running is not None)
            return 200, {"exec_info": {"queue_remaining": waiting}}
        case ("queue",):
            running = [server.running.entry()] if server.running else []
            pending = [prompt.entry() for prompt in server.pending]
            return 200, copy.deepcopy({"queue_running": running, "queue_pending": pending})
        case "history", prompt_id:
            record = server.history.get(prompt_id)
            return 200, {} if record is None else {prompt_id: copy.deepcopy(record)}
        case ("view",):
            found = server.files.get((query["subfolder"], query["filename"]))
            return (404, None) if found is None else (200, found)
        case _:
            return 404, None


def _described(name: str) -> Json:
    return {"input": {"required": {}}, "output": ["IMAGE"], "output_node": name in SAVES}


def _prompt(server: SimServer, body: Json, *, ours: bool) -> Reply:
    prompt_id, graph = body["prompt_id"], body["prompt"]
    world = server.world
    fate = _fate(server, graph, ours=ours)
    if ours:
        world.check_sent(server, prompt_id, graph)
    world.note(f"{server.name}: POST /prompt of {world.alias(prompt_id)}: {fate}")
    if fate == "invalid":
        error = {"type": "prompt_outputs_failed_validation", "message": "failed validation", "details": ""}
        return 400, {"error": error, "node_errors": {"1": _node_error("Sampler")}}
    outputs = [node for node, inner in graph.items() if inner["class_type"] in (*SAVES, "Note")]
    dropped: Json = {}
    if fate == "half" and len(outputs) > 1:
        node = outputs.pop()
        dropped = {node: _node_error(graph[node]["class_type"])}
    server.number += 1
    server.sent[prompt_id] = server.sent.get(prompt_id, 0) + 1
    number = server.number - 1
    server.add(Prompt(prompt_id, number, graph, body["client_id"], outputs, ours, fate))
    if fate == "hang":
        epoch = server.epoch
        world.loop.later(HANG_SECONDS + _seconds(graph), _restart_if_hanging, server, prompt_id, epoch)
    return 200, {"prompt_id": prompt_id, "number": number, "node_errors": dropped}


def _seconds(graph: Json) -> float:
    return sum(float(node["inputs"].get("seconds", 0.0)) for node in graph.values())


def _restart_if_hanging(server: SimServer, prompt_id: str, epoch: int) -> None:
    if server.epoch != epoch or not server.up or not server.knows(prompt_id):
        return
    if server.running is not None and server.running.id == prompt_id:
        server.crash()
        server.world.loop.later(5.0, server.start)
    elif prompt_id not in server.history:
        server.world.loop.later(HANG_SECONDS, _restart_if_hanging, server, prompt_id, epoch)


def _fate(server: SimServer, graph: Json, *, ours: bool) -> str:
    weather, rng = server.world.weather, server.rng
    rolled = rng.random()
    if not ours:
        return "well"
    wished = graph["1"]["inputs"].get("fate", "well")
    if wished != "well":
        return str(wished)
    for fate, chance in (
        ("hang", weather.hang),
        ("out of memory", weather.out_of_memory),
        ("disk full", weather.disk_full),
        ("poison", weather.poison),
        ("half", weather.lie / 2),
        ("missing", weather.lie / 2),
    ):
        if rolled < chance:
            return fate
        rolled -= chance
    return "well"


def _node_error(class_type: str) -> Json:
    error = {
        "type": "value_not_in_list",
        "message": "Value not in list",
        "details": "",
        "extra_info": {"input_name": "seconds"},
    }
    return {"class_type": class_type, "errors": [error], "dependent_outputs": []}


def _queue(server: SimServer, body: Json, *, ours: bool) -> Reply:
    if body.get("clear"):
        server.world.check_foreign(server, [p.id for p in server.pending], "cleared the queue", ours=ours)
        for prompt in list(server.pending):
            _stolen(server, prompt.id, ours=ours)
            server.take_out(prompt.id)
    for prompt_id in body.get("delete", ()):
        server.world.check_foreign(server, [prompt_id], "dequeued", ours=ours)
        server.take_out(prompt_id)
    return 200, None


def _history(server: SimServer, body: Json, *, ours: bool) -> Reply:
    wanted = list(server.history) if body.get("clear") else body.get("delete", ())
    server.world.check_foreign(server, wanted, "removed from history", ours=ours)
    for prompt_id in wanted:
        if server.history.pop(prompt_id, None) is not None:
            _stolen(server, prompt_id, ours=ours)
    return 200, None


def _stolen(server: SimServer, prompt_id: str, *, ours: bool) -> None:
    """What a stranger removed is unknown again, and may be sent again."""
    if not ours:
        server.sent.pop(prompt_id, None)


def _interrupt(server: SimServer, body: Json | None, *, ours: bool) -> Reply:
    wanted = (body or {}).get("prompt_id") if server.version >= "0.3.57" else None
    running = server.running
    if running is not None and wanted in (None, running.id):
        server.world.check_foreign(server, [running.id], "interrupted", ours=ours)
        server.interrupt = True
    return 200, None


def _cancel_job(server: SimServer, prompt_id: str, *, ours: bool) -> Reply:
    if server.version < "0.9":
        return 405, None
    server.world.check_foreign(server, [prompt_id], "canceled", ours=ours)
    if server.take_out(prompt_id):
        return 200, {"cancelled": True}
    if server.running is not None and server.running.id == prompt_id:
        server.interrupt = True
        return 200, {"cancelled": True}
    return 200, {"cancelled": False}
