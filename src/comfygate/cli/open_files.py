"""How many files a gateway may have open at once: every server, every caller and every stream is some."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from comfygate.cli.findings import Finding

FILES_A_SERVER: Final = 3
"""Its socket, and the requests to it that are under way at once."""
FILES_OF_ITS_OWN: Final = 128
"""Of the process: database, listening sockets, pictures that are written, its worker."""
CLIENTS_MIN: Final = 1_000
"""Fewer callers and streams at once than that are too few for a service that others use."""
ADVICE: Final = (
    "raise the hard limit: LimitNOFILE= in systemd, ulimit -Hn in a shell, --ulimit nofile in Docker"
)


def raise_limit() -> int | None:
    """Let this process open as many files as its hard limit says. Returns the limit then; None where the
    system has none (Windows)."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems take no more than a limit of their own, whatever the hard one says.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _counted(soft)


def check(servers: int, pid: int | None, limit: Callable[[int | None], int | None] | None = None) -> Finding:
    """Whether so many servers, and callers besides, fit under the limit of the running service (`pid`), or of
    one that would be started here."""
    most = (limit or limit_of)(pid)
    if most is None:
        return Finding("ok", "open files", "this system has no limit on them")
    left = most - servers * FILES_A_SERVER - FILES_OF_ITS_OWN
    says = f"at most {most:,}: room for {servers:,} servers and {max(left, 0):,} callers and streams at once"
    if left <= 0:
        return Finding("fault", "open files", f"at most {most:,}, too few for {servers:,} servers", ADVICE)
    if left < CLIENTS_MIN:
        return Finding("warn", "open files", says, ADVICE)
    return Finding("ok", "open files", says)


def limit_of(pid: int | None) -> int | None:
    """The limit that holds for the process, or would for one that `serve` starts here; None without one."""
    if pid is not None:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/limits").read_text(encoding="ascii").splitlines():
                if line.startswith("Max open files"):
                    soft = line.split()[3]
                    return None if soft == "unlimited" else int(soft)
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - not on Windows

    return _counted(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _counted(limit: Any) -> int | None:
    import resource  # noqa: PLC0415 - not on Windows

    return None if limit == resource.RLIM_INFINITY else int(limit)
