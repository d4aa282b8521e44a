"""Rule 8, `structured`: what may be undone side by side, against the rule as it is written."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from makegood.core.order import Place, SideBySide
from makegood.core.state import Key

# Where an entry is: in which branch of which parallel, outermost first. Nested parallels have their own
# numbers within a branch, and a loop may hold several of one branch.
PLACES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), max_size=3)


def as_place(path: list[tuple[int, int]]) -> Place:
    place: list[tuple[Key, int]] = []
    around: tuple[int, ...] = ()
    for parallel, branch in path:
        place.insert(0, ((parallel, around), branch))
        around = (*around, parallel, branch)
    return place


def beside(one: Place, other: Place) -> bool:
    there = dict(other)
    return any(around in there and there[around] != branch for around, branch in one)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(PLACES, min_size=1, max_size=14), st.data())
def test_exactly_the_entries_that_nothing_later_holds_back_are_free(paths, data) -> None:
    places = {(number, ()): as_place(path) for number, path in enumerate(paths, 1)}
    under_way = {key for key in places if data.draw(st.integers(0, 9)) == 9}
    order = SideBySide((key, key[0], places[key], key in under_way) for key in places)
    left, begun = set(places), set(under_way)

    while left:
        given_out = []
        while (key := order.next()) is not None:
            given_out.append(key)
        free = {
            key for key in left - begun
            if all(beside(places[key], places[other]) for other in left if other[0] > key[0])
        }  # fmt: skip
        assert set(given_out) == free
        assert given_out == sorted(free, reverse=True)
        begun |= free
        settled = data.draw(st.sampled_from(sorted(begun & left)))
        order.settled(settled)
        left.remove(settled)
    assert order.next() is None
