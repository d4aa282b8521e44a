"""What expressions mean where cel-spec leaves it open, and what is ours."""

from __future__ import annotations

import math
from typing import Any

import pytest

from makegood.errors import MakegoodError
from makegood.expression import (
    NONE,
    CelType,
    Duration,
    ExpressionError,
    ExpressionSyntaxError,
    OptionalValue,
    Timestamp,
    compile_expression,
    evaluate,
    evaluate_condition,
)

TRIP: dict[str, Any] = {
    "input": {"days": 9, "traveller": "Ada", "tags": ["sea", "sun"], "nothing": None},
    "steps": {"hotel": {"stars": 5, "id": "h-1", "price": 99.5}},
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("input.days > 7 && steps.hotel.stars >= 4", True),
        ("1 + 0.5", 1.5),
        ("3 * 2.0", 6.0),
        ("7 / 2.0", 3.5),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("1 == 1.0", True),
        ("1 == true", False),
        ("{'a': 1} == {'a': 1.0}", True),
        ("sum([1, 2, 3])", 6),
        ("sum([])", 0),
        ("sum([1, 0.5])", 1.5),
        ("sum([duration('1s'), duration('2s')])", Duration(3_000_000_000)),
        ("min([3, 1.5, 2])", 1.5),
        ("max(['a', 'b'])", "b"),
        ("[1, 2].max()", 2),
        ("string(1234567.5)", "1234567.5"),
        ("string(8.0)", "8"),
        ("string(1e21)", "1e+21"),
        ("string(1e-7)", "1e-07"),
        ("string(duration('1h0.5s'))", "3600.5s"),
        ("string(timestamp('2024-02-29T01:00:00.250+01:00'))", "2024-02-29T00:00:00.25Z"),
        ("'Straße'.upperAscii()", "STRAßE"),
        ("'abc'.reverse()", "cba"),
        ("[1, 2].reverse()", [2, 1]),
        ("'hello'.indexOf('l', 20)", -1),
        ("'hello'.lastIndexOf('l', 2)", 2),
        ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
        ("'abc'.split('')", ["a", "b", "c"]),
        ("'abc'.replace('', '-')", "-a-b-c-"),
        ("'aaa'.replace('a', 'b', 2)", "bba"),
        ("'\\u001ctext\\u2029'.trim()", "\x1ctext"),
        ("'\\ud83d\\ude00'", "😀"),
        ("[1, 2, 3].map(x, x > 1, x * 2)", [4, 6]),
        ("{'a': 1, 'b': 2}.filter(k, k != 'a')", ["b"]),
        ("[?optional.of(1), ?optional.none()]", [1]),
        ("{?'a': optional.none(), 'b': 1}", {"b": 1}),
        ("input.?hotel.stars.orValue(3)", 3),
        ("steps.?hotel.stars", OptionalValue(present=True, value=5)),
        ("optional.none().or(optional.of(2)).value()", 2),
        ("optional.of(1).orValue(1 / 0)", 1),
        ("optional.ofNonZeroValue('').hasValue()", False),
        ("input.tags[?5].hasValue()", False),
        ("true || 1 / 0 > 0", True),
        ("1 / 0 > 0 || true", True),
        ("false ? 1 / 0 : 2", 2),
        ("[1, 0].exists(x, 1 / x == 1)", True),
        ("[0, 1].all(x, 1 / x == 5)", False),
        ("type(timestamp(0)) == google.protobuf.Timestamp", True),
        ("timestamp('2024-12-31T23:30:00Z').getFullYear('Asia/Tokyo')", 2025),
        ("timestamp('2024-12-31T12:00:00Z').getDayOfYear()", 365),
        ("timestamp('0001-01-01T00:00:00Z').getFullYear('-10:00')", 0),
        ("duration('-1.5s').getMilliseconds()", -500),
        ("// a comment with a } and a '\n 1", 1),
        ("'%s' .format([[1, {'b': 2.0, 'a': b'x'}]])", "[1, {a: x, b: 2}]"),
        ("1.0 in {1: 'a'}", True),
        ("true in {1: 'a'}", False),
    ],
)
def test_value(source: str, value: object) -> None:
    got = evaluate(source, TRIP)

    if isinstance(value, OptionalValue):
        assert (got.present, got.value) == (value.present, value.value)
    else:
        assert (type(got), got) == (type(value), value)


