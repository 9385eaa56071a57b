"""Sends every recorded request to a simulator, in the recorded order, in one process as it was recorded.

What the recording lacks (multipart bodies, a body that is no JSON) is made up here to the same effect.
What differs between any two ComfyUI processes is made equal on both sides by `plain`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from comfygate.simulator import Simulator
from tests.simulator.support import Client, Listener, png

RECORDED: dict[str, dict[str, Any]] = json.loads(
    Path(__file__).with_name("transcripts.json").read_text(encoding="utf-8")
)
RECONNECT = "reconnect_with_the_same_client_id"
_UNORDERED = {"executed", "current_outputs", "errors", "dependent_outputs"}
_MADE_UP: dict[tuple[str, int], dict[str, Any]] = {
    ("image_success", 0): {"name": "photo.png", "content": png(), "subfolder": "acct-1"},
    ("upload_cases", 0): {"name": "a.png", "content": b"first"},
    ("upload_cases", 1): {"name": "a.png", "content": b"first"},
    ("upload_cases", 2): {"name": "a.png", "content": b"second"},
    ("upload_cases", 3): {"name": "a.png", "content": b"third", "overwrite": "true"},
    ("upload_cases", 4): {"name": "../evil.png", "content": b"evil"},
    ("upload_cases", 5): {"name": "b.png", "content": b"not a picture"},
    ("upload_cases", 6): {"name": "c.png", "content": b"c", "type": "nowhere"},
    ("execution_error", 0): {"name": "broken.png", "content": b"not a picture"},
}


@dataclass(slots=True)
class Exchange:
    """One answer."""

    status: int
    content_type: str
    headers: dict[str, str]
    body: Any


@dataclass(slots=True)
class Replayed:
    """What the simulator did in one scenario."""

    answers: list[Exchange] = field(default_factory=list)
    frames: list[dict[str, Any]] = field(default_factory=list)


async def replay_all() -> tuple[dict[str, Replayed], str]:
    """All scenarios but the reconnect, and the simulator's base folder."""
    done: dict[str, Replayed] = {}
    async with Simulator() as sim, aiohttp.ClientSession() as http:
        client = Client(http, sim.url)
        for name, recorded in RECORDED.items():
            if name == RECONNECT:
                continue
            replayed = done[name] = Replayed()
            _before(sim, name)
            async with http.ws_connect(f"{sim.url}/ws", params={"clientId": recorded["client_id"]}) as ws:
                listener = Listener(ws, replayed.frames)
                await listener.next()
                for index, exchange in enumerate(recorded["http"]):
                    await _wait_as_recorded(sim, name, index, exchange)
                    replayed.answers.append(await _sent(client, name, index, exchange))
                    _after(sim, name, index)
                await listener.barrier()
        return done, str(sim.base_dir)


def _before(sim: Simulator, name: str) -> None:
    """Stop time where the recording shows requests answered during a node of seconds."""
    if name == "same_prompt_id_submitted_twice":
        sim.hold()
    if name == "interrupt_running_with_pending_of_another_client":
        sim.hang("ImageBlur")


def _after(sim: Simulator, name: str, index: int) -> None:
    if (name, index) in {
        ("same_prompt_id_submitted_twice", 2),
        ("interrupt_running_with_pending_of_another_client", 7),
    }:
        sim.release()


async def _wait_as_recorded(sim: Simulator, name: str, index: int, exchange: dict[str, Any]) -> None:
    """The recorder had waited until there was something to see."""
    if name == "interrupt_running_with_pending_of_another_client" and index == 3:
        await sim.node_started(RECORDED[name]["http"][0]["request_json"]["prompt_id"], "2")
    found = re.fullmatch(r"/history/(.+)", exchange["path"])
    if found and exchange["response_json"]:
        runs = sum(
            (one.get("request_json") or {}).get("prompt_id") == found[1]
            for one in RECORDED[name]["http"][:index]
            if one["path"] == "/prompt"
        )
        await sim.finished(found[1], count=runs)


async def _sent(client: Client, name: str, index: int, exchange: dict[str, Any]) -> Exchange:
    how: dict[str, Any] = {}
    if exchange["path"] == "/upload/image":
        made_up = dict(_MADE_UP[name, index])
        form = aiohttp.FormData({key: made_up[key] for key in made_up if key not in {"name", "content"}})
        form.add_field("image", made_up["content"], filename=made_up["name"], content_type="image/png")
        how["data"] = form
    elif "request_json" in exchange:
        how["json"] = exchange["request_json"]
    elif exchange["method"] == "POST" and exchange["path"] == "/prompt":
        how["data"] = b"this is no JSON"
    async with client.http.request(exchange["method"], client.url + exchange["path"], **how) as answer:
        body: Any = await answer.read()
        if "response_json" in exchange:
            body = json.loads(body)
        elif "response_text" in exchange:
            body = body.decode()
        kind = answer.headers.get("Content-Type", "")
        return Exchange(answer.status, kind, dict(answer.headers), body)


def plain(value: Any, base: str = "") -> Any:
    """Equal for two processes that did the same: no clock, paths, hash order, random names, stack frames."""
    match value:
        case dict():
            return {key: _plain_field(key, one, base) for key, one in value.items()}
        case list():
            return [plain(one, base) for one in value]
        case str():
            text = value.replace(base, "/opt/ComfyUI") if base else value
            return re.sub(r"ComfyUI_temp_[a-z]{5}_", "ComfyUI_temp_xxxxx_", text)
        case _:
            return value


def _plain_field(key: str, value: Any, base: str) -> Any:
    if key == "timestamp":
        return "a time"
    if key == "traceback":
        return "stack frames" if value and all(isinstance(one, str) for one in value) else value
    if key == "prompt" and isinstance(value, list) and len(value) == 5:
        number, prompt_id, graph, extra, outputs = value
        return [number, prompt_id, graph, extra, sorted(outputs)]
    if key in _UNORDERED and isinstance(value, list):
        return sorted((plain(one, base) for one in value), key=json.dumps)
    return plain(value, base)
