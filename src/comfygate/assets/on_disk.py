"""Files of blobs, written and made to last by plain calls: for a thread."""

from __future__ import annotations

import os
from pathlib import Path

from comfygate.assets.seen import Kept, Piece, Zeros


def write_whole(staged: Path, path: Path, content: bytes, *, lasting: bool) -> None:
    """Write `content` under the staging name and give it its own, which nothing has yet; `lasting`: it is on
    the disk then. Leaves nothing behind where that fails. Raises OSError."""
    staged.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        force_folder_to_disk(path.parent.parent)
    try:
        with staged.open("xb") as file:
            file.write(content)
            if lasting:
                file.flush()
                os.fsync(file.fileno())
        staged.rename(path)
        if lasting:
            force_folder_to_disk(path.parent)
    except BaseException:
        for left in (staged, path):
            left.unlink(missing_ok=True)
        raise


def planned(path: Path, pieces: list[Piece]) -> bytes:
    """What is left of a small file by a plan. Raises OSError."""
    return left_of(path.read_bytes(), pieces)


def left_of(whole: bytes, pieces: list[Piece]) -> bytes:
    """What is left of these bytes by a plan."""
    made = bytearray()
    for piece in pieces:
        match piece:
            case Kept(start, end):
                made += whole[start:end]
            case Zeros(count):
                made += bytes(count)
            case bytes():
                made += piece
    return bytes(made)


def force_to_disk(path: Path) -> None:
    """Make the bytes last through a power cut. Raises OSError."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def force_folder_to_disk(folder: Path) -> None:
    """Make a rename last through a power cut; Windows has no such call and needs none. Raises OSError."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