def test_absent_optional_is_one_value() -> None:
    assert evaluate("optional.none()", {}) is NONE


def test_division_of_doubles_follows_ieee() -> None:
    assert evaluate("1.0 / 0.0", {}) == math.inf
    assert math.isnan(evaluate("0.0 / 0.0", {}))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("steps.hotel.star", "steps.hotel has no key 'star'; it has: stars, id, price. Did you mean 'stars'?"),
        ("steps.hotel.stars.x", "steps.hotel.stars is int, which has no 'x'."),
        ("input.nothing.x", "input.nothing is null, which has no 'x'. Ask first with x != null."),
        ("input.tags[7]", "input.tags has 2 elements, and none at 7; they count from 0."),
        ("input.tags[-1]", "input.tags has 2 elements, and none at -1; they count from 0."),
        ("input.tags.sea", "input.tags is a list; its elements have an int as index, not 'sea'."),
        ("'n: ' + input.days", "+ is not defined for string and int. Make text of the other side with string(x)."),
        ("9223372036854775807 + 1", "The integer result does not fit into 64 bits."),
        ("1 / 0", "Division by zero."),
        ("min([])", "min of an empty list. Ask for its size first."),
        ("duration('soon')", "'soon' is no duration; it is written like '1h30m', '1.5s' or '250ms'."),
        ("timestamp(0).getHours('Mars/Base')", "'Mars/Base' is no time zone"),
        ("input.traveller ? 1 : 2", "The test before ? is not defined for string."),
        ("'%d'.format(['x'])", "%d of format is not defined for string."),
        ("'%.1001f'.format([1.0])", "is above 1000"),
        ("'%s %s'.format([1])", "format has 1 arguments, and the text asks for more."),
        ("{true: 1}[1]", "has no key 1; it has: true."),
        ("{1.5: 1}", "A map key is a string, an int or a bool, not double."),
        ("{'a': 1, 'a': 2}", "The key 'a' stands twice in one map."),
        ("int(1e30)", "does not fit"),
        ("bool('yes')", "'yes' is neither 'true' nor 'false'."),
    ],
)
def test_error_says_what_and_what_to_do(source: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(source, TRIP)

    assert message in str(caught.value)
    assert caught.value.code == "expression_error"


@pytest.mark.parametrize(
    ("source", "offset", "message"),
    [
        ("", 0, "empty"),
        ("1 +", 3, "Expected a value, found the end."),
        ("stepz.hotel", 0, "There is no 'stepz' here. Did you mean 'steps'?"),
        ("1 + siz(input)", 4, "There is no function 'siz'. Did you mean 'size'?"),
        ("12u", 2, "Unsigned integers such as 12u are not supported"),
        ("uint(1)", 0, "Unsigned integers are not supported"),
        ("input = 1", 6, "Equality is written ==."),
        ("'open", 0, "never closed"),
        ("(1", 2, "Expected ')' to close the '(' at offset 0, found the end."),
        ("if", 0, "'if' is a reserved word"),
        ("Trip{days: 1}", 4, "Messages such as Name{...} are not supported"),
        ("contains('a', 'b')", 0, "contains is called as x.contains(...)."),
        ("'a'.split()", 4, "split takes 1 or 2 arguments, not 0."),
        ("has(input)", 0, "has() takes one field"),
        ("now()", 0, "now() exists only in a `set` step"),
        ("'\\q'", 1, "Unknown escape"),
        ("'\\ud800'", 1, "half of a surrogate pair"),
        ("9223372036854775808", 0, "does not fit into 64 bits"),
        ("1e999", 0, "too large for a double"),
        ("'a'.matches('[')", 12, "is no regular expression"),
        ("'%s'.format([1, 2])", 5, "format has 2 arguments, and the text asks for 1."),
        ("[1].map(x.y, 1)", 10, "plain name for the element"),
        ("'x' + 'a' & 'b'", 10, "Logical and is written &&."),
        ("'" + "x" * 5000 + "'", 0, "4096 are allowed"),
        ("(" * 70 + "1" + ")" * 70, 64, "nests deeper than 64"),
        ("a" + ".f()" * 70, 257, "nests deeper than 64"),
    ],
)
def test_mistake_is_found_before_anything_runs(source: str, offset: int, message: str) -> None:
    with pytest.raises(ExpressionSyntaxError) as caught:
        compile_expression(source, names=["input", "steps"])

    assert message in str(caught.value)
    assert caught.value.offset == offset


def test_long_chains_are_no_nesting() -> None:
    assert evaluate("+".join(["1"] * 2000), {}) == 2000
    assert evaluate("&&".join(["true"] * 600), {}) is True
    assert evaluate("!" * 4000 + "true", {}) is True
    assert evaluate(" ? 1 : ".join(["false"] * 300), {}) is False
    assert evaluate("x" + "[0]" * 190, {"x": _nested(190)}) == 0
    assert evaluate("x" + ".a" * 2000, {"x": _nested_map(2000)}) == 0


def _nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


def _nested_map(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = {"a": value}
    return value


def test_references_are_the_literal_paths() -> None:
    expression = compile_expression(
        "steps.hotel['stars'][0].x + steps[input.key] + size(steps) + items.map(i, i.x + input.y).size()"
        " + (has(steps.train.id) ? 1 : steps.?bus.id.orValue(0))"
    )

    assert [(each.root, each.path, each.presence) for each in expression.references] == [
        ("steps", ("hotel", "stars", 0, "x"), False),
        ("steps", (), False),
        ("input", ("key",), False),
        ("steps", (), False),
        ("items", (), False),
        ("input", ("y",), False),
        ("steps", ("train", "id"), True),
        ("steps", ("bus", "id"), True),
    ]
    assert expression.references[2].offset == expression.source.index("input.key")


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("input", ("input",)),
        ("steps.hotel.id", ("steps", "hotel", "id")),
        ("steps['hotel'][0]", ("steps", "hotel", 0)),
        ("steps.?hotel", None),
        ("steps[input.x]", None),
        ("size(steps).x", None),
        ("steps.hotel + 1", None),
        ("[1].map(x, x)", None),
        ("int", None),
    ],
)
def test_plain_path(source: str, path: object) -> None:
    assert compile_expression(source).path == path


