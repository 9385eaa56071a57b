"""Whether a graph may run, with ComfyUI 0.3.64's own verdicts, error types and words (recorded).

A graph of which some outputs are valid passes; the other outputs are dropped and told in `node_errors`.
Values are converted in place (`"8"` for an INT becomes 8), so history shows them converted, as ComfyUI's.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comfygate.simulator.files import Folders
from comfygate.simulator.node import Input, NodeClass

_COMBO_SHOWN_MAX = 20
_CONVERT = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
Problem = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`error` is None when the graph runs; `outputs` are the output nodes that will."""

    error: Problem | None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, Any] = field(default_factory=dict)


def validate(graph: Any, catalog: Mapping[str, NodeClass], folders: Folders) -> Verdict:
    """Judge a graph; raises TypeError where ComfyUI answers 500 (a graph that is no mapping of nodes)."""
    outputs: list[str] = []
    for node_id, node in graph.items():
        if "class_type" not in node:
            return _refused("Cannot execute because a node is missing the class_type property.", node_id)
        node_class = catalog.get(node["class_type"])
        if node_class is None:
            return _refused(f"Cannot execute because node {node['class_type']} does not exist.", node_id)
        if node_class.output_node:
            outputs.append(node_id)
    if not outputs:
        return Verdict(_problem("prompt_no_outputs", "Prompt has no outputs", ""))
    return _Validation(graph, catalog, folders).run(outputs)


def _problem(type_: str, message: str, details: str, **extra: Any) -> Problem:
    return {"type": type_, "message": message, "details": details, "extra_info": extra}


def _refused(message: str, node_id: str) -> Verdict:
    return Verdict(_problem("invalid_prompt", message, f"Node ID '#{node_id}'"))


