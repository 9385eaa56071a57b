"""Price formulas: what they come to, exactly, and everything that cannot stand in one."""

from __future__ import annotations

import contextlib
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfygate.domain.formula import FORMULA_CHARS_MAX, NUMBER_MAX, PRICE_MAX, FormulaError, read_formula


@pytest.mark.parametrize(
    ("text", "variables", "price"),
    [
        ("3", {}, 3),
        (7, {}, 7),
        ("steps * 2", {"steps": 21}, 42),
        ("0.1 * 3", {}, 1),
        ("0.1 + 0.2", {}, 1),
        ("10 * 0.1 + 10 * 0.2", {}, 3),
        ("2 + ceil(width * height / 1000000) * steps / 20", {"width": 1024, "height": 1024, "steps": 20}, 4),
        ("1 if factor <= 2 else 3", {"factor": 2}, 1),
        ("1 if factor <= 2 else 3", {"factor": 2.5}, 3),
        ("max(1, min(5, n))", {"n": 9}, 5),
        ("floor(2.9) + round(2.5) + abs(-3)", {}, 8),
        ("n // 3 + n % 3", {"n": 8}, 4),
        ("1 < n < 4", {"n": 2}, 1),
        ("fast and 4 or 2", {"fast": True}, 1),
        ("4 if not fast else 2", {"fast": False}, 4),
        ("-(-5)", {}, 5),
        ("min(1 / 3, 0.5)", {}, 1),
    ],
)
def test_a_formula_comes_to_its_price(text: str | int, variables: dict[str, float], price: int) -> None:
    assert read_formula(text).price(variables) == price


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x" * (FORMULA_CHARS_MAX + 1),
        "2 **",
        "2 ** 1000",
        "().__class__",
        "__import__('os').system('true')",
        "open('x')",
        "'a' * 9",
        "[1, 2]",
        "{1: 2}",
        "lambda: 1",
        "x := 3",
        "min(1)",
        "ceil(1, 2)",
        "ceil(value=1)",
        "min(*xs)",
        "max",
        "f'{x}'",
        "1 << 40",
        "~1",
        "x[0]",
        "x.y",
        "1e400",
        f"{NUMBER_MAX}0",
        "1 if x",
        "a; b",
        "a\nb",
        "1 in x",
        "x is y",
        "await x",
        "(yield)",
        "1j",
        "None",
        "\x00",
        "[x for x in y]",
    ],
)
def test_what_cannot_stand_in_a_formula_is_refused(text: str) -> None:
    with pytest.raises(FormulaError):
        read_formula(text)


@pytest.mark.parametrize(
    ("text", "variables", "says"),
    [
        ("steps", {}, "needs 'steps'"),
        ("1 / n", {"n": 0}, "divides by zero"),
        ("1 % n", {"n": 0}, "divides by zero"),
        ("n - 5", {"n": 1}, "comes to -4"),
        ("n * n", {"n": NUMBER_MAX}, str(PRICE_MAX)),
        ("n", {"n": NUMBER_MAX + 1}, "the largest number"),
    ],
)
def test_a_price_that_cannot_be_told_says_why(text: str, variables: dict[str, float], says: str) -> None:
    with pytest.raises(FormulaError, match=says):
        read_formula(text).price(variables)


def test_names_are_the_variables_and_nothing_else() -> None:
    assert read_formula("max(a, b) * ceil(c)").names == {"a", "b", "c"}


@given(st.floats(0, 1e6, allow_nan=False), st.integers(1, 10_000), st.integers(1, 1000))
def test_a_formula_is_exact_where_floats_are_not(price: float, steps: int, parts: int) -> None:
    wanted = math.ceil(Fraction(repr(price)) * steps / parts) if price else 0
    found = read_formula("price * steps / parts")
    if wanted > PRICE_MAX:
        with pytest.raises(FormulaError):
            found.price({"price": price, "steps": steps, "parts": parts})
    else:
        assert found.price({"price": price, "steps": steps, "parts": parts}) == wanted


@given(st.text(max_size=60))
def test_no_text_does_anything_but_become_a_formula_or_a_refusal(text: str) -> None:
    with contextlib.suppress(FormulaError):
        formula = read_formula(text)
        assert 0 <= formula.price(dict.fromkeys(formula.names, 2)) <= PRICE_MAX
