"""Reading what nodes gave: every file and every text found, everything else named, nothing silently dropped.

The key does not tell the kind: SaveVideo's mp4, SaveWEBM's webm and SaveAnimatedWEBP's webp all stand under
`images` beside `animated: [true]` (seen on ComfyUI 0.3.64); other nodes use `gifs`, `audio`, `3d`, `text`
and any name they like. So every list is read for what is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from comfygate.comfy.wire import FileRef, Output, TextOutput

NESTING_MAX = 3
"""Deepest list within a list that is still looked into."""


def parse_outputs(outputs: Mapping[str, Any]) -> tuple[dict[str, tuple[Output, ...]], tuple[str, ...]]:
    """Outputs by node, and `node.key` of every entry that holds something which is neither file nor text."""
    found: dict[str, tuple[Output, ...]] = {}
    unread: list[str] = []
    for node_id, output in outputs.items():
        items, strange = parse_node_output(output)
        unread.extend(f"{node_id}.{key}" if key else node_id for key in strange)
        if items:
            found[node_id] = items
    return found, tuple(unread)


def parse_node_output(output: Any) -> tuple[tuple[Output, ...], tuple[str, ...]]:
    """One node's outputs in order, without repetition of the same file, and the keys not understood.

    A node output that is no object at all is reported under the empty key.
    """
    if output is None:
        return (), ()
    if not isinstance(output, dict):
        return (), ("",)
    items: list[Output] = []
    seen: set[FileRef] = set()
    unread: list[str] = []
    for key, value in output.items():
        for item in _items(value, depth=0):
            if item is None:
                unread.append(key)
            elif item not in seen:
                items.append(item)
                if isinstance(item, FileRef):
                    seen.add(item)
    return tuple(items), tuple(dict.fromkeys(unread))


def _items(value: Any, depth: int) -> Iterator[Output | None]:
    """What is in one entry; None for each thing not understood. Flags (`animated`) and nulls hold no
    output.
    """
    match value:
        case None | bool():
            return
        case str():
            yield TextOutput(value)
        case {"filename": str()}:
            yield _file(value)
        case list() if depth < NESTING_MAX:
            for part in value:
                yield from _items(part, depth + 1)
        case _:
            yield None


def _file(entry: Mapping[str, Any]) -> FileRef | None:
    filename = entry["filename"]
    subfolder = entry.get("subfolder") or ""
    kind = entry.get("type") or "output"
    if not filename or not isinstance(subfolder, str) or not isinstance(kind, str):
        return None
    return FileRef(filename=filename, subfolder=subfolder, type=kind)