@dataclass(slots=True)
class _Validation:
    graph: dict[str, Any]
    catalog: Mapping[str, NodeClass]
    folders: Folders
    judged: dict[str, tuple[bool, list[Problem]]] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)

    def run(self, outputs: list[str]) -> Verdict:
        good: list[str] = []
        reasons: list[Problem] = []
        node_errors: dict[str, Any] = {}
        for output in outputs:
            valid, problems = self._output(output)
            if valid:
                good.append(output)
                continue
            reasons += problems
            for node_id, (fine, found) in self.judged.items():
                if fine or not found:
                    continue
                entry = node_errors.setdefault(
                    node_id,
                    {
                        "errors": found,
                        "dependent_outputs": [],
                        "class_type": self.graph[node_id]["class_type"],
                    },
                )
                entry["dependent_outputs"].append(output)
        if good:
            return Verdict(None, good, node_errors)
        details = "\n".join(f"{one['message']}: {one['details']}" for one in reasons)
        failed = "prompt_outputs_failed_validation"
        return Verdict(_problem(failed, "Prompt outputs failed validation", details), [], node_errors)

    def _output(self, node_id: str) -> tuple[bool, list[Problem]]:
        self.path.clear()
        try:
            return self._node(node_id)
        except Exception as trouble:  # noqa: BLE001 - ComfyUI reports whatever a graph provokes here
            said = _problem(
                "exception_during_validation",
                "Exception when validating node",
                str(trouble),
                exception_type=type(trouble).__name__,
                traceback=traceback.format_tb(trouble.__traceback__),
            )
            self.judged[node_id] = (False, [said])
            return self.judged[node_id]

    def _node(self, node_id: str) -> tuple[bool, list[Problem]]:
        if node_id in self.judged:
            return self.judged[node_id]
        if node_id in self.path:
            raise RecursionError("maximum recursion depth exceeded")
        self.path.append(node_id)
        node = self.graph[node_id]
        node_class = self.catalog[node["class_type"]]
        values: dict[str, Any] = node["inputs"]
        problems: list[Problem] = []
        upstream_fine = True
        for one in node_class.inputs:
            if one.name not in values:
                if not one.optional:
                    missing = "Required input is missing"
                    problems.append(
                        _problem("required_input_missing", missing, one.name, input_name=one.name)
                    )
            elif isinstance(values[one.name], list):
                upstream_fine &= self._link(node_class, one, values[one.name], problems)
            else:
                problems += self._value(node_class, one, values)
        problems += self._custom(node_class, values)
        self.path.pop()
        self.judged[node_id] = (upstream_fine and not problems, problems)
        return self.judged[node_id]

    def _link(self, node_class: NodeClass, one: Input, link: list[Any], problems: list[Problem]) -> bool:
        """Judge a link and what lies behind it; False when the trouble is upstream and told there."""
        about = {"input_name": one.name, "input_config": node_class.spec(one, self.folders)}
        if len(link) != 2:
            words = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            problems.append(_problem("bad_linked_input", words, one.name, **about, received_value=link))
            return True
        source, slot = link
        received = self.catalog[self.graph[source]["class_type"]].outputs[slot][0]
        wanted = about["input_config"][0]
        if not _fits(received, wanted):
            details = f"{one.name}, received_type({received}) mismatch input_type({wanted})"
            words = "Return type mismatch between linked nodes"
            problems.append(
                _problem(
                    "return_type_mismatch", words, details, **about, received_type=received, linked_node=link
                )
            )
            return True
        try:
            return self._node(source)[0]
        except Exception as trouble:  # noqa: BLE001 - ComfyUI reports whatever a graph provokes here
            said = _problem(
                "exception_during_inner_validation",
                "Exception when validating inner node",
                str(trouble),
                **about,
                exception_message=str(trouble),
                exception_type=type(trouble).__name__,
                traceback=traceback.format_tb(trouble.__traceback__),
                linked_node=link,
            )
            self.judged[source] = (False, [said])
            return False

    def _value(self, node_class: NodeClass, one: Input, values: dict[str, Any]) -> list[Problem]:
        spec = node_class.spec(one, self.folders)
        value = values[one.name]
        convert = _CONVERT.get(spec[0]) if isinstance(spec[0], str) else None
        if convert is not None:
            try:
                value = values[one.name] = convert(value)
            except (TypeError, ValueError, OverflowError) as trouble:
                said = _problem(
                    "invalid_input_type",
                    f"Failed to convert an input value to a {spec[0]} value",
                    f"{one.name}, {value}, {trouble}",
                    input_name=one.name,
                    input_config=spec,
                    received_value=value,
                    exception_message=str(trouble),
                )
                return [said]
        if one.name in node_class.check:
            return []
        return _out_of_range(one, spec, value) or self._not_in_list(node_class, one, spec, value)

    def _not_in_list(self, node_class: NodeClass, one: Input, spec: list[Any], value: Any) -> list[Problem]:
        options = node_class.options(one, self.folders)
        if options is None or value in options:
            return []
        long = len(options) > _COMBO_SHOWN_MAX
        listed = f"(list of length {len(options)})" if long else str(options)
        details = f"{one.name}: '{value}' not in {listed}"
        about = {"input_name": one.name, "input_config": None if long else spec, "received_value": value}
        return [_problem("value_not_in_list", "Value not in list", details, **about)]

    def _custom(self, node_class: NodeClass, values: Mapping[str, Any]) -> list[Problem]:
        problems: list[Problem] = []
        for name, check in node_class.check.items():
            if name not in values or isinstance(values[name], list):
                continue
            complaint = check(self.folders, values[name])
            if complaint is not None:
                words = "Custom validation failed for node"
                problems.append(
                    _problem("custom_validation_failed", words, f"{name} - {complaint}", input_name=name)
                )
        return problems


def _fits(received: str, wanted: Any) -> bool:
    if not isinstance(wanted, str):
        return False
    if "*" in (received, wanted) or received == wanted:
        return True
    return set(received.split(",")) <= set(wanted.split(","))


def _out_of_range(one: Input, spec: list[Any], value: Any) -> list[Problem]:
    about = {"input_name": one.name, "input_config": spec, "received_value": value}
    low, high = one.config.get("min"), one.config.get("max")
    if low is not None and value < low:
        words = f"Value {value} smaller than min of {low}"
        return [_problem("value_smaller_than_min", words, one.name, **about)]
    if high is not None and value > high:
        words = f"Value {value} bigger than max of {high}"
        return [_problem("value_bigger_than_max", words, one.name, **about)]
    return []
