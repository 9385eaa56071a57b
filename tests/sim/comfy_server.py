"""A ComfyUI as far as a gateway can tell: queue, counter, history, files, sockets, and one worker.

Independent of the gateway and of `comfygate.simulator`. It keeps books of its own for the auditor: what was
sent how often, what was touched by whom.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.sim.clock import pause

if TYPE_CHECKING:
    from tests.sim.network import SimSocket
    from tests.sim.world import World

SAVES = {"SaveImage": "images", "SaveVideo": "videos"}
CLASSES = ("Sampler", "LoadImage", "SaveImage", "SaveVideo", "Note")
Json = dict[str, Any]


@dataclass
class Prompt:
    """One prompt in this server's hands."""

    id: str
    number: int
    graph: Json
    client_id: str
    outputs: list[str]
    ours: bool
    fate: str = "well"
    messages: list[Any] = field(default_factory=list)

    def entry(self) -> list[Any]:
        return [self.number, self.id, self.graph, {"client_id": self.client_id}, self.outputs]


class Interrupted(Exception):
    """The running prompt was told to stop."""


class NodeBroke(Exception):
    """A node of the running prompt raised."""

    def __init__(self, node: str, kind: str, message: str) -> None:
        super().__init__(message)
        self.node, self.kind, self.message = node, kind, message


