"""What one listener still has to hear of its prompt: bounded, and never at the price of an ending.

A slow listener loses progress and previews first (the newest of each stays), then other frames, oldest first;
`executing null`, the ending and SocketLost are kept.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from comfygate.comfy.frames import (
    Executing,
    ExecutionEnded,
    Preview,
    ProgressState,
    ProgressStep,
    PromptFrame,
    SocketLost,
)

FRAMES_MAX = 256
"""Frames that may wait for one listener. At most one of them is a preview (up to 64 MiB)."""

FeedItem = PromptFrame | SocketLost


class Feed:
    """Frames of one prompt, in order, for one reader."""

    def __init__(self, frames_max: int = FRAMES_MAX) -> None:
        self._frames_max = frames_max
        self._items: deque[FeedItem] = deque()
        self._more = asyncio.Event()
        self.dropped = 0

    def put(self, item: FeedItem) -> None:
        """Add a frame; never waits. A newer preview or progress_state takes the place of one not yet
        heard.
        """
        if isinstance(item, Preview | ProgressState):
            self._remove_first(lambda old: type(old) is type(item))
        if len(self._items) >= self._frames_max and not self._make_room():
            self.dropped += 1
            if not _is_ending(item):
                return
        self._items.append(item)
        self._more.set()

    @property
    def waits(self) -> bool:
        """Whether there is a frame that was not taken."""
        return bool(self._items)

    async def get(self, wait_seconds: float) -> FeedItem | None:
        """The next frame, or None when none came within `wait_seconds`."""
        if not self._items:
            self._more.clear()
            try:
                async with asyncio.timeout(max(wait_seconds, 0.0)):
                    await self._more.wait()
            except TimeoutError:
                if not self._items:
                    return None
        return self._items.popleft()

    def _make_room(self) -> bool:
        for removable in (_is_progress, lambda old: not _is_ending(old)):
            if self._remove_first(removable):
                self.dropped += 1
                return True
        return False

    def _remove_first(self, matches: Callable[[FeedItem], bool]) -> bool:
        for index, old in enumerate(self._items):
            if matches(old):
                del self._items[index]
                return True
        return False


def _is_progress(item: FeedItem) -> bool:
    return isinstance(item, Preview | ProgressState | ProgressStep)


def _is_ending(item: FeedItem) -> bool:
    return isinstance(item, ExecutionEnded | SocketLost) or (
        isinstance(item, Executing) and item.node is None
    )
