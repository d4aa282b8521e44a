"""No expression takes more than its budget, whatever it is. Steps are asserted, never time."""

from __future__ import annotations

from typing import Any

import pytest
from fuzz import run

from makegood.errors import MakegoodError
from makegood.expression import BudgetExceeded, ExpressionError, compile_expression, compile_mapping, evaluate


def _nest(depth: int, *, as_map: bool = False) -> object:
    value: object = 1
    for _ in range(depth):
        value = {"a": value} if as_map else [value]
    return value


BINDINGS: dict[str, Any] = {
    "s": "a" * 2_000_000,
    "n": "a" * 29_999,
    "q": "a" * 7_500 + "b" + "a" * 7_499,
    "l": list(range(100_000)),
    "words": [f"w{position}" for position in range(100_000)],
    "same": ["y" * 100_000 + str(position % 10) for position in range(100)],
    "m": {str(position): position for position in range(100_000)},
    "deep": _nest(200),
    "deepmap": _nest(200, as_map=True),
    "big": 10**4000,
}
DOUBLED = "[1]" + ".map(x, [x, x])" * 50


@pytest.mark.parametrize(
    "source",
    [
        "+".join(["s"] * 200),
        "[s].map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x).map(x, x + x)",
        "l + l + l + l",
        f"{DOUBLED} == {DOUBLED}",
        f"'%s'.format([{DOUBLED}])",
        "l.all(x, l.all(y, true))",
        "l.exists(x, x.foo == 1)",
        "l.exists(x, n.contains(q))",
        "l.map(x, n.replace(q, ''))",
        "l.map(x, n.lastIndexOf(q))",
        "l.map(x, s + 'b')",
        "l.map(x, s.reverse())",
        "s.replace('', 'xxxxxxxxxxxxxxxxxxxx')",
        "s.replace('a', 'bbbbbbbbbbbbbbbbbbbb')",
        "s.split('')",
        "s.split('a')",
        "words.join(s)",
        "same.map(x, same.map(y, x == y))",
        "same.map(x, same.filter(y, x < y))",
        "l.all(x, x in l)",
        "words.all(x, x in words)",
        "l.all(x, !(1 in m))",
        "s.matches('(a|b)*c(a|b){20}')",
        "words.exists(x, 'a'.matches(x + '(((('))",
        "words.exists(x, timestamp(0).getHours(x) == 1)",
        "l.map(x, '%.1000f'.format([1e308]))",
        "l.map(x, {'a': x, 'b': [x, x]}).map(x, {'a': x})",
    ],
)
def test_blow_up_ends_in_our_error(source: str) -> None:
    with pytest.raises(BudgetExceeded) as caught:
        evaluate(source, BINDINGS)

    assert caught.value.code == "limit_exceeded"


@pytest.mark.parametrize(
    "source",
    [
        "s + s",
        "s.contains('b')",
        "n.contains(q)",
        "n.lastIndexOf('b' + q)",
        "s.indexOf('ab')",
        "l == l",
        "deep == deep",
        "deepmap == deepmap",
        "'%s'.format([deep])",
        "'w99999' in words",
        "-1 in l",
        "sum(l)",
        "max(words)",
        "s.matches('^(a+)+$')",
        "s.size() + n.size()",
        "m.size() + l.size()",
        "words.join(', ')",
    ],
)
def test_large_data_alone_is_no_reason_to_refuse(source: str) -> None:
    evaluate(source, BINDINGS)


@pytest.mark.parametrize(
    "source",
    ["int('9' + s)", "double(s)", "duration(s)", "timestamp(s)", "big * big", "big + 1", "string(big)", "double(big)"],
)
def test_giant_literals_are_refused_at_once(source: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(source, BINDINGS)


def test_budget_is_not_absorbed() -> None:
    for source in ("true || l.all(x, true)", "l.all(x, l.all(y, true)) || true", "l.exists(x, l.all(y, true)) || true"):
        expression = compile_expression(source)
        if source.startswith("true"):
            assert expression.evaluate(BINDINGS) is True
        else:
            with pytest.raises(BudgetExceeded):
                expression.evaluate(BINDINGS)


def test_budget_is_given_by_the_caller() -> None:
    expression = compile_expression("[1, 2, 3].map(x, x + 1)")

    assert expression.evaluate({}, budget=100) == [2, 3, 4]
    with pytest.raises(BudgetExceeded, match="more than 10 steps"):
        expression.evaluate({}, budget=10)


def test_evaluation_always_costs_the_same() -> None:
    expression = compile_expression("words.filter(w, w.matches(p)).size() + l.filter(x, 1 / x > 0 || true).size()")
    bindings = {"words": ["a", "b"] * 50, "p": "^a[0-9]*$", "l": list(range(100))}
    costs = set()
    for budget in range(12_000, 30_000, 250):
        try:
            expression.evaluate(bindings, budget=budget)
        except BudgetExceeded:
            costs.add(budget)

    again = {budget for budget in range(12_000, 30_000, 250) if _exceeds(expression, bindings, budget)}
    assert costs == again


def _exceeds(expression: Any, bindings: dict[str, Any], budget: int) -> bool:
    try:
        expression.evaluate(bindings, budget=budget)
    except BudgetExceeded:
        return True
    return False


def test_mapping_of_shared_parts_is_bounded() -> None:
    with pytest.raises(BudgetExceeded):
        compile_mapping({"a": f"${{{DOUBLED}}}"}).evaluate({})
    with pytest.raises(BudgetExceeded):
        compile_mapping({"a": "text ${[deep].map(x, [x, x])" + ".map(x, [x, x])" * 20 + "}"}).evaluate(BINDINGS)


def test_parser_survives_any_nesting() -> None:
    for opening in ("(", "[", "{", "!", "-", "a[", "a.b(", "a ? ", "[?", "{1: ", "a.map(x, "):
        with pytest.raises(MakegoodError):
            compile_expression(opening * (4000 // len(opening)))


def test_random_expressions_never_crash() -> None:
    seed = 20_240_501
    print(f"seed {seed}")

    summary = run(5_000, seed)

    assert summary.crashes == []
    assert summary.values > 300