class SimServer:
    """One server. `handle` is in `comfy_routes`; here is what it does by itself."""

    def __init__(self, world: World, name: str, version: str, slots: int) -> None:
        self.world = world
        self.name = name
        self.version = version
        self.ours_most = slots
        self.rng = random.Random(f"{name}/{world.plan.seed}")  # noqa: S311 - no secret
        self.up = True
        self.stalled = False
        self.cut = False
        self.number = 0
        self.epoch = 0
        self.pending: list[Prompt] = []
        self.running: Prompt | None = None
        self.history: dict[str, Json] = {}
        self.files: dict[tuple[str, str], bytes] = {}
        self.inputs: set[str] = set()
        self.sockets: dict[str, SimSocket] = {}
        self.backlog: list[Callable[[], None]] = []
        self.sent: dict[str, int] = {}
        self.ran: dict[str, int] = {}
        self.freed = 0
        self.poisoned = False
        self.interrupt = False
        self._more = asyncio.Event()
        self._worker = asyncio.create_task(self._work())

    # What can befall it.

    def crash(self) -> None:
        """The process is gone, with its queue, its history and its sockets; its files stay."""
        if not self.up:
            return
        self.world.note(f"{self.name}: crashed")
        self.up = self.stalled = False
        self._worker.cancel()
        self.pending, self.running, self.history = [], None, {}
        self.sent, self.interrupt, self.number = {}, False, 0
        self.poisoned = False
        self.epoch += 1
        backlog, self.backlog = self.backlog, []
        for waiting in backlog:
            waiting()
        self.drop_sockets()

    def start(self) -> None:
        """Come back after a crash, empty."""
        if self.up:
            return
        self.world.note(f"{self.name}: started again")
        self.up = True
        self._more = asyncio.Event()
        self._worker = asyncio.create_task(self._work())

    def stall(self) -> None:
        """Its event loop is blocked: what arrives waits, in order, and is handled when it wakes."""
        if self.up:
            self.world.note(f"{self.name}: stalls")
            self.stalled = True

    def wake(self) -> None:
        self.stalled = False
        backlog, self.backlog = self.backlog, []
        for waiting in backlog:
            waiting()

    def drop_sockets(self) -> None:
        sockets, self.sockets = self.sockets, {}
        for socket in sockets.values():
            socket.drop()

    def when_awake(self, act: Callable[[], None]) -> None:
        """Do it now, or when the server is no longer stalled."""
        if self.stalled:
            self.backlog.append(act)
        else:
            act()

    # The queue.

    def add(self, prompt: Prompt) -> None:
        self.pending.append(prompt)
        self._more.set()
        self._tell_depth()
        self.world.servers_changed(self)

    def take_out(self, prompt_id: str) -> bool:
        for prompt in self.pending:
            if prompt.id == prompt_id:
                self.pending.remove(prompt)
                self._tell_depth()
                return True
        return False

    def depth(self) -> int:
        return len(self.pending) + (self.running is not None)

    def ours(self) -> list[str]:
        """Our prompts that run or wait here."""
        here = [*self.pending, *([self.running] if self.running else [])]
        return [prompt.id for prompt in here if prompt.ours]

    def knows(self, prompt_id: str) -> bool:
        here = [*self.pending, *([self.running] if self.running else [])]
        return prompt_id in self.history or any(prompt.id == prompt_id for prompt in here)

    # Sockets.

    def emit(self, prompt: Prompt, kind: str, **data: Any) -> None:
        message = {"type": kind, "data": {"prompt_id": prompt.id, **data}}

        def send() -> None:
            socket = self.sockets.get(prompt.client_id)
            if socket is not None:
                socket.deliver(message)

        self.when_awake(send)

    def _tell_depth(self) -> None:
        status = {"status": {"exec_info": {"queue_remaining": self.depth()}}}
        for socket in list(self.sockets.values()):
            socket.deliver({"type": "status", "data": status})

    # The worker.

    async def _work(self) -> None:
        while True:
            while not self.pending:
                self._more.clear()
                await self._more.wait()
            prompt = min(self.pending, key=lambda waiting: waiting.number)
            self.pending.remove(prompt)
            self.running, self.interrupt = prompt, False
            self.ran[prompt.id] = self.ran.get(prompt.id, 0) + 1
            self.world.note(f"{self.name}: runs {self.world.alias(prompt.id)} ({prompt.fate})")
            record = await self._execute(prompt)
            await pause(self.rng.uniform(0.0, 0.02))
            self.history[prompt.id] = record
            self.running = None
            self.world.note(f"{self.name}: ended {self.world.alias(prompt.id)}")
            self.world.servers_changed(self)
            await pause(self.rng.uniform(0.0, 0.02))
            self.emit(prompt, "executing", node=None)
            self._tell_depth()

    async def _execute(self, prompt: Prompt) -> Json:
        outputs: Json = {}
        status, completed = "error", False
        self._say(prompt, "execution_start")
        try:
            await self._nodes(prompt, outputs)
        except Interrupted:
            self._say(prompt, "execution_interrupted", executed=list(outputs))
        except NodeBroke as broke:
            self._say(
                prompt, "execution_error", node_id=broke.node,
                node_type=prompt.graph[broke.node]["class_type"], exception_type=broke.kind,
                exception_message=broke.message, traceback=["at /root/ComfyUI/nodes.py"], executed=[],
            )  # fmt: skip
        else:
            status, completed = "success", True
            self._say(prompt, "execution_success")
        return {
            "prompt": prompt.entry(),
            "outputs": outputs,
            "status": {"status_str": status, "completed": completed, "messages": prompt.messages},
        }

    def _say(self, prompt: Prompt, kind: str, **data: Any) -> None:
        stamp = int(self.world.loop.time() * 1000)
        prompt.messages.append([kind, {"prompt_id": prompt.id, "timestamp": stamp, **data}])
        self.emit(prompt, kind, **data)

    async def _nodes(self, prompt: Prompt, outputs: Json) -> None:
        self._say(prompt, "execution_cached", nodes=[])
        for node, body in prompt.graph.items():
            kind = body["class_type"]
            if (kind in SAVES or kind == "Note") and node not in prompt.outputs:
                continue
            self.emit(prompt, "executing", node=node)
            if kind == "Sampler":
                await self._sample(prompt, node, float(body["inputs"]["seconds"]))
            elif kind in SAVES:
                await pause(0.05)
                self._check_interrupt()
                if prompt.fate == "disk full":
                    raise NodeBroke(node, "OSError", "[Errno 28] No space left on device")
                if prompt.fate != "missing":
                    outputs[node] = {SAVES[kind]: [self._save(prompt, node, body)]}
                    self.emit(prompt, "executed", node=node, output=outputs[node])
            elif kind == "Note":
                outputs[node] = {"text": [body["inputs"]["text"]]}
        self._check_interrupt()

    async def _sample(self, prompt: Prompt, node: str, seconds: float) -> None:
        steps = 4
        for step in range(1, steps + 1):
            await pause(seconds / steps)
            self._check_interrupt()
            if prompt.fate == "hang" and step == 2:
                await self.world.loop.create_future()
            self.poisoned |= prompt.fate == "poison"
            if self.poisoned:
                raise NodeBroke(node, "torch.AcceleratorError", "CUDA error: device-side assert triggered")
            if prompt.fate == "out of memory" and step == 3:
                raise NodeBroke(node, "torch.OutOfMemoryError", "Allocation on device 0 would exceed memory")
            self.emit(prompt, "progress", node=node, value=step, max=steps)

    def _check_interrupt(self) -> None:
        if self.interrupt:
            self.interrupt = False
            raise Interrupted

    def _save(self, prompt: Prompt, node: str, body: Json) -> Json:
        folder, _, stem = body["inputs"]["filename_prefix"].rpartition("/")
        name = f"{stem}_{len(self.files):05}_.png"
        self.files[folder, name] = f"{prompt.id}|{node}".encode()
        return {"filename": name, "subfolder": folder, "type": "output"}
