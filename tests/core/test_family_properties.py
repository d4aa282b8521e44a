"""I1 to I8 over random families: children, theirs, detached ones, pivots; crashes at every record of every member."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from kin import Kin, played
from test_properties import PROFILE, SOAK
from trees import Saga, saga, sagas


def drawn(seed: int, *, crashes: bool = False, children: bool = True) -> Saga:
    """A saga by a seed alone."""
    chance = random.Random(seed)
    return saga(lambda below: chance.randrange(below) if below > 1 else 0, crashes=crashes, children=children)


@settings(PROFILE)
@given(sagas(crashes=False, children=True))
def test_every_schedule_of_a_family_ends_and_keeps_the_invariants(family: Saga) -> None:
    played(family).make_good()


@settings(PROFILE)
@given(sagas(children=True))
def test_crashes_at_random_records_change_nothing_that_matters_to_a_family(family: Saga) -> None:
    played(family, crash_after=family.crash_after, crash_before=family.crash_before).make_good()


@settings(PROFILE, max_examples=PROFILE.max_examples // 10)
@given(sagas(crashes=False, children=True))
def test_a_crash_after_or_over_each_single_record_of_a_family_is_survived(family: Saga) -> None:
    for number in range(1, len(played(family).records) + 1):
        played(family, crash_after=(number,))
        played(family, crash_before=(number,))


@settings(PROFILE, max_examples=PROFILE.max_examples // 4)
@given(sagas(crashes=False, children=True))
def test_crashes_after_all_records_of_a_family_are_survived(family: Saga) -> None:
    played(family, crash_after=tuple(range(1, 60))).make_good()


@settings(PROFILE, max_examples=PROFILE.max_examples // 4)
@given(sagas(crashes=False, children=True))
def test_after_a_crash_at_any_record_a_family_ends_once_services_answer(family: Saga) -> None:
    records = len(played(family).records)
    for number in range(1, records + 1) if SOAK else {1, records // 3 + 1, records // 2 + 1, records}:
        kin = Kin(family, crash_after=(number,))
        while not kin.crashes and kin.step():
            pass
        kin.services.heal()  # type: ignore[attr-defined]
        kin.finish()
        kin.check()


SEEDS = range(40 if not SOAK else 3_000)
"""What Hypothesis finds plain enough to try first is small; these are as large as they come."""


@pytest.mark.parametrize("children", [False, True])
def test_large_sagas_by_seed_end_and_can_be_made_good(children: bool) -> None:
    for seed in SEEDS:
        family = drawn(seed, crashes=seed % 2 == 0, children=children)
        played(family, crash_after=family.crash_after, crash_before=family.crash_before).make_good()


@pytest.mark.parametrize(
    ("seed", "crashes"),
    [
        (544, True),  # A child that a person undid before its parent's turn came: the parent waited for ever.
        (1317, False),  # Likewise, by `retry` of a child that had ended compensation_failed.
    ],
)
def test_families_that_once_went_wrong(seed: int, crashes: bool) -> None:
    family = drawn(seed, crashes=crashes)

    played(family, crash_after=family.crash_after, crash_before=family.crash_before).make_good()


KINDS = {
    "call", "parallel", "sequential", "if", "switch", "foreach", "repeat", "wait", "signal", "workflow", "try",
    "set", "fail", "pivot", "retriable", "read_only", "detached",
}  # fmt: skip
TOP_LEVEL_ONLY = {"pivot"}
DEEP = 4


def test_the_generator_draws_every_kind_nested_at_least_four_deep_and_news_of_all_kinds() -> None:
    found: Counter[tuple[str, bool]] = Counter()
    deeds: Counter[str] = Counter()
    nesting = 0
    for seed in range(1_500):
        family = drawn(seed)
        deeds.update(each.deed for each in family.news)
        nesting = max(nesting, len(family.workflows))
        for tree in (family.tree, *family.workflows):
            for step in tree["steps"]:
                _count(step, 1, found)

    assert {kind for kind, _ in found} == KINDS
    assert {kind for kind, deep in found if deep} >= KINDS - TOP_LEVEL_ONLY
    assert {"cancel", "suspend", "resume", "go", "stop", "crash", "compensate", "retry", "resolve"} <= set(deeds)
    assert nesting >= 4


def _count(step: dict[str, Any], depth: int, found: Counter[tuple[str, bool]]) -> None:
    for kind in KINDS & step.keys():
        found[kind, depth >= DEEP] += 1
    for value in step.values():
        for inner in value if isinstance(value, list) else []:
            if isinstance(inner, dict) and "id" in inner:
                _count(inner, depth + 1, found)
            elif isinstance(inner, dict):
                for each in inner.get("steps", []):
                    _count(each, depth + 1, found)
