"""An order in the making: what is still open of it, and what a typed value means. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Final

from comfygate.domain.errors import InvalidRequest
from comfygate.domain.workflow import FileKind, Kind, Order, Parameter, Value, Workflow
from comfygate.store.telegram_orders import Draft

LOOSE: Final = ""
"""The input under which files stand that came before a workflow was chosen."""
TYPED_CHARS_MAX: Final = 4096
_YES: Final = frozenset({"yes", "y", "true", "on", "1", "是", "好"})
_NO: Final = frozenset({"no", "n", "false", "off", "0", "否", "不"})


class Open(Enum):
    """What a draft needs next."""

    WORKFLOW = "workflow"
    STYLE = "style"
    FILE = "file"
    VALUE = "value"
    NOTHING = "nothing"


def next_open(draft: Draft, workflow: Workflow | None) -> tuple[Open, str]:
    """What is needed next, and of which input or parameter."""
    if workflow is None:
        return Open.WORKFLOW, ""
    if workflow.styles and draft.style not in workflow.styles:
        return Open.STYLE, ""
    for one in workflow.inputs.values():
        if one.same_as is None and not draft.files.get(one.name):
            return Open.FILE, one.name
    if draft.asked in workflow.parameters:
        return Open.VALUE, draft.asked
    for parameter in workflow.parameters.values():
        if must_be_given(draft, workflow, parameter):
            return Open.VALUE, parameter.name
    return Open.NOTHING, ""


def must_be_given(draft: Draft, workflow: Workflow, parameter: Parameter) -> bool:
    """Whether nothing says what the parameter is to be."""
    style = workflow.styles.get(draft.style)
    given = draft.chosen.get(parameter.name)
    if given is None and style is not None:
        given = style.values.get(parameter.name)
    return given is None and parameter.default is None and parameter.kind is not Kind.SEED


def with_workflow(draft: Draft, workflow: Workflow) -> Draft:
    """The workflow was chosen; files that came before go where they fit."""
    chosen = replace(draft, workflow=workflow.name, style="", chosen={}, files={}, asked="")
    return with_files(chosen, workflow, list(draft.files.get(LOOSE, ())), FileKind.IMAGE)


def with_files(draft: Draft, workflow: Workflow | None, ids: Sequence[str], kind: FileKind) -> Draft:
    """Files came. With one input of their kind each is an order of its own; with several they fill these in
    turn; what there was before gives way once all inputs are filled."""
    if workflow is None:
        return replace(draft, files={**draft.files, LOOSE: [*draft.files.get(LOOSE, ()), *ids]})
    fitting = [one.name for one in workflow.inputs.values() if one.kind is kind and one.same_as is None]
    if not fitting or not ids:
        return draft
    if len(fitting) == 1:
        return replace(draft, files={**draft.files, fitting[0]: list(ids)})
    files = dict(draft.files)
    if all(files.get(name) for name in fitting):
        files = {name: found for name, found in files.items() if name not in fitting}
    empty = [name for name in fitting if not files.get(name)]
    files.update({name: [one] for name, one in zip(empty, ids, strict=False)})
    return replace(draft, files=files)


def takes(workflow: Workflow, kind: FileKind) -> bool:
    """Whether the workflow has an input of this kind."""
    return any(one.kind is kind for one in workflow.inputs.values())


def orders_of(draft: Draft, workflow: Workflow) -> list[Order]:
    """The jobs that the draft asks for: one for each file of its one input, else one."""
    style = draft.style or None
    base = {name: ids[0] for name, ids in draft.files.items() if ids and name in workflow.inputs}
    many = next((name for name, ids in draft.files.items() if len(ids) > 1 and name in workflow.inputs), None)
    if many is None:
        return [Order(style, dict(draft.chosen), base)]
    return [Order(style, dict(draft.chosen), {**base, many: one}) for one in draft.files[many]]


def without_first(draft: Draft, workflow: Workflow, count: int) -> Draft:
    """The draft without the first `count` of its orders."""
    files = {
        name: list(ids)[count:] if len(ids) > 1 and name in workflow.inputs else list(ids)
        for name, ids in draft.files.items()
    }
    return replace(draft, files=files)


def typed(parameter: Parameter, text: str) -> Value:
    """What was written, as a value of the parameter. Raises InvalidRequest that names it and its limits."""
    field = f"parameters.{parameter.name}"
    if len(text) > TYPED_CHARS_MAX:
        raise InvalidRequest(
            f"{field} has {len(text)} characters; the most is {TYPED_CHARS_MAX}", details={"field": field}
        )
    word = text.strip()
    value: Value = word
    match parameter.kind:
        case Kind.INT | Kind.SEED:
            value = _number(word, whole=True, otherwise=word)
        case Kind.FLOAT:
            value = _number(word.replace(",", "."), whole=False, otherwise=word)
        case Kind.BOOL:
            value = word.lower() in _YES if word.lower() in _YES | _NO else word
        case Kind.CHOICE:
            value = next((one for one in parameter.choices if str(one).lower() == word.lower()), word)
        case Kind.TEXT:
            value = text.strip()
    return parameter.checked(value)


def _number(word: str, *, whole: bool, otherwise: str) -> Value:
    if not word.isascii() or len(word) > 30:
        return otherwise
    try:
        return int(word) if whole else float(word)
    except ValueError:
        return otherwise


def text_parameter(workflow: Workflow) -> Parameter | None:
    """The one parameter that takes a text, where there is just one: what is written goes there."""
    found = [one for one in workflow.parameters.values() if one.kind is Kind.TEXT]
    return found[0] if len(found) == 1 else None


def value_now(draft: Draft, workflow: Workflow, parameter: Parameter) -> Value | None:
    """What the parameter is as things stand; None: random, or not given yet."""
    style = workflow.styles.get(draft.style)
    values: Mapping[str, Value] = style.values if style is not None else {}
    found: Value | None = draft.chosen.get(parameter.name, values.get(parameter.name, parameter.default))
    return found
