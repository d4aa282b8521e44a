"""Whatever is filled in, a path keeps its segments and a query its parameters."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from hypothesis import assume, given
from hypothesis import strategies as st

from makegood.services.placeholders import Path, Query, Unfillable

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    [".", "..", "%2e", "/", "//", "a/../b", "?", "#", "&x=1", "\r\n", "\x00", "{input.a}", "${input.a}", "%", " "]
)
VALUES = TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
PATH = Path("/api/{input.a}/x-{input.b}/{input.a}{input.b}/end", ["input"])
QUERY = Query({"a": "{input.a}", "b": "<{input.b}>"}, ["input"])


@given(VALUES, VALUES)
def test_a_path_keeps_its_segments(a: object, b: object) -> None:
    try:
        path = PATH.filled({"input": {"a": a, "b": b}})
    except Unfillable:
        texts = [each for each in (a, b) if isinstance(each, str)]
        assert a is None or b is None or any(each in {"", ".", ".."} for each in texts)
        return

    parts = urlsplit(f"http://h{path}")
    segments = parts.path.split("/")
    assert path.isascii()
    assert path.isprintable()
    assert (parts.query, parts.fragment, len(segments)) == ("", "", 6)
    assert not {".", "..", ""} & {unquote(each) for each in segments[1:]}
    assert [segments[1], segments[5]] == ["api", "end"]
    if isinstance(a, str):
        assert unquote(segments[2]) == a


@given(st.lists(TEXTS, max_size=4) | TEXTS, TEXTS)
def test_a_query_keeps_its_parameters(a: str | list[str], b: str) -> None:
    assume(a != "" and "" not in a)

    query = QUERY.filled({"input": {"a": a, "b": b}})

    assert query.isascii()
    assert " " not in query
    assert parse_qsl(query[1:], keep_blank_values=True) == [
        *(("a", each) for each in ([a] if isinstance(a, str) else a)),
        ("b", f"<{b}>"),
    ]
