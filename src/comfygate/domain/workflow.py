"""A workflow of the catalogue: a graph, and what its users may choose of it. Pure.

`ordered` turns a user's choices into the graph that runs and its price. Choices go into the graph in this
order, later ones winning: what the graph itself says, what the style sets, parameters, input files.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

from comfygate.domain.errors import InvalidRequest, WorkflowUnusable
from comfygate.domain.formula import Formula, FormulaError, Number, exact
from comfygate.domain.graph import ASSET_TYPE
from comfygate.domain.names import nearest

SEED_MAX: Final = 2**53 - 1
"""Largest seed: what JSON can carry without loss; ComfyUI itself takes up to 2**64 - 1."""
TEXT_CHARS_MAX: Final = 4000
"""Longest text of a parameter that names no `chars_max` of its own."""
PIXELS: Final = "pixels"
"""In formulas: width * height, where a workflow has both parameters and none of this name."""

Value = str | int | float | bool
Target = tuple[str, str]
"""A place in the graph: node id and the name of its input."""


class Kind(StrEnum):
    """What a parameter takes."""

    INT = "int"
    FLOAT = "float"
    TEXT = "text"
    BOOL = "bool"
    CHOICE = "choice"
    SEED = "seed"


class FileKind(StrEnum):
    """What an input takes."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"


@dataclass(frozen=True, slots=True)
class Words:
    """A text for people, in English and, where it was given, in Chinese."""

    en: str
    zh: str = ""

    def to_json(self) -> dict[str, str]:
        return {"en": self.en, "zh": self.zh or self.en}


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something that users may set. Bounds are inclusive; without a default it must be given."""

    name: str
    title: Words
    kind: Kind
    targets: tuple[Target, ...]
    default: Value | None = None
    low: int | float | None = None
    high: int | float | None = None
    step: int | float | None = None
    choices: tuple[Value, ...] = ()
    chars_max: int = TEXT_CHARS_MAX

    @property
    def counts(self) -> bool:
        """Whether formulas can use it."""
        return self.kind in {Kind.INT, Kind.FLOAT, Kind.BOOL} or (
            self.kind is Kind.CHOICE and all(isinstance(choice, int | float) for choice in self.choices)
        )

    def checked(self, value: object) -> Value:
        """The value if it may be set. Raises InvalidRequest that names the parameter."""
        match self.kind:
            case Kind.INT | Kind.SEED if isinstance(value, int) and not isinstance(value, bool):
                return self._within(value)
            case Kind.FLOAT if isinstance(value, int | float) and not isinstance(value, bool):
                if not math.isfinite(value):
                    raise self._refused(value, "must be a finite number")
                return self._within(value)
            case Kind.BOOL if isinstance(value, bool):
                return value
            case Kind.TEXT if isinstance(value, str):
                if len(value) > self.chars_max:
                    raise self._refused(value, f"has {len(value)} characters; the most is {self.chars_max}")
                return value
            case Kind.CHOICE:
                for choice in self.choices:
                    if choice == value and isinstance(choice, bool) == isinstance(value, bool):
                        return choice
                near = nearest(str(value), [str(choice) for choice in self.choices])
                hint = f"; did you mean {near!r}?" if near else ""
                known = ", ".join(map(repr, self.choices))
                raise self._refused(value, f"must be one of {known}{hint}")
            case _:
                raise self._refused(value, f"must be {_EXPECTED[self.kind]}")
        raise AssertionError("unreachable: a choice is found or refused")

    def read(self, text: str) -> Value:
        """The value that somebody typed. Raises as `checked`."""
        if self.kind is Kind.TEXT:
            return self.checked(text)
        plain = text.strip()
        if self.kind is Kind.CHOICE:
            typed = next((choice for choice in self.choices if str(choice) == plain), plain)
            return self.checked(typed)
        if self.kind is Kind.BOOL:
            said = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
            return self.checked(said.get(plain.lower(), text))
        for read in (int, float) if self.kind is Kind.FLOAT else (int,):
            try:
                return self.checked(read(plain))
            except ValueError:
                continue
        raise self._refused(text, f"must be {_EXPECTED[self.kind]}")

    def _within(self, value: int | float) -> int | float:
        low, high = self.low, self.high
        if self.kind is Kind.SEED:
            low, high = low or 0, SEED_MAX if high is None else high
        if (low is not None and value < low) or (high is not None and value > high):
            raise self._refused(value, f"must be {_range(low, high)}")
        if self.step is not None and (exact(value) - exact(low or 0)) % exact(self.step):
            raise self._refused(value, f"must be {low or 0} plus a multiple of {self.step}")
        return value

    def _refused(self, value: object, rule: str) -> InvalidRequest:
        shown = repr(value) if isinstance(value, str | int | float | bool) else type(value).__name__
        if len(shown) > 80:
            shown = shown[:79] + "…"
        name = f"parameters.{self.name}"
        return InvalidRequest(f"{name} is {shown}: it {rule}", details={"field": name})


_EXPECTED: Final[Mapping[Kind, str]] = {
    Kind.INT: "a whole number",
    Kind.SEED: "a whole number",
    Kind.FLOAT: "a number",
    Kind.BOOL: "true or false",
    Kind.TEXT: "text",
    Kind.CHOICE: "one of its choices",
}


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"from {low} to {high}"


@dataclass(frozen=True, slots=True)
class FileInput:
    """A file that users send along. Where it may be left out, the file of the input `same_as` goes there."""

    name: str
    title: Words
    kind: FileKind
    targets: tuple[Target, ...]
    bytes_max: int | None = None
    pixels_max: int | None = None
    same_as: str | None = None


@dataclass(frozen=True, slots=True)
class Style:
    """A named variant: its price, what it sets in the graph, and its own defaults of parameters."""

    name: str
    title: Words
    price: Formula
    sets: Mapping[Target, Any] = field(default_factory=dict)
    values: Mapping[str, Value] = field(default_factory=dict)
    tiers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Workflow:
    """One entry of the catalogue. Empty `tiers`: for every tier. Empty `deliver`: all outputs go out."""

    name: str
    title: Words
    description: Words
    lane: str
    price: Formula
    graph: Mapping[str, Any]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    inputs: Mapping[str, FileInput] = field(default_factory=dict)
    styles: Mapping[str, Style] = field(default_factory=dict)
    deliver: tuple[str, ...] = ()
    tiers: frozenset[str] = frozenset()
    examples: Mapping[str, str] = field(default_factory=dict)
    """File names of example pictures by style; that of the whole workflow under the empty name."""

    @property
    def classes(self) -> frozenset[str]:
        """The node classes of its graph."""
        return frozenset(body["class_type"] for body in self.graph.values())

    @property
    def chosen(self) -> frozenset[Target]:
        """Where the words and files of its users end up; everything else is the operator's."""
        typed = [one.targets for one in self.parameters.values() if one.kind is Kind.TEXT]
        sent = [one.targets for one in self.inputs.values()]
        return frozenset(target for targets in (*typed, *sent) for target in targets)


