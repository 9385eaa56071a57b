"""One prompt being executed: node by node, with cache, progress, interrupts, faults and failures."""

from __future__ import annotations

import asyncio
import errno
import os
import time
import traceback
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image

from comfygate.simulator.faults import Faults, SimulatedFailureError
from comfygate.simulator.files import Folders, OutsideFolderError
from comfygate.simulator.graph import Plan, links_of, signatures
from comfygate.simulator.journal import Journal, Moment
from comfygate.simulator.memory import ModelMemory
from comfygate.simulator.node import Call, NodeClass, Result
from comfygate.simulator.progress import ProgressRegistry
from comfygate.simulator.prompt_queue import Prompt, PromptResult
from comfygate.simulator.sockets import Sockets
from comfygate.simulator.switches import Switchboard
from comfygate.simulator.tensor_text import tensor_text

_PREVIEW_PIXELS_MAX = 512
_ENDS = frozenset({"execution_success", "execution_error", "execution_interrupted"})


class Interrupted(Exception):
    """The prompt was interrupted, or its server was restarted under it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long nodes take beyond their real work, and what they tell meanwhile.

    `node_seconds` is per node, split into `node_steps` when `steps` is on. `steps` sends progress for every
    picture or frame, `previews` a JPEG with each; on the recorded server these nodes do neither.
    """

    node_seconds: float = 0.0
    node_steps: int = 10
    steps: bool = False
    previews: bool = False


