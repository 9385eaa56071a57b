"""Workflows of the catalogue as people and programs read them: JSON-ready, for every face."""

from __future__ import annotations

from typing import Any

from comfygate.domain.formula import Formula
from comfygate.domain.workflow import Workflow
from comfygate.gate.context import Context
from comfygate.gate.ordering import Quote, listed_for, styles_for

Json = dict[str, Any]


def price_json(price: Formula) -> Json:
    """`credits` of a fixed price, else null; `formula` of one that depends on parameters, else null."""
    fixed = not price.names
    return {"credits": price.price({}) if fixed else None, "formula": None if fixed else price.text}


def workflow_json(workflow: Workflow, tier: str | None = None) -> Json:
    """A workflow with all that may be chosen; only the styles of `tier` if one is given."""
    styles = list(workflow.styles) if tier is None else styles_for(workflow, tier)
    return {
        "name": workflow.name,
        "title": workflow.title.to_json(),
        "description": workflow.description.to_json(),
        "lane": workflow.lane,
        "price": price_json(workflow.price),
        "styles": [
            {
                "name": style.name,
                "title": style.title.to_json(),
                "price": price_json(style.price),
                "parameters": dict(style.values),
            }
            for style in workflow.styles.values()
            if style.name in styles
        ],
        "inputs": [
            {
                "name": one.name,
                "title": one.title.to_json(),
                "kind": one.kind.value,
                "required": one.same_as is None,
                "bytes_max": one.bytes_max,
                "pixels_max": one.pixels_max,
            }
            for one in workflow.inputs.values()
        ],
        "parameters": [
            {
                "name": one.name,
                "title": one.title.to_json(),
                "type": one.kind.value,
                "default": one.default,
                "min": one.low,
                "max": one.high,
                "step": one.step,
                "choices": list(one.choices) or None,
                "chars_max": one.chars_max if one.kind.value == "text" else None,
            }
            for one in workflow.parameters.values()
        ],
        "tiers": sorted(workflow.tiers),
        "examples": [style for style in workflow.examples if style == "" or style in styles],
    }


def quote_json(quote: Quote) -> Json:
    """What an order would cost."""
    return {
        "workflow": quote.workflow.name,
        "style": quote.ordered.style or None,
        "parameters": dict(quote.ordered.values),
        "lane": quote.workflow.lane,
        "price": quote.charge.price,
        "discount": quote.charge.discount,
        "charged": quote.charge.charged,
        "free": quote.charge.free,
        "available": quote.account.balance.available,
        "enough": quote.enough,
    }


def list_json(ctx: Context, tier: str) -> list[Json]:
    """What accounts of a tier may order."""
    return [workflow_json(workflow, tier) for workflow in listed_for(ctx, tier)]


async def workflows_list(ctx: Context) -> Json:
    """The operator's list: every workflow served, and every one that is refused with its faults."""
    catalogue = ctx.shelf.now()
    return {
        "folder": str(ctx.shelf.folder),
        "workflows": [workflow_json(workflow) for workflow in catalogue.workflows.values()],
        "refused": [
            {
                "name": name,
                "served": name in catalogue.workflows,
                "faults": [fault.to_json() for fault in faults],
            }
            for name, faults in catalogue.faults.items()
        ],
    }


async def workflows_show(ctx: Context, name: str) -> Json:
    """One workflow with its graph. Raises NotFound."""
    workflow = ctx.shelf.now().named(name)
    owners = {name: one.targets for name, one in workflow.parameters.items()}
    owners |= {name: one.targets for name, one in workflow.inputs.items()}
    sets = {name: [f"{node}.{field}" for node, field in targets] for name, targets in owners.items()}
    return {
        **workflow_json(workflow),
        "sets": sets,
        "deliver": list(workflow.deliver),
        "graph": dict(workflow.graph),
    }