@dataclass(frozen=True, slots=True)
class Order:
    """What a user asks of a workflow: style, values by parameter, asset ids by input."""

    style: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order that can be run. `price` in credits, before any discount; `tiers` as of workflow and style."""

    graph: dict[str, Any]
    price: int
    values: Mapping[str, Value]
    style: str
    tiers: tuple[frozenset[str], ...]


def ordered(
    workflow: Workflow, order: Order, *, seed: Callable[[], int], with_inputs: bool = True
) -> Ordered:
    """The graph and the price of an order. `seed` gives a number from 0 to SEED_MAX for seeds left out.

    Without `with_inputs` no file need be there: for a quote. Raises InvalidRequest naming style, parameter or
    input, and WorkflowUnusable when the manifest's own price formula does not work for these values.
    """
    style = _style(workflow, order.style)
    values = _values(workflow, style, order.values, seed)
    graph: dict[str, Any] = copy.deepcopy(dict(workflow.graph))
    for (node, name), value in (style.sets if style else {}).items():
        graph[node]["inputs"][name] = copy.deepcopy(value)
    for parameter in workflow.parameters.values():
        for node, name in parameter.targets:
            graph[node]["inputs"][name] = values[parameter.name]
    for name, asset_id in _files(workflow, order.inputs, needed=with_inputs).items():
        for node, target in workflow.inputs[name].targets:
            graph[node]["inputs"][target] = {"__type": ASSET_TYPE, "info": {"id": asset_id}}
    price = style.price if style else workflow.price
    try:
        credits = price.price(numbers(workflow, values))
    except FormulaError as error:
        raise WorkflowUnusable(f"the price of workflow {workflow.name} cannot be told: {error}") from error
    tiers = tuple(wanted for wanted in (workflow.tiers, style.tiers if style else frozenset()) if wanted)
    return Ordered(graph, credits, values, style.name if style else "", tiers)


def numbers(workflow: Workflow, values: Mapping[str, Value]) -> dict[str, Number]:
    """What formulas may use: every parameter that is a number, and `pixels`."""
    found: dict[str, Number] = {
        name: value
        for name, value in values.items()
        if workflow.parameters[name].counts and isinstance(value, int | float)
    }
    if PIXELS not in found and {"width", "height"} <= found.keys():
        found[PIXELS] = Fraction(exact(found["width"]) * exact(found["height"]))
    return found


def _style(workflow: Workflow, name: str | None) -> Style | None:
    known = ", ".join(workflow.styles)
    if name is None or name == "":
        if workflow.styles:
            raise InvalidRequest(f"style is missing: name one of {known}", details={"field": "style"})
        return None
    found = workflow.styles.get(name)
    if found is None:
        near = nearest(name, workflow.styles)
        hint = f"; did you mean {near!r}?" if near else ""
        rule = f"must be one of {known}{hint}" if known else "must be left out: this workflow has no styles"
        raise InvalidRequest(f"style is {name[:64]!r}: it {rule}", details={"field": "style"})
    return found


def _values(
    workflow: Workflow, style: Style | None, given: Mapping[str, Any], seed: Callable[[], int]
) -> dict[str, Value]:
    for name in given:
        if name not in workflow.parameters:
            field_name = f"parameters.{name[:64]}"
            known = ", ".join(workflow.parameters) or "none"
            near = nearest(name, workflow.parameters)
            hint = f"; did you mean {near!r}?" if near else ""
            raise InvalidRequest(
                f"{field_name} is not a parameter of {workflow.name}, which has {known}{hint}",
                details={"field": field_name},
            )
    values: dict[str, Value] = {}
    for name, parameter in workflow.parameters.items():
        value = given.get(name)
        if value is None and style is not None:
            value = style.values.get(name)
        if value is None:
            value = parameter.default
        if value is None and parameter.kind is Kind.SEED:
            value = seed()
        if value is None:
            raise InvalidRequest(f"parameters.{name} is missing", details={"field": f"parameters.{name}"})
        values[name] = parameter.checked(value)
    return values


def _files(workflow: Workflow, given: Mapping[str, str], *, needed: bool) -> dict[str, str]:
    for name in given:
        if name not in workflow.inputs:
            known = ", ".join(workflow.inputs) or "none"
            raise InvalidRequest(
                f"inputs.{name[:64]} is not an input of {workflow.name}, which has {known}",
                details={"field": f"inputs.{name[:64]}"},
            )
    files: dict[str, str] = {}
    for name, wanted in workflow.inputs.items():
        asset_id = given.get(name) or (given.get(wanted.same_as) if wanted.same_as else None)
        if asset_id is not None:
            files[name] = asset_id
        elif needed:
            raise InvalidRequest(
                f"inputs.{name} is missing: upload {_A[wanted.kind]} and give its asset id",
                details={"field": f"inputs.{name}"},
            )
    return files


_A: Final[Mapping[FileKind, str]] = {
    FileKind.IMAGE: "a picture",
    FileKind.VIDEO: "a clip",
    FileKind.AUDIO: "a sound file",
}


def checked_asset(wanted: FileInput, content_type: str, size_bytes: int) -> None:
    """Refuse an asset of the wrong kind or size. Raises InvalidRequest that names the input."""
    name = f"inputs.{wanted.name}"
    if content_type.partition("/")[0] != wanted.kind.value:
        raise InvalidRequest(
            f"{name} is {content_type}: it must be {_A[wanted.kind]}", details={"field": name}
        )
    if wanted.bytes_max is not None and size_bytes > wanted.bytes_max:
        raise InvalidRequest(
            f"{name} has {size_bytes} bytes; the most is {wanted.bytes_max}", details={"field": name}
        )
