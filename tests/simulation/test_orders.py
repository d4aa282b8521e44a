"""Nested lists of calls: in order, any order, in order, ... and what they look like beside what came."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makegood.simulation.orders import aligned, allows


@pytest.mark.parametrize(
    ("expected", "allowed"),
    [
        (["a", "b"], {"ab"}),
        ([["a", "b"]], {"ab", "ba"}),
        (["a", ["b", ["c", "d"]], "e"], {"abcde", "acbde", "acdbe"}),
        (
            ["a", ["b", ["c", ["d", "e"]]], "f"],
            {"abcdef", "abcedf", "acbdef", "acbedf", "acdbef", "acebdf", "acdebf", "acedbf"},
        ),
        ([["a", "a"], "a"], {"aaa"}),
        ([], {""}),
        ([[], "a", [[]]], {"a"}),
        ([[["a", "b"], ["a", "c"]]], {"abac", "aabc", "aacb", "acab"}),
    ],
)  # fmt: skip
def test_exactly_these_orders_are_allowed(expected: list[Any], allowed: set[str]) -> None:
    letters = sorted(next(iter(allowed)))
    found = {"".join(each) for each in permutations(letters) if allows(expected, each)}

    assert found == allowed
    for each in allowed:
        assert not allows(expected, [*each, "z"])
        assert not each or not allows(expected, each[:-1])


def nested(depth: int) -> Any:
    leaf = st.sampled_from("abc")
    return st.lists(leaf if depth == 0 else leaf | nested(depth - 1), max_size=3)


def one_order(expected: Any, chance: Any, *, ordered: bool = True) -> list[str]:
    """Some order that the definition of the format allows, made the slow way."""
    if isinstance(expected, str):
        return [expected]
    parts = [one_order(each, chance, ordered=not ordered) for each in expected]
    if ordered:
        return [name for part in parts for name in part]
    found = []
    while any(parts):
        part = chance.choice([each for each in parts if each])
        found.append(part.pop(0))
    return found


@given(nested(3), st.randoms(use_true_random=False))
def test_every_order_that_the_format_describes_is_allowed(expected: list[Any], chance: Any) -> None:
    order = one_order(expected, chance)

    assert allows(expected, order)
    assert not allows(expected, [*order, "a"])
    assert [mark for mark, _ in aligned(expected, order)] == ["same"] * len(order)


def test_a_wide_list_in_any_order_is_judged_quickly() -> None:
    names = [f"n{number}" for number in range(200)]

    assert allows([names], names[::-1])
    assert allows([["a"] * 200], ["a"] * 200)


def test_what_is_missing_and_what_is_too_much_is_marked() -> None:
    assert aligned(["a", ["b", "c"], "d"], ["a", "c", "x", "b"]) == [
        ("same", "a"),
        ("same", "c"),
        ("surplus", "x"),
        ("same", "b"),
        ("missing", "d"),
    ]