def test_plain_path_passes_the_value_itself() -> None:
    huge = 10**40
    items = [1, 2]

    assert evaluate("x.items", {"x": {"items": items}}) is items
    assert evaluate("x", {"x": huge}) == huge
    with pytest.raises(ExpressionError, match="64 bits"):
        evaluate("x + 1", {"x": huge})


def test_longest_bound_name_wins_and_loop_variables_hide_it() -> None:
    bindings = {"a.b": {"c": 1}, "a": {"b": {"c": 2}}}

    assert evaluate("a.b.c", bindings) == 1
    assert evaluate("[{'b': {'c': 3}}].map(a, a.b.c)", bindings) == [3]
    assert evaluate("[{'b': {'c': 3}}].map(a, .a.b.c)", bindings) == [1]


def test_binding_hides_a_type_of_the_same_name() -> None:
    assert evaluate("list", {"list": 5}) == 5
    assert evaluate("list", {}) == CelType("list")
    assert compile_expression("list").evaluate({"list": 5}) == 5


def test_unknown_name_without_known_names_is_found_when_it_runs() -> None:
    expression = compile_expression("stepz.a")

    with pytest.raises(ExpressionError, match="Did you mean 'steps'"):
        expression.evaluate(TRIP)


def test_condition_has_no_truthiness() -> None:
    assert evaluate_condition(compile_expression("input.days > 7"), TRIP) is True
    with pytest.raises(ExpressionError, match="must give a bool, and this gives int"):
        evaluate_condition(compile_expression("input.days"), TRIP)


class Source:
    def now(self) -> Timestamp:
        return Timestamp(1_000_000_000)

    def uuid(self) -> str:
        return "u-1"


def test_now_and_uuid_come_from_outside() -> None:
    expression = compile_expression("string(now()) + uuid()", impure=True)

    assert expression.evaluate({}, impure=Source()) == "1970-01-01T00:00:01Zu-1"
    with pytest.raises(ExpressionError, match="no source"):
        expression.evaluate({})


def test_values_out_of_range_are_errors() -> None:
    for make in (lambda: Timestamp(2**70), lambda: Duration(2**70)):
        with pytest.raises(ExpressionError):
            make()


def test_unsupported_python_value_is_our_error() -> None:
    for source in ("x.a", "x == 1 ? 1 : type(x)", "x + 1", "string(x)", "[x].map(y, size(y))"):
        with pytest.raises(MakegoodError):
            evaluate(source, {"x": object()})
