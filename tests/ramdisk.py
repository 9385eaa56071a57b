"""A temporary folder in memory for all that the tests write, where the system has one with room.

A commit waits for the disk, and a copy of a PostgreSQL database is hundreds of files: 5 ms and 130 ms of
processor time on a disk, 0.02 ms and 45 ms in memory. What is tested stays the same: files outlive a killed
process there too, and no test cuts the power.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a folder of our own is made below it
FREE_BYTES_MIN: Final = 3 * 1024**3
_PREFIX: Final = "comfygate-tests-"


def move_in() -> Path | None:
    """Make the folder and have this process and those it starts use it; None where TMPDIR says another, or
    where there is no room."""
    if "TMPDIR" in os.environ or not _has_room():
        return None
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=MEMORY))
    folder.chmod(0o711)  # PostgreSQL, which is not root, has its own folder below
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    return folder


def _has_room() -> bool:
    try:
        return os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= FREE_BYTES_MIN
    except OSError:
        return False


def _sweep() -> None:
    """Remove what runs that are over left there: they failed, or were killed."""
    for left in MEMORY.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if pid.isdigit() and left.stat().st_uid == os.geteuid() and not Path("/proc", pid).exists():
                shutil.rmtree(left)
