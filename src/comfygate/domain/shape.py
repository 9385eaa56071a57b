"""The shape of a job: the numbers in its graph that decide how long it runs. Pure.

`workflow_digest` says what a graph is, whatever its values; the shape is those values that make the same
workflow a short or a long job: pixels, steps, frames, pictures at once. Seeds and texts are not among them.
"""

from __future__ import annotations

import hashlib
import re

from comfygate.domain.graph import Graph, sorted_json

_COUNTS = re.compile(
    r"(?:^|_)(?:width|height|length|steps?|frames?|size|megapixels?|resolution|amount|count|repeats?|times"
    r"|iterations|loops|multiplier|duration|seconds|longer_edge|longest_side|max_dimension)(?:$|_)"
)
"""Names of inputs, or whole words in them, whose number costs time: `video_frames`, `tile_width`."""
_FACTORS = frozenset({"scale_by", "upscale_by", "upscale_factor", "scale", "scale_factor", "rescale_factor"})
_SAMPLERS = frozenset({"sampler_name", "sampler"})
"""Some samplers evaluate the model twice a step, so their names count, the only texts that do."""
_NOT_COUNTS = frozenset({"fps", "frame_rate"})


def shape_digest(graph: Graph) -> str:
    """16 hex digits over what decides the run time of one workflow; the same digits, about the same time.

    Of `cfg` it counts only whether it is 1: ComfyUI then leaves the second half of each step out.
    """
    shape: dict[str, dict[str, int | float | str]] = {}
    for node in graph.nodes.values():
        sizes = {name: _size(name, value) for name, value in node.inputs.items()}
        shape[node.id] = {name: size for name, size in sizes.items() if size is not None}
    return hashlib.sha256(sorted_json(shape).encode()).hexdigest()[:16]


def _size(name: str, value: object) -> int | float | str | None:
    """What the input adds to the shape; None: nothing."""
    if name in _SAMPLERS:
        return value if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if name == "cfg":
        return "one" if value == 1 else "guided"
    if name in _NOT_COUNTS or not (name in _FACTORS or _COUNTS.search(name)):
        return None
    # 20 and 20.0 are the same number of steps.
    return int(value) if isinstance(value, float) and value.is_integer() else value
