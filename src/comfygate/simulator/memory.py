"""The card's memory: one model at a time, and the time it takes to bring another one in."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(slots=True)
class ModelMemory:
    """Which model is loaded. `loads` lists every load, in order; what was loaded already is no load."""

    load_seconds: float = 0.0
    loaded: str | None = None
    loads: list[str] = field(default_factory=list)
    _gone: threading.Event = field(default_factory=threading.Event)

    def load(self, name: str) -> None:
        """Bring a model in, from a node's thread; takes `load_seconds` unless it is there."""
        if self.loaded == name:
            return
        self._gone.wait(self.load_seconds)
        self.loaded = name
        self.loads.append(name)

    def free(self) -> None:
        """Nothing is loaded any more."""
        self.loaded = None
