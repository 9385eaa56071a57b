"""What the loop of one server drives: prompts that hold a slot there, and those that have left it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import Enum

from comfygate.domain.job import Fence, Outcome
from comfygate.store.rows import ClaimedAttempt

BEHIND_MAX = 8
"""Attempts of one server whose outputs are still being fetched or judged: with so many nothing more is begun,
or a slow storage would pile up results without end."""


class Stands(Enum):
    """How a prompt stands with its server, as far as that was seen."""

    SENT = "sent"
    RUNS = "runs"
    ENDED = "ended"


Task = asyncio.Task[Outcome | None]


@dataclass(slots=True)
class Driving:
    """Attempts by their prompt_id. One that has left the server holds no slot and is not over yet."""

    tasks: dict[str, Task] = field(default_factory=dict)
    _attempts: dict[str, ClaimedAttempt] = field(default_factory=dict)
    _off: set[str] = field(default_factory=set)
    _unwritten: set[str] = field(default_factory=set)
    _stands: dict[str, Stands] = field(default_factory=dict)

    def begin(self, attempt: ClaimedAttempt, task: Task) -> None:
        """`task` drives `attempt` from now on."""
        self.tasks[attempt.prompt_id] = task
        self._attempts[attempt.prompt_id] = attempt
        if attempt.left:
            self.leave(attempt)

    def leave(self, attempt: ClaimedAttempt) -> bool:
        """The attempt's prompt is no longer on the server. False if that was known or the attempt is over."""
        prompt_id = attempt.prompt_id
        if prompt_id in self._off or prompt_id not in self._attempts:
            return False
        self._off.add(prompt_id)
        self._unwritten.add(prompt_id)
        return True

    def end(self, attempt: ClaimedAttempt, task: Task, *, over: bool) -> None:
        """`task` has ended; unless the attempt is `over` too, it is left for whoever drives it next."""
        prompt_id = attempt.prompt_id
        if self.tasks.get(prompt_id) is not task:
            return
        del self.tasks[prompt_id]
        self._stands.pop(prompt_id, None)
        if over:
            del self._attempts[prompt_id]
            self._off.discard(prompt_id)
            self._unwritten.discard(prompt_id)

    def stand(self, attempt: ClaimedAttempt, how: Stands) -> None:
        """The attempt's prompt was seen to stand so."""
        if attempt.prompt_id in self.tasks:
            self._stands[attempt.prompt_id] = how

    @property
    def in_full_swing(self) -> bool:
        """Whether all prompts that hold a slot are surely on the server, and one of them runs."""
        stand = [self._stands.get(prompt) for prompt in self.tasks if prompt not in self._off]
        return Stands.RUNS in stand and set(stand) <= {Stands.SENT, Stands.RUNS}

    def claimed(self, attempt: ClaimedAttempt) -> None:
        """What was made ready ahead is written down as an attempt now."""
        if attempt.prompt_id in self._attempts:
            self._attempts[attempt.prompt_id] = replace(self._attempts[attempt.prompt_id], ready=False)

    @property
    def unclaimed(self) -> bool:
        """Whether there is one that was sent and is not claimed yet."""
        return any(attempt.ready for attempt in self._attempts.values())

    @property
    def held(self) -> set[int]:
        """Numbers of the slots that a prompt is in."""
        return {self._attempts[prompt].slot for prompt in self.tasks if prompt not in self._off}

    @property
    def behind(self) -> int:
        """How many have left the server and are not over."""
        return len(self._off)

    @property
    def left(self) -> Collection[Fence]:
        """Those of which the database may not know yet that they left."""
        return {self._attempts[prompt].fence for prompt in self._unwritten}

    def written(self, fences: Collection[Fence]) -> None:
        """The database knows now that these left."""
        self._unwritten -= {p for p in self._unwritten if self._attempts[p].fence in fences}

    @property
    def all(self) -> Collection[ClaimedAttempt]:
        """Every attempt that is driven here, or was when its task was cancelled."""
        return list(self._attempts.values())

    @property
    def prompts(self) -> list[str]:
        """Every prompt that is driven here, or was when its task was cancelled."""
        return list(self._attempts)

    def left_open(self) -> list[ClaimedAttempt]:
        """What a loop in place of this one must adopt."""
        return [
            replace(attempt, adopted=True, left=prompt in self._off)
            for prompt, attempt in self._attempts.items()
            # One that is not claimed is found again by its row among those made ready.
            if not attempt.ready
        ]
