"""Small files written whole, in one go of one thread: where a stream crosses threads seven times, these cross
once."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import BinaryIO


def write_small(root: Path, staged: str, path: str, content: bytes) -> None:
    """Force `content` to the disk as `staged`, then let it appear as `path`, both below `root`; never partly.

    Raises OSError, FileExistsError where there is something at `path`; then nothing is left.
    """
    first, last = root / staged, root / path
    try:
        with _opened(first) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        made = not last.parent.exists()
        if made:
            last.parent.mkdir(parents=True, exist_ok=True)
        # Unlike a rename, a link replaces nothing.
        os.link(first, last)
    finally:
        with contextlib.suppress(FileNotFoundError):
            first.unlink()
    force_folder_to_disk(last.parent)
    if made:
        force_folder_to_disk(root)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("xb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")


def force_folder_to_disk(folder: Path) -> None:
    """Make a rename last through a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
