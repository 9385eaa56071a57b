"""Prices as formulas over a workflow's parameters: `2 + ceil(width * height / 1000000) * steps / 20`.

A formula is read by Python's own parser and evaluated by walking the few kinds of nodes that are listed here,
in exact fractions: no attribute, no string, no power, no call but six functions, so nothing in it can run
code or take long. The same numbers always give the same price, on every machine.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

FORMULA_CHARS_MAX: Final = 500
NUMBER_MAX: Final = 10**12
"""Largest number that may stand in a formula or be put into one."""
PRICE_MAX: Final = 10**9
"""Largest price of one job, in credits."""

Number = int | float | bool | Fraction


class FormulaError(ValueError):
    """The formula cannot be used; its text says which part, and what can stand there."""


_BINARY: Final[Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction | int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARED: Final[Mapping[type[ast.cmpop], Callable[[Fraction, Fraction], bool]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_FUNCTIONS: Final[Mapping[str, tuple[int, int, Callable[..., Fraction | int]]]] = {
    "abs": (1, 1, abs),
    "ceil": (1, 1, math.ceil),
    "floor": (1, 1, math.floor),
    "round": (1, 1, lambda value: math.floor(value + Fraction(1, 2))),
    "min": (2, 16, min),
    "max": (2, 16, max),
}
"""Name to least and most arguments, and what it does. `round` rounds a half up."""


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula that was read. `names` are the variables it needs."""

    text: str
    names: frozenset[str]
    tree: ast.expr

    def value(self, variables: Mapping[str, Number]) -> Fraction:
        """What it comes to. Raises FormulaError: a variable missing or too large, a division by zero."""
        given: dict[str, Fraction] = {}
        for name in self.names:
            if name not in variables:
                raise FormulaError(f"{self.text!r} needs {name!r}, which has no number here")
            given[name] = exact(variables[name])
            if abs(given[name]) > NUMBER_MAX:
                raise FormulaError(f"{name} is {float(given[name]):g}: the largest number is {NUMBER_MAX}")
        try:
            return _value(self.tree, given)
        except ZeroDivisionError:
            raise FormulaError(f"{self.text!r} divides by zero") from None

    def price(self, variables: Mapping[str, Number]) -> int:
        """The price in whole credits, rounded up.

        Raises FormulaError, besides what `value` raises, for a price below 0 or above PRICE_MAX.
        """
        price = math.ceil(self.value(variables))
        if not 0 <= price <= PRICE_MAX:
            raise FormulaError(f"{self.text!r} comes to {price}: a price is from 0 to {PRICE_MAX} credits")
        return price


def exact(number: Number) -> Fraction:
    """The number as it is written: 0.1 is a tenth, not the double nearest to it. True is 1."""
    return Fraction(repr(number)) if isinstance(number, float) else Fraction(number)


def read_formula(text: str | int) -> Formula:
    """Read a formula; a whole number is one too. Raises FormulaError, naming what cannot stand in one."""
    text = str(text)
    if not 0 < len(text) <= FORMULA_CHARS_MAX:
        raise FormulaError(f"a formula has 1 to {FORMULA_CHARS_MAX} characters, not {len(text)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise FormulaError(f"{text!r} is not a formula; write one like: 2 + ceil(pixels / 1000000)") from None
    names: set[str] = set()
    _check(tree, names)
    return Formula(text, frozenset(names), tree)


def _check(node: ast.expr, names: set[str]) -> None:
    """Refuse what cannot stand in a formula, and gather the variables."""
    match node:
        case ast.Constant(value=bool() | int() | float() as number):
            if not math.isfinite(number) or abs(number) > NUMBER_MAX:
                raise FormulaError(f"{ast.unparse(node)} is too large: the largest number is {NUMBER_MAX}")
        case ast.Name(id=name) if name not in _FUNCTIONS:
            names.add(name)
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
            least, most, _ = _FUNCTIONS[name]
            if not least <= len(args) <= most:
                raise FormulaError(f"{name} takes {least} to {most} numbers, not {len(args)}")
            _check_all(args, names)
        case _:
            _check_all(_operands(node), names)


def _operands(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return [left, right]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd() | ast.Not(), operand=operand):
            return [operand]
        case ast.BoolOp(values=values):
            return values
        case ast.Compare(left=left, ops=ops, comparators=others) if all(type(op) in _COMPARED for op in ops):
            return [left, *others]
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return [test, body, orelse]
        case _:
            raise FormulaError(
                f"{ast.unparse(node)!r} cannot stand in a formula: it takes numbers, parameters, + - * / // %"
                f", comparisons, 'a if b else c', and {', '.join(_FUNCTIONS)}"
            )


def _check_all(nodes: list[ast.expr], names: set[str]) -> None:
    for node in nodes:
        _check(node, names)


def _value(node: ast.expr, given: Mapping[str, Fraction]) -> Fraction:
    match node:
        case ast.Constant(value=bool() | int() | float() as number):
            return exact(number)
        case ast.Name(id=name):
            return given[name]
        case ast.BinOp(left=left, op=op, right=right):
            return Fraction(_BINARY[type(op)](_value(left, given), _value(right, given)))
        case ast.UnaryOp(op=op, operand=operand):
            value = _value(operand, given)
            return (
                Fraction(not value)
                if isinstance(op, ast.Not)
                else -value
                if isinstance(op, ast.USub)
                else value
            )
        case ast.BoolOp(op=op, values=values):
            wanted = isinstance(op, ast.Or)
            found = [bool(_value(value, given)) for value in values]
            return Fraction(wanted in found if wanted else all(found))
        case ast.Compare(left=left, ops=ops, comparators=others):
            numbers = [_value(left, given), *(_value(other, given) for other in others)]
            pairs = zip(ops, numbers, numbers[1:], strict=False)
            return Fraction(all(_COMPARED[type(op)](one, two) for op, one, two in pairs))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return _value(body if _value(test, given) else orelse, given)
        case ast.Call(func=func, args=args):
            _, _, function = _FUNCTIONS[_name(func)]
            return Fraction(function(*(_value(arg, given) for arg in args)))
        case _:
            raise AssertionError(f"unreachable: {ast.dump(node)} was checked")


def _name(func: Any) -> str:
    name: str = func.id
    return name
