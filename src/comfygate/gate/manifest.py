"""Reads a workflow's manifest: a typed tree and a graph in, a `Workflow` out, or every fault by its key.

What belongs together (a parameter and the node it sets, a formula and the parameters it needs) is checked
here, so that whatever gets into the catalogue can be ordered.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from comfygate.domain.errors import InvalidRequest
from comfygate.domain.formula import Formula, FormulaError, read_formula
from comfygate.domain.graph import Graph, is_link
from comfygate.domain.names import nearest
from comfygate.domain.workflow import (
    PIXELS,
    SEED_MAX,
    FileInput,
    Kind,
    Parameter,
    Style,
    Target,
    Value,
    Words,
    Workflow,
    numbers,
)
from comfygate.gate.manifest_shape import (
    FOUND_MAX,
    InputPart,
    ManifestPart,
    ManifestRefused,
    ParameterPart,
    StylePart,
    WordsPart,
)

CORNERS_MAX: Final = 256
"""At so many combinations of least and greatest values is a price formula tried."""


@dataclass(frozen=True, slots=True)
class House:
    """What a manifest may name: the settings' lanes and tiers."""

    lanes: frozenset[str]
    tiers: frozenset[str]


def read_manifest(name: str, shape: ManifestPart, graph: Graph, house: House) -> Workflow:
    """The workflow. Raises ManifestRefused with every fault that was found."""
    return _Reading(name, shape, graph, house).workflow()


