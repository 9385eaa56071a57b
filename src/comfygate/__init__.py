"""comfygate: one Comfy API v2 endpoint in front of any number of ComfyUI servers.

`comfygate.open(settings)` runs a gate inside a Python program; everything else is reached over HTTP or by the
command `comfygate`.
"""

from typing import TYPE_CHECKING, Any

from comfygate.version import VERSION

if TYPE_CHECKING:
    from comfygate.app import open as open

__all__ = ["VERSION", "open"]
__version__ = VERSION


def __getattr__(name: str) -> Any:
    # Loaded on first use: the parts of the package must not pull in the whole of it.
    if name == "open":
        from comfygate.app import open as opened  # noqa: PLC0415

        return opened
    raise AttributeError(f"module 'comfygate' has no attribute {name!r}")
