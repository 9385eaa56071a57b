"""What a graph must be before anything is written of it: something a server can run, and no harm to one."""

from __future__ import annotations

from comfygate.domain.errors import InvalidWorkflow
from comfygate.domain.fit import check_fit
from comfygate.domain.graph import FileReference, Graph, file_references
from comfygate.domain.safety import check_safe
from comfygate.gate.context import Context


def guarded(ctx: Context, graph: Graph, lane: str, *, raw: bool) -> tuple[FileReference, ...]:
    """The files that the graph refers to. `raw`: it is an account's own, so its nodes must be allowed ones.

    Raises InvalidWorkflow (no server fits; a node, path, address or size that is not allowed; too many files)
    and MissingAsset (a reference without an id).
    """
    known, may_be_others = ctx.fleet.abilities_in(lane)
    check_fit(graph, known, may_be_others=may_be_others)
    files = _file_fields(ctx, graph, lane)
    rules = ctx.rules
    allowed = rules.allowed_nodes.with_more(ctx.shelf.now().classes) if raw else None
    check_safe(graph, allowed=allowed, file_inputs=files, limits=rules.safety)
    references = file_references(graph, files)
    if len(references) > rules.limits.inputs_max:
        raise InvalidWorkflow(
            f"workflow takes {len(references)} input files; the limit is {rules.limits.inputs_max}",
            details={"limit": "inputs_max"},
        )
    return references


def _file_fields(ctx: Context, graph: Graph, lane: str) -> dict[str, tuple[str, ...]]:
    """Which inputs take files: by the settings' table, and by what the lane's servers say of their nodes."""
    classes = ctx.fleet.classes_in(lane)
    fields: dict[str, tuple[str, ...]] = {}
    for node in graph.nodes.values():
        known = classes.get(node.class_type)
        named = set(ctx.rules.file_inputs.get(node.class_type, ()))
        fields[node.class_type] = tuple(named | set(known.file_fields if known else ()))
    return fields
