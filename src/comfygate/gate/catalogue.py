"""The catalogue: every folder of the workflows directory, loaded and checked at start and when it changes.

A workflow that cannot be used is refused by file, key and reason and the others stay; one that was good when
it was loaded goes on being served as it was until its files are good again.
"""

from __future__ import annotations

import asyncio
import json
import os
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import structlog

from comfygate.domain.errors import GateError, NotFound
from comfygate.domain.graph import Graph, parse_graph
from comfygate.domain.names import nearest
from comfygate.domain.workflow import Workflow
from comfygate.gate.manifest import House, read_manifest
from comfygate.gate.manifest_shape import Fault, ManifestRefused, read_shape, sentence_of

MANIFEST: Final = "workflow.toml"
FILE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Largest manifest or graph that is read."""
EXAMPLE_KINDS: Final = {".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg"}
EXAMPLE_BYTES_MAX: Final = 2 * 1024 * 1024
"""Largest example picture that is served."""
WORKFLOWS_MAX: Final = 10_000
NAME_CHARS_MAX: Final = 64
LOOK_SECONDS: Final = 2.0
"""Between two looks whether something changed. By looking, so that it works on any file system."""

log = structlog.get_logger(__name__)
Stamp = tuple[tuple[str, int, int], ...]


class Unusable(Exception):
    """A workflow's folder cannot be used; `faults` say why. `code` is that of the refused graph, if it is."""

    def __init__(self, faults: list[Fault], code: str = "invalid_workflow") -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults
        self.code = code


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What was loaded, by name, and what was refused, by the name of its folder."""

    workflows: Mapping[str, Workflow] = field(default_factory=dict)
    faults: Mapping[str, tuple[Fault, ...]] = field(default_factory=dict)

    @property
    def classes(self) -> frozenset[str]:
        """The node classes of all its graphs."""
        return frozenset[str]().union(*(one.classes for one in self.workflows.values()))

    def named(self, name: str) -> Workflow:
        """The workflow. Raises NotFound, with the nearest name there is."""
        found = self.workflows.get(name)
        if found is None:
            near = nearest(name[:NAME_CHARS_MAX], self.workflows)
            hint = f"; did you mean {near!r}?" if near else ""
            raise NotFound(f"no workflow is called {name[:NAME_CHARS_MAX]!r}{hint}")
        return found

    def without(self, name: str) -> Catalogue:
        """The same without one workflow: for those who may not know of it."""
        return Catalogue({key: one for key, one in self.workflows.items() if key != name})


class Shelf:
    """The catalogue of one directory, kept true by `keep`. A missing directory is an empty catalogue."""

    def __init__(self, folder: Path, house: House, *, nodes_max: int) -> None:
        self._folder, self._house, self._nodes_max = folder, house, nodes_max
        self._stamps: dict[str, Stamp] = {}
        self._catalogue: Catalogue | None = None

    @property
    def folder(self) -> Path:
        return self._folder

    def now(self) -> Catalogue:
        """The catalogue as last loaded; loads it if that was never done."""
        return self._catalogue or self.look()

    def look(self) -> Catalogue:
        """Load what changed since the last look. Reads files: not for the event loop once it serves."""
        before = self._catalogue or Catalogue()
        workflows: dict[str, Workflow] = {}
        faults: dict[str, tuple[Fault, ...]] = {}
        stamps: dict[str, Stamp] = {}
        for path in self._folders():
            name = path.name
            stamps[name] = _stamp(path)
            if self._stamps.get(name) == stamps[name]:
                if name in before.workflows:
                    workflows[name] = before.workflows[name]
                if name in before.faults:
                    faults[name] = before.faults[name]
                continue
            try:
                workflows[name] = load(path, self._house, nodes_max=self._nodes_max)
                log.info("workflow.loaded", workflow=name)
            except Unusable as refusal:
                faults[name] = tuple(refusal.faults)
                kept = name in before.workflows
                if kept:
                    workflows[name] = before.workflows[name]
                log.error(
                    "workflow.refused", workflow=name, kept=kept, faults=[str(f) for f in refusal.faults]
                )
        for name in before.workflows.keys() - workflows.keys():
            log.info("workflow.gone", workflow=name)
        self._stamps = stamps
        self._catalogue = Catalogue(workflows, faults)
        return self._catalogue

    async def keep(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_SECONDS)

    def _folders(self) -> Iterator[Path]:
        if not self._folder.is_dir():
            return
        found = sorted(path for path in self._folder.iterdir() if path.is_dir() and path.name[0] not in "._")
        yield from found[:WORKFLOWS_MAX]


def no_workflows() -> Shelf:
    """A catalogue without a directory, for gates that only run graphs."""
    return Shelf(Path(os.devnull), House(frozenset(), frozenset()), nodes_max=1)


def _stamp(folder: Path) -> Stamp:
    """What tells a changed folder: its files' names, times and sizes."""
    found = []
    for path in sorted(folder.glob("*")):
        try:
            stat = path.stat()
        except OSError:
            continue
        found.append((path.name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def load(folder: Path, house: House, *, nodes_max: int) -> Workflow:
    """One workflow from its folder. Raises Unusable."""
    manifest = folder / MANIFEST
    name = folder.name
    if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum() and name == name.lower()):
        raise Unusable([Fault(str(folder), "", "a workflow's folder is named with a-z, 0-9, - and _ alone")])
    try:
        shape = read_shape(_toml(manifest))
        path = folder / shape.graph
        graph = load_graph(path, nodes_max=nodes_max)
        workflow = read_manifest(name, shape, graph, house)
        return replace(workflow, examples=_examples(folder, workflow.styles))
    except ManifestRefused as refusal:
        raise Unusable([Fault(str(manifest), key, reason) for key, reason in refusal.found]) from None


def _examples(folder: Path, styles: Collection[str]) -> dict[str, str]:
    """The example pictures in a workflow's folder: `example.webp` (or png, jpg), `example.STYLE.webp`."""
    found: dict[str, str] = {}
    for style in ("", *styles):
        stem = f"example.{style}" if style else "example"
        for ending in EXAMPLE_KINDS:
            if (folder / f"{stem}{ending}").is_file():
                found.setdefault(style, f"{stem}{ending}")
    return found


def read_example(folder: Path, workflow: Workflow, style: str) -> tuple[bytes, str]:
    """An example picture and its content type. Reads a file: not for the event loop. Raises NotFound."""
    name = workflow.examples.get(style)
    shown = f" in style {style[:NAME_CHARS_MAX]!r}" if style else ""
    missing = NotFound(f"workflow {workflow.name} has no example{shown}")
    if name is None:
        raise missing
    path = folder / workflow.name / name
    try:
        if path.stat().st_size > EXAMPLE_BYTES_MAX:
            raise missing
        return path.read_bytes(), EXAMPLE_KINDS[path.suffix]
    except OSError:
        raise missing from None


def load_graph(path: Path, *, nodes_max: int, unwrap: bool = False) -> Graph:
    """The graph in a file; with `unwrap` also one that stands as `prompt` in the body of a request.

    Raises Unusable, with how to export the right format where it is the editor's.
    """
    try:
        raw: Any = json.loads(_text(path))
        if unwrap and isinstance(raw, dict) and isinstance(raw.get("prompt"), dict):
            raw = raw["prompt"]
        return parse_graph(raw, nodes_max=nodes_max)
    except GateError as error:
        raise Unusable([Fault(str(path), "", sentence_of(error))], error.code) from None
    except (ValueError, RecursionError) as error:
        raise Unusable([Fault(str(path), "", f"is not JSON: {error}")]) from None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Unusable([Fault(str(path), "", f"is not TOML: {error}")]) from None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise Unusable([Fault(str(path), "", f"has more than {FILE_BYTES_MAX} bytes")])
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise Unusable(
            [Fault(str(path), "", "is not there; 'comfygate workflows import' drafts one")]
        ) from None
    except OSError as error:
        raise Unusable([Fault(str(path), "", f"cannot be read ({error.strerror or error})")]) from None
    except UnicodeDecodeError:
        raise Unusable([Fault(str(path), "", "is not UTF-8 text; save it as UTF-8")]) from None
