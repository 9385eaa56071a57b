"""What happens, as a live feed for those who operate: the newest few, in memory, of this process's knowledge.

Noting an event costs an append. Nothing is written out, and nobody is waited for: whoever looks takes what
came since it last looked, and is told when that was too long ago to have all of it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

FEED_MAX: Final = 500
"""Events that are kept."""

Event = tuple[int, int, str, dict[str, Any]]
"""Its number, when (ms since 1970), its kind, and what there is to say."""


@dataclass(slots=True)
class Feed:
    """Numbers go up by one, from 1, for as long as the process lives."""

    events: deque[Event] = field(default_factory=lambda: deque(maxlen=FEED_MAX))
    last: int = 0

    def note(self, at_ms: int, kind: str, **said: Any) -> None:
        """Something happened."""
        self.last += 1
        self.events.append((self.last, at_ms, kind, said))

    def after(self, number: int, most: int = FEED_MAX) -> tuple[list[Event], int]:
        """The newest events, at most `most`, with a number above the given one, oldest first; and how many
        of those in between are left out or forgotten."""
        new = min(self.last - number, len(self.events), most)
        if new <= 0:
            return [], 0
        found = list(islice(self.events, len(self.events) - new, None))
        return found, self.last - number - new


def event_json(event: Event) -> dict[str, Any]:
    """An event as the pages read it."""
    number, at_ms, kind, said = event
    return {"id": number, "at_ms": at_ms, "kind": kind, **said}
