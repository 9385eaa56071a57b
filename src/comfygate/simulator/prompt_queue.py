"""What waits, what runs and what ran, in memory only, as ComfyUI 0.3.64 keeps it.

Pending prompts are a heap by (number, prompt_id), the same prompt_id perhaps twice. A restart forgets all.
"""

from __future__ import annotations

import asyncio
import copy
import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

HISTORY_ENTRIES_MAX = 10_000


@dataclass(frozen=True, slots=True, order=True)
class Prompt:
    """One accepted prompt; its order in the heap is (number, prompt_id), then the order of arrival."""

    number: float
    prompt_id: str
    arrival: int
    graph: dict[str, Any] = field(compare=False)
    extra_data: dict[str, Any] = field(compare=False)
    outputs: list[str] = field(compare=False)

    def wire(self) -> list[Any]:
        """The five-element form of /queue and /history."""
        return [self.number, self.prompt_id, self.graph, self.extra_data, self.outputs]


@dataclass(frozen=True, slots=True)
class PromptResult:
    """What a run left for history."""

    outputs: Mapping[str, Any]
    meta: Mapping[str, Any]
    success: bool
    messages: list[tuple[str, dict[str, Any]]]


class PromptQueue:
    """Pending heap, the running prompt, history; calls `changed` whenever the queue's length may differ."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._pending: list[Prompt] = []
        self._running: list[Prompt] = []
        self._arrivals = 0
        self._more = asyncio.Event()
        self.history: dict[str, dict[str, Any]] = {}

    @property
    def remaining(self) -> int:
        """Pending and running together: `queue_remaining` on the wire."""
        return len(self._pending) + len(self._running)

    @property
    def running(self) -> list[Prompt]:
        """The running prompt, if any."""
        return list(self._running)

    @property
    def pending(self) -> list[Prompt]:
        """The heap as it lies: the first is next, the rest is in no promised order."""
        return list(self._pending)

    def put(
        self,
        number: float,
        prompt_id: str,
        graph: dict[str, Any],
        extra_data: dict[str, Any],
        outputs: list[str],
    ) -> None:
        """Queue a prompt."""
        self._arrivals += 1
        heapq.heappush(self._pending, Prompt(number, prompt_id, self._arrivals, graph, extra_data, outputs))
        self._more.set()
        self._changed()

    async def get(self) -> Prompt:
        """Wait for the next prompt and count it as running."""
        while not self._pending:
            self._more.clear()
            await self._more.wait()
        prompt = heapq.heappop(self._pending)
        self._running.append(prompt)
        self._changed()
        return prompt

    def done(self, prompt: Prompt, result: PromptResult) -> None:
        """Write history (beyond the cap the oldest entry leaves) and count the prompt as running no more."""
        self._running.remove(prompt)
        if len(self.history) > HISTORY_ENTRIES_MAX:
            self.history.pop(next(iter(self.history)))
        self.history[prompt.prompt_id] = {
            "prompt": prompt.wire(),
            "outputs": dict(result.outputs),
            "status": {
                "status_str": "success" if result.success else "error",
                "completed": result.success,
                "messages": [[event, data] for event, data in result.messages],
            },
            "meta": dict(result.meta),
        }
        self._changed()

    def delete(self, prompt_id: str) -> bool:
        """Remove one pending prompt of this id, if there is one; says whether."""
        for index, prompt in enumerate(self._pending):
            if prompt.prompt_id == prompt_id:
                del self._pending[index]
                heapq.heapify(self._pending)
                self._changed()
                return True
        return False

    def clear(self) -> list[str]:
        """Remove all pending prompts; their ids."""
        removed = [prompt.prompt_id for prompt in self._pending]
        self._pending.clear()
        self._changed()
        return removed

    def forget(self) -> None:
        """Lose everything, as a killed process does; tells nobody."""
        self._pending.clear()
        self._running.clear()
        self.history.clear()

    def history_of(self, prompt_id: str) -> dict[str, Any]:
        """`{prompt_id: entry}`, or `{}` for queued, running and unknown alike."""
        entry = self.history.get(prompt_id)
        return {} if entry is None else {prompt_id: copy.deepcopy(entry)}

    def recent(self, max_items: int | None, offset: int) -> dict[str, Any]:
        """History from `offset` on, at most `max_items`; without an offset the latest ones."""
        items = list(self.history.items())
        if max_items is None:
            return dict(items[max(offset, 0) :])
        start = len(items) - max_items if offset < 0 else offset
        return dict(items[max(start, 0) :][:max_items])
