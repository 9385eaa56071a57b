"""Writing results: never over a file that is there, never outside the folder, by names any system takes."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

NAME_CHARS_MAX: Final = 200
_RESERVED: Final = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def safe_name(name: str) -> str:
    """The last part of a name from elsewhere, without what Windows or a shell would stumble over."""
    last = PurePosixPath(name.replace("\\", "/")).name
    plain = "".join("_" if c in '<>:"|?*' or not c.isprintable() else c for c in last).strip(" .")
    if _RESERVED.fullmatch(plain):
        plain = f"_{plain}"
    return plain[-NAME_CHARS_MAX:] or "output"


def fresh_file(folder: Path, name: str) -> tuple[Path, BinaryIO]:
    """A new file of this name, or with ` (1)`, ` (2)` before its ending if taken. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder / safe_name(name)
    number = 0
    while True:
        path = wanted if not number else wanted.with_name(f"{wanted.stem} ({number}){wanted.suffix}")
        try:
            return path, path.open("xb")
        except FileExistsError:
            number += 1