@dataclass(frozen=True, slots=True)
class Bench:
    """What every run works with."""

    sockets: Sockets
    folders: Folders
    catalog: Mapping[str, NodeClass]
    faults: Faults
    journal: Journal
    pace: Pace
    switches: Switchboard
    restart_soon: Callable[[], None]
    memory: ModelMemory = field(default_factory=ModelMemory)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What a node gave: its outputs and what it showed."""

    result: Result


@dataclass(eq=False, slots=True)
class Run:
    """State of the running prompt; `interrupted` may be set at any time, it lands at the next boundary."""

    bench: Bench
    prompt: Prompt
    loop: asyncio.AbstractEventLoop
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    alive: bool = True
    current_node: str | None = None
    _messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _done: list[str] = field(default_factory=list)
    _signatures: dict[str, str | None] = field(default_factory=dict)
    _cache: dict[str, CacheEntry] = field(default_factory=dict)
    _progress: ProgressRegistry = field(init=False)
    _doom: SimulatedFailureError | None = None

    def __post_init__(self) -> None:
        self._progress = ProgressRegistry(self.prompt.prompt_id, self._send)

    @property
    def client_id(self) -> str | None:
        """Who is told; None tells nobody in particular."""
        found = self.prompt.extra_data.get("client_id")
        return found if isinstance(found, str) else None

    async def execute(self, cache: dict[str, CacheEntry]) -> PromptResult:
        """Run every node that is not cached; never raises for what a graph does."""
        self._cache = cache
        bench, graph = self.bench, self.prompt.graph
        self._doom = bench.switches.doom()
        self._message("execution_start", {"prompt_id": self.prompt.prompt_id})
        bench.journal.note(Moment("started", self.prompt.prompt_id))
        self._signatures = await asyncio.to_thread(signatures, graph, bench.catalog, bench.folders)
        self._keep_only_mine()
        cached = [node_id for node_id in graph if self._entry(node_id) is not None]
        self._message("execution_cached", {"nodes": cached, "prompt_id": self.prompt.prompt_id})
        success = await self._nodes()
        shown = {
            node_id: entry.result.ui
            for node_id in graph
            if (entry := self._entry(node_id)) and entry.result.ui
        }
        meta = {
            node_id: {
                "node_id": node_id,
                "display_node": node_id,
                "parent_node": None,
                "real_node_id": node_id,
            }
            for node_id in shown
        }
        return PromptResult(shown, meta, success, self._messages)

    async def _nodes(self) -> bool:
        plan = Plan(self._links, self._is_output, lambda node_id: self._entry(node_id) is not None)
        for output in self.prompt.outputs:
            plan.add(output)
        while plan:
            node_id = plan.next()
            try:
                await self._node(node_id)
            except Interrupted:
                self._message("execution_interrupted", self._about(node_id), broadcast=True)
                return False
            except Exception as trouble:  # noqa: BLE001 - a node may raise anything; the wire reports it
                self._message("execution_error", self._failure(node_id, trouble))
                return False
            plan.done(node_id)
            self._done.append(node_id)
        self._message("execution_success", {"prompt_id": self.prompt.prompt_id})
        self.current_node = None
        return True

    async def _node(self, node_id: str) -> None:
        entry = self._entry(node_id)
        if entry is None:
            self._progress.start(node_id)
            self.current_node = node_id
            self._tell(
                "executing", {"node": node_id, "display_node": node_id, "prompt_id": self.prompt.prompt_id}
            )
            self.bench.journal.note(Moment("node", self.prompt.prompt_id, node_id))
            entry = CacheEntry(await self._compute(node_id))
            signature = self._signatures[node_id]
            if signature is not None:
                self._cache[signature] = entry
            told = entry.result.ui is not None
        else:
            told = True
        if told:
            output = None if entry.result.ui is None else dict(entry.result.ui)
            data = {
                "node": node_id,
                "display_node": node_id,
                "output": output,
                "prompt_id": self.prompt.prompt_id,
            }
            self._tell("executed", data)
        self._progress.finish(node_id)

    async def _compute(self, node_id: str) -> Result:
        class_type = self.prompt.graph[node_id]["class_type"]
        faults, pace = self.bench.faults, self.bench.pace
        if not self._done and self.bench.switches.drawn("restart"):
            self.bench.restart_soon()
        if faults.is_held("node"):
            await _either(faults.until_released("node"), self.interrupted.wait())
        if pace.node_seconds > 0:
            await self._take_time(node_id)
        if self.interrupted.is_set():
            raise Interrupted
        faults.check_node(class_type)
        await faults.until_not_hung(class_type)
        await self._suffer(class_type)
        extra = self.prompt.extra_data.get("extra_pnginfo")
        own_steps = pace.steps and pace.node_seconds <= 0

        def step(value: int, maximum: int, preview: Image.Image | None) -> None:
            if own_steps:
                self._step_from_thread(node_id, value, maximum, preview)

        pnginfo = extra if isinstance(extra, dict) else None
        call = Call(self.bench.folders, self.prompt.graph, pnginfo, step, self.bench.memory.load)
        return await asyncio.to_thread(self.bench.catalog[class_type].run, self._inputs(node_id), call)

    async def _suffer(self, class_type: str) -> None:
        """What the switches do to a node that is about to compute."""
        switches = self.bench.switches
        if self._doom is not None:
            raise self._doom
        if switches.drawn("hang", value=class_type):
            await self.bench.faults.until_next_release()
        if switches.drawn("fail_node", value=class_type):
            raise SimulatedFailureError("simulated failure", "RuntimeError")
        writes = class_type.startswith("Save") or class_type == "PreviewImage"
        if writes and switches.drawn("full_disk"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def _take_time(self, node_id: str) -> None:
        pace = self.bench.pace
        pieces = pace.node_steps if pace.steps else 1
        preview = await asyncio.to_thread(self._first_picture, node_id) if pace.previews else None
        for number in range(1, pieces + 1):
            await _either(self.interrupted.wait(), asyncio.sleep(pace.node_seconds / pieces))
            if self.interrupted.is_set():
                raise Interrupted
            if pace.steps:
                self._stepped(node_id, number, pieces, preview)

    def _first_picture(self, node_id: str) -> bytes | None:
        for value in self._inputs(node_id).values():
            if isinstance(value, tuple) and value and isinstance(value[0], Image.Image):
                return _jpeg(value[0])
        return None

    def _step_from_thread(self, node_id: str, value: int, maximum: int, preview: Image.Image | None) -> None:
        if self.interrupted.is_set() or not self.alive:
            raise Interrupted
        jpeg = _jpeg(preview) if preview is not None and self.bench.pace.previews else None
        self.loop.call_soon_threadsafe(self._stepped, node_id, value, maximum, jpeg)

    def _stepped(self, node_id: str, value: int, maximum: int, jpeg: bytes | None) -> None:
        if not self.alive:
            return
        self._progress.update(node_id, value, maximum)
        if jpeg is not None:
            self.bench.sockets.send_preview(jpeg, self._progress.about(node_id), self.client_id)

    def _inputs(self, node_id: str) -> dict[str, Any]:
        node = self.prompt.graph[node_id]
        declared = {one.name for one in self.bench.catalog[node["class_type"]].inputs}
        values = {name: value for name, value in node["inputs"].items() if name in declared}
        for name, source, slot in self._links(node_id):
            entry = self._entry(source)
            if name in declared and entry is not None:
                values[name] = entry.result.outputs[slot]
        return values

    def _entry(self, node_id: str) -> CacheEntry | None:
        signature = self._signatures.get(node_id)
        return None if signature is None else self._cache.get(signature)

    def _keep_only_mine(self) -> None:
        """ComfyUI's cache holds the last graph only: what this one does not share is forgotten."""
        mine = set(self._signatures.values())
        for signature in [one for one in self._cache if one not in mine]:
            del self._cache[signature]

    def _links(self, node_id: str) -> list[tuple[str, str, int]]:
        node = self.prompt.graph[node_id]
        return links_of(node, self.bench.catalog[node["class_type"]])

    def _is_output(self, node_id: str) -> bool:
        return self.bench.catalog[self.prompt.graph[node_id]["class_type"]].output_node

    def _about(self, node_id: str) -> dict[str, Any]:
        return {
            "prompt_id": self.prompt.prompt_id,
            "node_id": node_id,
            "node_type": self.prompt.graph[node_id]["class_type"],
            "executed": list(self._done),
        }

    def _failure(self, node_id: str, trouble: Exception) -> dict[str, Any]:
        node_class = self.bench.catalog[self.prompt.graph[node_id]["class_type"]]
        inputs = {name: [_formatted(value)] for name, value in self._inputs(node_id).items()}
        if node_class.hidden and node_class.schema == "v1":
            inputs["prompt"] = [str(self.prompt.graph)]
            inputs["extra_pnginfo"] = [_formatted(self.prompt.extra_data.get("extra_pnginfo"))]
        return {
            **self._about(node_id),
            "exception_message": f"{trouble}\n{getattr(trouble, 'tips', '')}",
            "exception_type": _type_name(trouble),
            "traceback": traceback.format_tb(trouble.__traceback__),
            "current_inputs": inputs,
            "current_outputs": list(self.prompt.graph),
        }

    def _message(self, event: str, data: dict[str, Any], *, broadcast: bool = False) -> None:
        data = {**data, "timestamp": int(time.time() * 1000)}
        self._messages.append((event, data))
        if self.client_id is not None or broadcast:
            send = self.tell_end if event in _ENDS else self._send
            send(event, data)

    def tell_end(self, event: str, data: dict[str, Any]) -> None:
        """Send one of the events that end a prompt, once or, if so switched, twice."""
        twice = self.bench.switches.drawn("tell_twice") is not None
        for _ in range(2 if twice else 1):
            self._send(event, data)

    def _tell(self, event: str, data: dict[str, Any]) -> None:
        if self.client_id is not None:
            self._send(event, data)

    def _send(self, event: str, data: Any) -> None:
        """Without a client id the frame goes to everybody, as ComfyUI's progress_state does."""
        if self.alive:
            if self.bench.switches.drawn("drop_sockets"):
                self.bench.sockets.drop()
            self.bench.sockets.send(event, data, self.client_id)


async def _either(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait for the first; the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _jpeg(picture: Image.Image) -> bytes:
    small = picture.convert("RGB")
    small.thumbnail((_PREVIEW_PIXELS_MAX, _PREVIEW_PIXELS_MAX))
    buffer = BytesIO()
    small.save(buffer, format="JPEG", quality=95)
    return buffer.getvalue()


def _type_name(trouble: Exception) -> str:
    if isinstance(trouble, (SimulatedFailureError, OutsideFolderError)):
        return trouble.exception_type
    kind = type(trouble)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _formatted(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, tuple) and value and isinstance(value[0], Image.Image):
        return tensor_text(value)
    return str(value)
