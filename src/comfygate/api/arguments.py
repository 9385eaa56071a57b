"""Arguments of an operator's operation, checked against what the operation's own signature declares."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from comfygate.domain.errors import InvalidRequest
from comfygate.gate import operate

STRICT: Final = ConfigDict(extra="forbid", strict=True)
LAX: Final = ConfigDict(extra="forbid")
"""For text that stands for numbers: the query of an address."""
VALUE_CHARS_MAX: Final = 64

T = TypeVar("T", bound=BaseModel)


def shape_of(
    name: str, *, without: frozenset[str] = frozenset(), config: ConfigDict = STRICT
) -> type[BaseModel]:
    """The arguments of the operation `name`, but for those that come by another way."""
    operation = operate.OPERATIONS[name]
    hints = typing.get_type_hints(operation)
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(operation).parameters.values())[1:]:
        if parameter.name not in without:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[parameter.name] = (hints[parameter.name], default)
    return create_model(name.replace(".", "_"), __config__=config, **fields)


def checked(shape: type[T], given: Mapping[str, Any]) -> T:
    """The arguments. Raises InvalidRequest with the field, its value where that is short, and the way
    out."""
    try:
        found = shape.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])[:VALUE_CHARS_MAX]
        if first["type"] == "extra_forbidden":
            known = ", ".join(shape.model_fields) or "nothing"
            message = f"{field} is not a key of this request; it takes {known}"
        elif first["type"] == "missing":
            message = f"{field} is missing"
        else:
            value = first["input"]
            shown = f" is {ascii(value)[:VALUE_CHARS_MAX]}" if isinstance(value, str | int | float) else ""
            message = f"{field}{shown}: {first['msg'][0].lower()}{first['msg'][1:]}"
        raise InvalidRequest(message, details={"field": field}) from None
    for name in shape.model_fields:
        value = getattr(found, name)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not storable(text):
                raise InvalidRequest(
                    f"{name} is {ascii(text)[:VALUE_CHARS_MAX]}: this is no text that can be kept",
                    details={"field": name},
                )
    return found


def storable(text: str) -> bool:
    """Whether it can be kept as UTF-8 text on both engines: no NUL, no half of a surrogate pair."""
    return "\x00" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def given_of(arguments: BaseModel) -> dict[str, Any]:
    """What the caller gave, without the defaults."""
    return {name: getattr(arguments, name) for name in arguments.model_fields_set}
