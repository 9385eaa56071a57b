"""The shape of a workflow's manifest, as pydantic checks it; every refusal names its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, NoReturn

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator

from comfygate.domain.errors import GateError
from comfygate.domain.formula import PRICE_MAX
from comfygate.domain.names import nearest
from comfygate.domain.workflow import TEXT_CHARS_MAX, FileKind, Kind, Value

FOUND_MAX: Final = 20
"""Faults told of one manifest; the rest wait until these are mended."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
Price = Annotated[int, Field(ge=0, le=PRICE_MAX)] | str
Target_ = Annotated[str, StringConstraints(pattern=r"^.+\..+$", max_length=512)]


class Part(BaseModel):
    """A table of the manifest: closed, and strict about types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class WordsPart(Part):
    """A text for people."""

    en: Annotated[str, Field(min_length=1, max_length=2000)]
    zh: Annotated[str, Field(max_length=2000)] = ""


class TitledPart(Part):
    """Something with a title; a plain string is English."""

    title: WordsPart

    @field_validator("title", mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        return {"en": given} if isinstance(given, str) else given


class ParameterPart(TitledPart):
    """`[parameters.NAME]`."""

    type: Kind = Field(strict=False)
    sets: Annotated[list[Target_], Field(min_length=1, max_length=64)]
    default: Value | None = None
    min: int | float | None = None
    max: int | float | None = None
    step: Annotated[int | float, Field(gt=0)] | None = None
    choices: Annotated[list[str | int | float], Field(max_length=1000)] = []
    chars_max: Annotated[int, Field(ge=1, le=100_000)] = TEXT_CHARS_MAX


class InputPart(TitledPart):
    """`[inputs.NAME]`."""

    kind: FileKind = Field(default=FileKind.IMAGE, strict=False)
    sets: Annotated[list[Target_], Field(min_length=1, max_length=64)]
    bytes_max: Annotated[int, Field(ge=1)] | None = None
    pixels_max: Annotated[int, Field(ge=1)] | None = None
    same_as: Name | None = None


class StylePart(TitledPart):
    """`[styles.NAME]`."""

    price: Price | None = None
    parameters: dict[str, Value] = {}
    set: dict[Target_, Any] = {}
    tiers: list[str] = []


class ManifestPart(TitledPart):
    """The whole file."""

    description: WordsPart
    lane: str
    price: Price
    graph: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\.json$")] = (
        "graph.json"
    )
    tiers: list[str] = []
    deliver: Annotated[list[str], Field(max_length=256)] = []
    parameters: Annotated[dict[Name, ParameterPart], Field(max_length=64)] = {}
    inputs: Annotated[dict[Name, InputPart], Field(max_length=32)] = {}
    styles: Annotated[dict[Name, StylePart], Field(max_length=200)] = {}

    @field_validator("description", mode="before")
    @classmethod
    def _plain_description(cls, given: Any) -> Any:
        return {"en": given} if isinstance(given, str) else given


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a workflow: the file, the key in it, and why, with the way out."""

    file: str
    key: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.reason}" if self.key else f"{self.file}: {self.reason}"

    def to_json(self) -> dict[str, str]:
        return {"file": self.file, "key": self.key, "reason": self.reason}


class ManifestRefused(Exception):
    """The manifest cannot be used; `found` are (key, reason)."""

    def __init__(self, found: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key}: {reason}" for key, reason in found))
        self.found = found


def read_shape(raw: Mapping[str, Any]) -> ManifestPart:
    """The manifest as a typed tree. Raises ManifestRefused."""
    try:
        return ManifestPart.model_validate(dict(raw))
    except ValidationError as problem:
        _refuse(problem)


def _refuse(problem: ValidationError) -> NoReturn:
    found: list[tuple[str, str]] = []
    for error in problem.errors(include_url=False):
        steps = [str(step) for step in error["loc"] if not _is_branch(step)]
        key = ".".join(step for step in steps if step != "[key]")
        if error["type"] == "extra_forbidden":
            known = _fields_at(steps[:-1])
            near = nearest(steps[-1], known)
            hint = f"; did you mean {near!r}?" if near else f"; there are {', '.join(known)}"
            reason = f"is not a key here{hint}"
        elif error["type"] == "missing":
            reason = "is missing"
        else:
            value = error["input"]
            shown = f"{value!r}: " if isinstance(value, str | int | float | bool) else ""
            reason = shown[:100] + error["msg"].removeprefix("Value error, ")
        if (key, reason) not in found:
            found.append((key, reason))
    raise ManifestRefused(found[:FOUND_MAX]) from None


def _is_branch(step: int | str) -> bool:
    """Whether pydantic names a member of a union here, which no manifest has."""
    return isinstance(step, str) and (
        step in {"str", "int", "float", "bool"} or step.startswith(("constrained-", "function-"))
    )


_TABLES: Final[Mapping[str, type[Part]]] = {
    "parameters": ParameterPart,
    "inputs": InputPart,
    "styles": StylePart,
    "title": WordsPart,
    "description": WordsPart,
}


def _fields_at(steps: list[str]) -> list[str]:
    model: type[Part] = ManifestPart
    for step in steps:
        model = _TABLES.get(step, model)
    return list(model.model_fields)


def sentence_of(error: GateError) -> str:
    """A refusal of the graph, with what to do."""
    return f"{error.message}. {error.next_step}" if error.next_step not in error.message else error.message
