"""A ComfyUI stand-in: the same wire, core image and video nodes really run on the CPU, and faults on request.

Built from a ComfyUI 0.3.64 recording. Start it, point a client at `url`, wait with `received`, `started`,
`node_started`, `finished` and `requested`; stop time with `hold`, let it go with `release`.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web
from PIL import Image

from comfygate.simulator.catalog import CATALOG
from comfygate.simulator.executor import Executor
from comfygate.simulator.faults import Faults, HoldPoint, Outcome
from comfygate.simulator.files import Folders
from comfygate.simulator.journal import WAIT_SECONDS, Journal, Moment, MomentKind, Request
from comfygate.simulator.journal_file import Facts, JournalFile
from comfygate.simulator.memory import ModelMemory
from comfygate.simulator.nodes_model import CHECKPOINTS
from comfygate.simulator.prompt_queue import PromptQueue
from comfygate.simulator.routes_control import ControlRoutes
from comfygate.simulator.routes_facts import FactRoutes
from comfygate.simulator.routes_files import FileRoutes
from comfygate.simulator.routes_jobs import JobRoutes
from comfygate.simulator.routes_prompt import PromptRoutes
from comfygate.simulator.run import Bench, Pace
from comfygate.simulator.server import SILENT_LOG, Routes, make_app
from comfygate.simulator.sockets import FEATURES, Sockets
from comfygate.simulator.switches import Switch, Switchboard, read_switch

_INTERRUPT_BY_ID_SINCE = (0, 3, 57)
_EXAMPLE_PIXELS = 64


class Simulator:
    """One simulated ComfyUI server.

    `port` 0 lets the system choose, once: later starts keep it. `node_seconds` is an artificial duration per
    node, divided by `speed` (0: no artificial time at all). `steps` and `previews` send progress and JPEG
    previews, which the recorded nodes do not. `version` decides whether POST /interrupt heeds an id
    (`interrupt_by_id` overrides); `jobs_api` adds the newer /api/jobs and, with it, `strict_prompt_ids`.
    Without `base_dir` files live in a temporary folder that goes with `stop`. `switches` are faults as
    NAME[=VALUE][:CHANCE] (UnknownFaultError), drawn from `seed`; `journal_path` is appended to (OSError).
    `models` are the checkpoints it has, each taking `model_load_seconds` when another was loaded last;
    `without_nodes` are classes it has not.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float = 1.0,
        version: str = "0.3.64",
        base_dir: Path | None = None,
        node_seconds: float = 0.0,
        node_steps: int = 10,
        steps: bool = False,
        previews: bool = False,
        interrupt_by_id: bool | None = None,
        jobs_api: bool = False,
        strict_prompt_ids: bool | None = None,
        upload_bytes_max: int = 104857600,
        switches: Sequence[str] = (),
        seed: int = 0,
        journal_path: Path | None = None,
        models: Sequence[str] = (),
        model_load_seconds: float = 0.0,
        without_nodes: Sequence[str] = (),
    ) -> None:
        self.host = host
        self.port = port
        self.version = version
        self.interrupt_by_id = _heeds_id(version) if interrupt_by_id is None else interrupt_by_id
        self.jobs_api = jobs_api
        self.strict_prompt_ids = jobs_api if strict_prompt_ids is None else strict_prompt_ids
        self.faults = Faults()
        self.switches = Switchboard(seed)
        self._switched_at_first = [read_switch(one) for one in switches]
        self.facts = Facts()
        self.journal = Journal(listeners=[self.facts.observe])
        if journal_path is not None:
            self.journal.listeners.append(JournalFile(journal_path).write)
        self._restarting: set[asyncio.Task[None]] = set()
        self._one_restart = asyncio.Lock()
        self._pace = Pace(
            node_seconds=node_seconds / speed if speed > 0 else 0.0,
            node_steps=node_steps,
            steps=steps or previews,
            previews=previews,
        )
        self._upload_bytes_max = upload_bytes_max
        self._models, self._without_nodes = tuple(models), frozenset(without_nodes)
        self.memory = ModelMemory(model_load_seconds)
        self._given_base = base_dir
        self._runner: web.AppRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.executed: list[str] = []
        """prompt_ids in the order they started, over restarts too; what ran twice is there twice."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        return f"http://{self.host}:{self.port}"

    @property
    def base_dir(self) -> Path:
        """The folder holding `input`, `output` and `temp`."""
        return self._folders.base

    @property
    def requests(self) -> list[Request]:
        """Every HTTP request so far, WebSocket openings included."""
        return self.journal.requests()

    @property
    def client_ids(self) -> list[str]:
        """Client ids of the WebSockets that frames reach now."""
        return self._sockets.client_ids

    async def start(self) -> None:
        """Listen and work, with an empty queue and history, as after a process start."""
        base = self._given_base or Path(tempfile.mkdtemp(prefix="comfygate-simulator-"))
        self._folders = Folders(base.resolve())
        await asyncio.to_thread(_prepare, self._folders)
        self.add_models(*self._models)
        features = {**FEATURES, "max_upload_size": self._upload_bytes_max}
        self._sockets = Sockets(features, lambda: self.switches.drawn("silence_sockets") is not None)
        self._queue = PromptQueue(self._queue_changed)
        bench = Bench(
            self._sockets,
            self._folders,
            {name: node for name, node in CATALOG.items() if name not in self._without_nodes},
            self.faults,
            self.journal,
            self._pace,
            self.switches,
            self._restart_soon,
            self.memory,
        )
        self._executor = Executor(self._queue, bench, self.executed)
        self._prompts = PromptRoutes(
            self._queue,
            self._executor,
            self._folders,
            self.journal,
            self.switches,
            self.interrupt_by_id,
            self.strict_prompt_ids,
        )
        routes = Routes(
            self._prompts,
            FileRoutes(self._folders),
            FactRoutes(self._folders, bench.catalog, self.version, features),
            JobRoutes(self._queue, self._executor, self.journal) if self.jobs_api else None,
            self._sockets,
            ControlRoutes(
                self.switch_on, self.clear_faults, self.switches.state, self.facts.to_json, self.restart
            ),
        )
        limit = self._upload_bytes_max
        app = make_app(routes, self.faults, self.journal, self.switches, upload_bytes_max=limit)
        self._runner = web.AppRunner(app, access_log=None, logger=SILENT_LOG, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self.journal.note(Moment("process-started"))
        self.switches.restarted()
        for switch in self._switched_at_first:
            self.switch_on(switch)
        self._switched_at_first = []
        self._tasks = [
            asyncio.create_task(self._sockets.publish()),
            asyncio.create_task(self._executor.work()),
        ]

    def add_models(self, *names: str) -> None:
        """Put checkpoints, without content, where the loader lists them."""
        folder = self._folders.base / "models" / CHECKPOINTS
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).touch()

    async def stop(self) -> None:
        """Cut every connection and stop listening; the queue, the history and a temporary folder are gone."""
        if self._runner is None:
            return
        runner, self._runner = self._runner, None
        for task in self._restarting:
            task.cancel()
        await self._cancel_tasks()
        self._sockets.drop()
        await runner.cleanup()
        if self._given_base is None:
            await asyncio.to_thread(shutil.rmtree, self._folders.base, ignore_errors=True)

    async def restart(self) -> None:
        """As if the process died and came back at once: queue, history, cache and sockets gone, number 0.

        Files stay, switched faults stay (`faults.clear()`, `clear_faults()` end them) but for a full memory
        and a poisoned GPU, the port is never closed.
        """
        async with self._one_restart:
            await self._die_and_begin()

    async def _die_and_begin(self) -> None:
        await self._cancel_tasks()
        self.switches.restarted()
        self.journal.note(Moment("restarted"))
        self._sockets.forget()
        self._sockets.drop()
        self._queue.forget()
        self._executor.free()
        self._prompts.number = 0
        self._tasks = [
            asyncio.create_task(self._sockets.publish()),
            asyncio.create_task(self._executor.work()),
        ]

    def _restart_soon(self) -> None:
        task = asyncio.create_task(self.restart())
        self._restarting.add(task)
        task.add_done_callback(self._restarting.discard)

    def switch_on(self, switch: Switch) -> None:
        """Switch a fault on, beside those that are."""
        self.switches.on(switch)
        if switch.name == "drop_sockets" and switch.chance >= 1:
            self._sockets.drop()
        if switch.name == "silence_sockets" and switch.chance >= 1:
            self._sockets.silence(future=False)

    def clear_faults(self) -> None:
        """Every fault off, whichever way it was switched on; what hung goes on."""
        self.switches.clear()
        self.faults.clear()
        self._sockets.restore()

    async def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _queue_changed(self) -> None:
        self._sockets.send("status", {"status": self._prompts.info()}, None)

    async def received(
        self, prompt_id: str, *, count: int = 1, timeout_seconds: float = WAIT_SECONDS
    ) -> None:
        """Wait until this prompt_id was accepted `count` times; raises TimeoutError."""
        await self._until("received", prompt_id, None, count, timeout_seconds)

    async def started(self, prompt_id: str, *, count: int = 1, timeout_seconds: float = WAIT_SECONDS) -> None:
        """Wait until its execution started `count` times; raises TimeoutError."""
        await self._until("started", prompt_id, None, count, timeout_seconds)

    async def node_started(
        self, prompt_id: str, node_id: str, *, count: int = 1, timeout_seconds: float = WAIT_SECONDS
    ) -> None:
        """Wait until this node began; raises TimeoutError."""
        await self._until("node", prompt_id, node_id, count, timeout_seconds)

    async def finished(
        self, prompt_id: str, *, count: int = 1, timeout_seconds: float = WAIT_SECONDS
    ) -> None:
        """Wait until its history was written `count` times, success or not; raises TimeoutError."""
        await self._until("finished", prompt_id, None, count, timeout_seconds)

    async def requested(
        self,
        method: str,
        path: str,
        *,
        count: int = 1,
        where: Callable[[Request], bool] = lambda _: True,
        timeout_seconds: float = WAIT_SECONDS,
    ) -> Request:
        """Wait for the `count`-th such request (`path` without `/api`); raises TimeoutError."""

        def wanted(moment: Moment) -> bool:
            seen = moment.request
            return seen is not None and (seen.method, seen.path) == (method, path) and where(seen)

        moment = await self.journal.until(wanted, count=count, timeout_seconds=timeout_seconds)
        assert moment.request is not None  # noqa: S101 - `wanted` says so
        return moment.request

    async def _until(
        self, kind: MomentKind, prompt_id: str, node_id: str | None, count: int, timeout_seconds: float
    ) -> None:
        def wanted(moment: Moment) -> bool:
            same = (moment.kind, moment.prompt_id) == (kind, prompt_id)
            return same and node_id in (None, moment.node_id)

        await self.journal.until(wanted, count=count, timeout_seconds=timeout_seconds)

    def hold(self, at: HoldPoint = "node") -> None:
        """Runs wait before each node's work (an interrupt still lands), or before history is written."""
        self.faults.hold(at)

    def hang(self, class_type: str | None = None) -> None:
        """Nodes of this class (None: all) never end their work; interrupts land after `release` only."""
        self.faults.hang(class_type)

    def release(self) -> None:
        """End of every `hold` and `hang`."""
        self.faults.release()

    def error_on(
        self,
        class_type: str,
        *,
        message: str = "simulated failure",
        exception_type: str = "RuntimeError",
        times: int | None = None,
    ) -> None:
        """Nodes of this class end in an execution_error, `times` times (None: for good)."""
        self.faults.error_on(class_type, message, exception_type, times)

    def fail_next(
        self, path: str, status: Outcome = 500, *, times: int = 1, method: str | None = None
    ) -> None:
        """The next requests for `path` (no `/api`) fail: an HTTP status, "close" or "accept_then_close"."""
        self.faults.fail_next(path, status, times=times, method=method)

    def drop_sockets(self) -> int:
        """Cut every WebSocket without a closing handshake; the number cut."""
        return self._sockets.drop()

    def silence_sockets(self, *, future: bool = False) -> None:
        """Deliver nothing on the WebSockets open now (`future`: nor on new ones); they stay open."""
        self._sockets.silence(future=future)

    def restore_sockets(self) -> None:
        """End of `silence_sockets`."""
        self._sockets.restore()


def _heeds_id(version: str) -> bool:
    numbers = tuple(int(piece) for piece in version.split(".")[:3] if piece.isdigit())
    return numbers >= _INTERRUPT_BY_ID_SINCE


def _prepare(folders: Folders) -> None:
    folders.make()
    example = folders.input / "example.png"
    if not example.exists():
        Image.linear_gradient("L").resize((_EXAMPLE_PIXELS, _EXAMPLE_PIXELS)).convert("RGB").save(example)
