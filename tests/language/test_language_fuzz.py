"""Whatever is handed in, only a definition or a DefinitionError comes out."""

from __future__ import annotations

from contextlib import suppress

from definition_fuzz import fuzz
from hypothesis import given, settings
from hypothesis import strategies as st

from makegood.errors import DefinitionError
from makegood.language import load, load_tree

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["steps", "x.y", "${a}"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "steps", "id", "call", "if", "then", "try", "parallel", "input", "x"]), inner
        )
    ),
    max_leaves=20,
)


def test_mutated_definitions_are_refused_politely():
    assert 0 < fuzz(400) < 400


@settings(max_examples=100)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_text_is_refused_politely(text):
    for form in ("yaml", "json", None):
        with suppress(DefinitionError):
            load(text, format=form)


@settings(max_examples=100)
@given(JSON)
def test_any_tree_is_refused_politely(tree):
    with suppress(DefinitionError):
        load_tree(tree)