class _Reading:
    """One manifest being read; `faults` gathers what is wrong with it."""

    def __init__(self, name: str, shape: ManifestPart, graph: Graph, house: House) -> None:
        self._name, self._shape, self._graph, self._house = name, shape, graph, house
        self.faults: list[tuple[str, str]] = []
        self._set_by: dict[Target, str] = {}

    def workflow(self) -> Workflow:
        shape = self._shape
        if shape.lane not in self._house.lanes:
            self._unknown("lane", shape.lane, self._house.lanes, "lane of the settings")
        parameters = {name: self._parameter(name, part) for name, part in shape.parameters.items()}
        inputs = {name: self._input(name, part) for name, part in shape.inputs.items()}
        for node in shape.deliver:
            if node not in self._graph.nodes:
                self._unknown("deliver", node, self._graph.nodes, "node of the graph")
        price = self._price("price", shape.price)
        workflow = Workflow(
            name=self._name,
            title=_words(shape.title),
            description=_words(shape.description),
            lane=shape.lane,
            price=price,
            graph=self._graph.raw,
            parameters=parameters,
            inputs=inputs,
            styles={name: self._style(name, part, price, parameters) for name, part in shape.styles.items()},
            deliver=tuple(shape.deliver),
            tiers=self._tiers("tiers", shape.tiers),
        )
        if not self.faults:
            self._try_prices(workflow)
        if self.faults:
            raise ManifestRefused(self.faults[:FOUND_MAX])
        return workflow

    def _fault(self, key: str, reason: str) -> None:
        self.faults.append((key, reason))

    def _unknown(self, key: str, given: str, known: Mapping[str, Any] | frozenset[str], what: str) -> None:
        near = nearest(given, known)
        hint = (
            f"; did you mean {near!r}?" if near else f"; there are {', '.join(sorted(known)[:12]) or 'none'}"
        )
        self._fault(key, f"{given!r} is no {what}{hint}")

    def _tiers(self, key: str, given: list[str]) -> frozenset[str]:
        for tier in given:
            if tier not in self._house.tiers:
                self._unknown(key, tier, self._house.tiers, "tier of the settings")
        return frozenset(given)

    def _price(self, key: str, given: int | str) -> Formula:
        try:
            return read_formula(given)
        except FormulaError as error:
            self._fault(key, str(error))
            return read_formula(0)

    def _target(self, key: str, given: str, *, links: bool = False) -> Target | None:
        """`NODE.INPUT` as a place that the graph has; names of inputs may hold dots themselves."""
        node, _, name = given.partition(".")
        found = self._graph.nodes.get(node)
        if found is None:
            self._unknown(key, node, self._graph.nodes, "node of the graph")
            return None
        if name not in found.inputs:
            self._unknown(key, name, found.inputs, f"input of node {node} ({found.class_type})")
            return None
        if not links and is_link(found.inputs[name]):
            self._fault(key, f"{given} is linked to another node; only a value can be set")
            return None
        return node, name

    def _targets(self, key: str, owner: str, given: list[str]) -> tuple[Target, ...]:
        found = []
        for one in given:
            target = self._target(f"{key}.sets", one)
            if target is None:
                continue
            earlier = self._set_by.setdefault(target, owner)
            if earlier != owner or target in found:
                self._fault(f"{key}.sets", f"{one} is set by {earlier} already; a place has one owner")
            found.append(target)
        return tuple(found)

    def _parameter(self, name: str, part: ParameterPart) -> Parameter:
        key = f"parameters.{name}"
        parameter = Parameter(
            name=name,
            title=_words(part.title),
            kind=part.type,
            targets=self._targets(key, key, part.sets),
            default=part.default,
            low=part.min,
            high=part.max,
            step=part.step,
            choices=tuple(part.choices),
            chars_max=part.chars_max,
        )
        bounded = part.type in {Kind.INT, Kind.FLOAT, Kind.SEED}
        if (part.type is Kind.CHOICE) != bool(part.choices):
            self._fault(f"{key}.choices", "a choice needs its choices, and nothing else has any")
        if not bounded and (part.min, part.max, part.step) != (None, None, None):
            self._fault(key, f"min, max and step belong to numbers, not to {part.type}")
        if part.min is not None and part.max is not None and part.min > part.max:
            self._fault(f"{key}.min", f"{part.min} is more than max, {part.max}")
        elif part.type is Kind.SEED and not (0 <= (part.min or 0) <= (part.max or 0) or part.max is None):
            self._fault(f"{key}.min", f"a seed is from 0 to {SEED_MAX}")
        elif part.type in {Kind.INT, Kind.FLOAT} and (part.min is None or part.max is None):
            self._fault(key, "a number needs min and max: what users may ask for has bounds")
        elif part.default is not None:
            self._check_value(f"{key}.default", parameter, part.default)
        return parameter

    def _check_value(self, key: str, parameter: Parameter, value: object) -> None:
        try:
            parameter.checked(value)
        except InvalidRequest as refusal:
            self._fault(key, refusal.message)

    def _input(self, name: str, part: InputPart) -> FileInput:
        key = f"inputs.{name}"
        if part.same_as is not None:
            other = self._shape.inputs.get(part.same_as)
            if other is None or part.same_as == name or other.same_as is not None or other.kind != part.kind:
                self._fault(
                    f"{key}.same_as", f"{part.same_as!r} is no other required input of kind {part.kind}"
                )
        return FileInput(
            name=name,
            title=_words(part.title),
            kind=part.kind,
            targets=self._targets(key, key, part.sets),
            bytes_max=part.bytes_max,
            pixels_max=part.pixels_max,
            same_as=part.same_as,
        )

    def _style(
        self, name: str, part: StylePart, price: Formula, parameters: Mapping[str, Parameter]
    ) -> Style:
        key = f"styles.{name}"
        sets: dict[Target, Any] = {}
        for given, value in part.set.items():
            target = self._target(f"{key}.set", given, links=True)
            if target is None:
                continue
            if (owner := self._set_by.get(target)) is not None:
                self._fault(
                    f"{key}.set", f"{given} is set by {owner}; give the style a value for that instead"
                )
            if is_link(value) and value[0] not in self._graph.nodes:
                self._unknown(f"{key}.set", str(value[0]), self._graph.nodes, "node of the graph")
            sets[target] = value
        for parameter, value in part.parameters.items():
            if parameter not in parameters:
                self._unknown(f"{key}.parameters", parameter, parameters, "parameter of this workflow")
            else:
                self._check_value(f"{key}.parameters.{parameter}", parameters[parameter], value)
        return Style(
            name=name,
            title=_words(part.title),
            price=price if part.price is None else self._price(f"{key}.price", part.price),
            sets=sets,
            values=dict(part.parameters),
            tiers=self._tiers(f"{key}.tiers", part.tiers),
        )

    def _try_prices(self, workflow: Workflow) -> None:
        """Ask every price formula at the corners of its parameters' ranges."""
        known = {name for name, parameter in workflow.parameters.items() if parameter.counts}
        known |= {PIXELS} if {"width", "height"} <= known else set()
        formulas = {f"styles.{style.name}.price": style.price for style in workflow.styles.values()}
        for key, formula in {"price": workflow.price, **formulas}.items():
            missing = sorted(formula.names - known)
            if missing:
                near = nearest(missing[0], known)
                hint = (
                    f"; did you mean {near!r}?"
                    if near
                    else f"; it can use {', '.join(sorted(known)) or 'none'}"
                )
                self._fault(key, f"{missing[0]!r} is no number among the parameters{hint}")
                continue
            for values in _corners(workflow, formula):
                try:
                    formula.price(numbers(workflow, values))
                except FormulaError as error:
                    shown = ", ".join(f"{name} = {values[name]}" for name in sorted(values))
                    self._fault(key, f"{error} (for {shown})")
                    break


def _corners(workflow: Workflow, formula: Formula) -> Iterator[dict[str, Value]]:
    used = set(formula.names)
    if PIXELS in used and PIXELS not in workflow.parameters:
        used |= {"width", "height"}
    spans: dict[str, list[Value]] = {}
    for name in sorted(used & workflow.parameters.keys()):
        parameter = workflow.parameters[name]
        if parameter.choices:
            spans[name] = sorted(choice for choice in parameter.choices if not isinstance(choice, str))
        elif parameter.kind is Kind.BOOL:
            spans[name] = [False, True]
        else:
            wanted = (parameter.low, parameter.default, parameter.high)
            spans[name] = list(dict.fromkeys(value for value in wanted if value is not None))
    for values in itertools.islice(itertools.product(*spans.values()), CORNERS_MAX):
        yield dict(zip(spans, values, strict=True))


def _words(part: WordsPart) -> Words:
    return Words(part.en, part.zh)
