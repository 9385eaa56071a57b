"""What a graph must be before anything is written of it: something a server can run, and no harm to one."""

from __future__ import annotations

from comfygate.domain.errors import InvalidWorkflow
from comfygate.domain.fit import check_fit
from comfygate.domain.graph import FileReference, Graph, file_references
from comfygate.domain.safety import Inputs, Trust, check_safety
from comfygate.gate.context import Context


def guarded(ctx: Context, graph: Graph, lane: str, trust: Trust) -> tuple[FileReference, ...]:
    """The files that the graph refers to. What the operator's catalogue uses is allowed to everybody,
    unless the settings refuse it or it is known to be dangerous: that is for orders of that workflow alone.

    Raises NodeNotAllowed, InvalidWorkflow (a path, address, number or structure that is not allowed; no
    server fits; too many files) and MissingAsset (a reference without an id).
    """
    inputs = _inputs_of(ctx, graph, lane)
    of_catalogue = ctx.rules.nodes.opened_by(ctx.shelf.now().classes)
    trust = Trust(trust.classes | of_catalogue, trust.chosen)
    check_safety(graph, ctx.rules.nodes, ctx.rules.limits.bounds, inputs, trust)
    known, may_be_others = ctx.fleet.abilities_in(lane)
    check_fit(graph, known, may_be_others=may_be_others)
    references = file_references(graph, inputs.files)
    if len(references) > ctx.rules.limits.inputs_max:
        raise InvalidWorkflow(
            f"workflow takes {len(references)} input files; the limit is {ctx.rules.limits.inputs_max}",
            details={"limit": "inputs_max"},
        )
    return references


def _inputs_of(ctx: Context, graph: Graph, lane: str) -> Inputs:
    """Which inputs take files or prose: by the settings' table, and by what the lane's servers say."""
    classes = ctx.fleet.classes_in(lane)
    files: dict[str, tuple[str, ...]] = {}
    texts: dict[str, frozenset[str]] = {}
    for name in {node.class_type for node in graph.nodes.values()}:
        known = classes.get(name)
        named = set(ctx.rules.file_inputs.get(name, ()))
        files[name] = tuple(named | set(known.file_fields if known else ()))
        texts[name] = known.text_fields if known else frozenset()
    return Inputs(files, texts)
