"""The input, output and temp folders: every name from the wire resolves inside them or is refused.

File naming follows ComfyUI 0.3.64 as recorded: `prefix_00001_.png`, the counter read from the folder itself.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

FolderType = Literal["input", "output", "temp"]
_ANNOTATION = re.compile(r"^(?P<name>.*?)\s*\[(?P<type>input|output|temp)\]$", re.DOTALL)


class OutsideFolderError(Exception):
    """A save prefix that leaves the output folder; message and `exception_type` are ComfyUI's own."""

    exception_type = "Exception"


@dataclass(frozen=True, slots=True)
class SaveSlot:
    """Where the next file of a prefix goes."""

    folder: Path
    name: str
    counter: int
    subfolder: str

    def file_name(self, extension: str, offset: int = 0, batch_index: int = 0) -> str:
        """Name of one file: `%batch_num%` replaced, a five-digit counter, a trailing underscore."""
        name = self.name.replace("%batch_num%", str(batch_index))
        return f"{name}_{self.counter + offset:05}_.{extension}"


@dataclass(frozen=True, slots=True)
class Folders:
    """The three folders below one base folder."""

    base: Path

    @property
    def input(self) -> Path:
        """Uploads and what LoadImage offers."""
        return self.base / "input"

    @property
    def output(self) -> Path:
        """What save nodes write."""
        return self.base / "output"

    @property
    def temp(self) -> Path:
        """What preview nodes write."""
        return self.base / "temp"

    def models(self, folder: str) -> list[str]:
        """Names of the models in one of the folders for them."""
        found = self.base / "models" / folder
        return sorted(path.name for path in found.iterdir() if path.is_file()) if found.is_dir() else []

    def make(self) -> None:
        """Create what is missing."""
        for folder in (self.input, self.output, self.temp):
            folder.mkdir(parents=True, exist_ok=True)

    def of_type(self, name: str) -> Path | None:
        """The folder called `name` on the wire, or None."""
        return {"input": self.input, "output": self.output, "temp": self.temp}.get(name)

    def input_files(self) -> list[Path]:
        """Files directly in the input folder, by name; subfolders are not listed, as ComfyUI does not."""
        return sorted(path for path in self.input.iterdir() if path.is_file())

    def annotated(self, name: str) -> Path | None:
        """The existing file a node's input names (`sub/a.png`, `a.png [output]`), or None.

        ComfyUI itself follows `..` here; the simulator never leaves its own folders.
        """
        found = _ANNOTATION.match(name)
        folder = self.of_type(found["type"]) if found else self.input
        wanted = found["name"] if found else name
        if folder is None or not wanted:
            return None
        path = inside(folder, wanted)
        return path if path is not None and path.is_file() else None

    def save_slot(self, prefix: str, type_: FolderType, width: int, height: int) -> SaveSlot:
        """Next free counter for `prefix`, whose folders are created; raises OutsideFolderError.

        `%width%`, `%height%`, `%year%`, `%month%`, `%day%`, `%hour%`, `%minute%` and `%second%` are replaced.
        """
        root = {"input": self.input, "output": self.output, "temp": self.temp}[type_]
        prefix = _fill_variables(prefix, width, height)
        subfolder = os.path.dirname(os.path.normpath(prefix))  # noqa: PTH120 - text of the wire, not a path yet
        name = os.path.basename(os.path.normpath(prefix))  # noqa: PTH119 - see above
        folder = Path(os.path.normpath(root / subfolder))
        if not folder.is_relative_to(root):
            raise OutsideFolderError(
                "**** ERROR: Saving image outside the output folder is not allowed."
                f"\n full_output_folder: {folder}\n         output_dir: {root}"
                f"\n         commonpath: {os.path.commonpath((root, folder))}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        return SaveSlot(folder, name, _next_counter(folder, name), subfolder)


def inside(root: Path, wanted: str) -> Path | None:
    """`wanted` below `root`, or None if it is absolute, leaves `root` or holds a NUL."""
    if "\0" in wanted:
        return None
    path = Path(os.path.normpath(root / wanted))
    return path if path.is_relative_to(root) else None


def _next_counter(folder: Path, name: str) -> int:
    taken = re.compile(re.escape(name) + r"_(\d+)")
    numbers = [int(found[1]) for entry in folder.iterdir() if (found := taken.match(entry.name))]
    return max(numbers, default=0) + 1


def _fill_variables(prefix: str, width: int, height: int) -> str:
    if "%" not in prefix:
        return prefix
    now = time.localtime()
    values = {
        "width": str(width),
        "height": str(height),
        "year": str(now.tm_year),
        "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}",
        "hour": f"{now.tm_hour:02}",
        "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
    }
    for key, value in values.items():
        prefix = prefix.replace(f"%{key}%", value)
    return prefix
