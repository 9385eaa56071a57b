"""The one place that names concrete parts and wires them.

`open` runs a gate inside a program, `opened` gives use cases without loops, `started` runs the loops, and
`main` is the command line.
"""

from typing import TYPE_CHECKING, Any

from comfygate.app.main import main

if TYPE_CHECKING:
    from comfygate.app.wiring import connector, open, opened, rules_of, signing_secret, started

__all__ = ["connector", "main", "open", "opened", "rules_of", "signing_secret", "started"]


def __getattr__(name: str) -> Any:
    # Loaded on first use: a command that only asks a running service needs no database and no web framework.
    if name in __all__:
        from comfygate.app import wiring  # noqa: PLC0415

        return getattr(wiring, name)
    raise AttributeError(f"module 'comfygate.app' has no attribute {name!r}")
