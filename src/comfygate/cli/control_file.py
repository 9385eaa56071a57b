"""Where a running service is: its address for users, and its control channel for its owner alone.

`control.json` in the data directory, readable by its owner only from its first byte on (on Windows the
folder's own permissions hold). It is there while the service runs; one left by a crash is harmless.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

FILE_NAME: Final = "control.json"
BYTES_MAX: Final = 64 * 1024
_MODE: Final = 0o600


@dataclass(frozen=True, slots=True)
class ControlFile:
    """`port` is the control channel's, on 127.0.0.1; `url` is the API's, as seen from this machine."""

    port: int
    pid: int
    url: str
    token: str = field(repr=False)


def write(folder: Path, found: ControlFile) -> None:
    """Put the file in place in one step. Raises OSError."""
    target = folder / FILE_NAME
    fresh = folder / f".{FILE_NAME}.{found.pid}"
    # One left by a crashed process of the same id must not be written into: it could be anybody's.
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(found), file)
    fresh.replace(target)


def read(folder: Path) -> ControlFile | None:
    """What the file says; None when there is none, or none that can be understood."""
    try:
        with (folder / FILE_NAME).open("rb") as file:
            said = json.loads(file.read(BYTES_MAX))
        return ControlFile(
            port=int(said["port"]), pid=int(said["pid"]), url=str(said["url"]), token=str(said["token"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(folder: Path, token: str) -> None:
    """Take the file away, if it is still the one with this token."""
    found = read(folder)
    if found is not None and found.token == token:
        with contextlib.suppress(FileNotFoundError):
            (folder / FILE_NAME).unlink()
