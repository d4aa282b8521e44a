"""The conformance cases of cel-spec, by section. Exceptions are listed here, each with its reason."""

from __future__ import annotations

from itertools import groupby

import pytest
from celcases import Case, cases, failure

# Case → why this language answers otherwise. One that starts to pass must be taken out.
EXCEPTIONS: dict[str, str] = {}

ALL = cases()
GROUPS = {
    group: list(found)
    for group, found in groupby(sorted(ALL, key=lambda case: case.group), key=lambda case: case.group)
}


def test_the_vendored_file_is_whole() -> None:
    assert len(ALL) == 512
    assert len({case.key for case in ALL}) == len(ALL)


@pytest.mark.parametrize("group", GROUPS)
def test_cases_are_answered_as_cel_spec_says(group: str) -> None:
    failures = [found for case in GROUPS[group] if case.key not in EXCEPTIONS and (found := failure(case))]

    assert failures == []


def test_exceptions_are_still_exceptions() -> None:
    by_key: dict[str, Case] = {case.key: case for case in ALL}

    assert [key for key in EXCEPTIONS if failure(by_key[key]) is None] == []
    assert len(EXCEPTIONS) <= len(ALL) * 0.02
