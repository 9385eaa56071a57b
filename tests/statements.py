"""What SQLAlchemy compiles is kept for all engines of a test process.

Each engine keeps its own, and a test opens several: it would compile every statement anew, a third of the
processor time of a test with a gateway. All engines of one kind are made with the same arguments, so a text
is the same for each.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine


class _Kept(dict[Any, Any]):
    """Compiled statements by SQLAlchemy's key but for its first part, which is the engine's own dialect."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(key[1:], compiled)


def keep_compiled() -> None:
    """From now on, in this process."""
    kept = {"sqlite": _Kept(), "postgresql": _Kept()}

    @event.listens_for(Engine, "engine_connect")
    def _share(connection: Connection) -> None:
        connection.execution_options(compiled_cache=kept[connection.dialect.name])
