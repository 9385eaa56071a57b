"""The one worker: takes prompts from the queue and runs them, telling it as ComfyUI 0.3.64 does (recorded).

Order on success: execution_success, then history, then status, then `executing {node: null}`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from comfygate.simulator.journal import Moment, Origin
from comfygate.simulator.prompt_queue import PromptQueue, PromptResult
from comfygate.simulator.run import Bench, CacheEntry, Run


@dataclass(slots=True)
class Executor:
    """Runs prompts one at a time until cancelled."""

    queue: PromptQueue
    bench: Bench
    executed: list[str] = field(default_factory=list)
    current: Run | None = None
    _cache: dict[str, CacheEntry] = field(default_factory=dict)

    async def work(self) -> None:
        """Take, run, write history, tell."""
        while True:
            prompt = await self.queue.get()
            run = Run(self.bench, prompt, asyncio.get_running_loop())
            self.current = run
            self.executed.append(prompt.prompt_id)
            try:
                result = await run.execute(self._cache)
                await self._finish(run, result)
            finally:
                run.alive = False
                self.current = None

    async def _finish(self, run: Run, result: PromptResult) -> None:
        await self.bench.faults.until_released("history")
        self.queue.done(run.prompt, result)
        if run.client_id is not None:
            ended = {"node": None, "prompt_id": run.prompt.prompt_id}
            run.tell_end("executing", ended)
        self.bench.journal.note(Moment("finished", run.prompt.prompt_id))

    def interrupt(self, prompt_id: str | None, origin: Origin | None = None) -> bool:
        """Interrupt the running prompt if it has this id (None: whatever runs); says whether one was told."""
        run = self.current
        if run is None or prompt_id not in (None, run.prompt.prompt_id):
            return False
        run.interrupted.set()
        self.bench.journal.note(Moment("interrupted", run.prompt.prompt_id, origin=origin))
        return True

    def resume_node(self, client_id: str) -> str | None:
        """The node running for this client now, for the greeting of its new socket."""
        run = self.current
        return run.current_node if run is not None and run.client_id == client_id else None

    def free(self) -> None:
        """Forget cached results and free memory, as POST /free does."""
        self.bench.switches.freed()
        self.bench.memory.free()
        self._cache.clear()
