"""The judge of servers under load finds what it is there to find."""

from __future__ import annotations

import pytest
from loads import CALLS, Fault, percentile, takeovers_s, too_slow, wrongs

DONE = {"g": ("good", "completed"), "b": ("bad", "compensated")}
COUNTS = {"g": 3, "b": 5}
KEYS = [*(f"g:{call}" for call in CALLS["good"]), *(f"b:{call}" for call in CALLS["bad"])]


def test_what_was_done_as_told_is_right_and_so_is_a_call_that_was_made_again_before_the_next_one() -> None:
    assert wrongs(DONE, COUNTS, KEYS) == []
    assert wrongs(DONE, COUNTS | {"g": 4}, ["g:a:do", *KEYS]) == []


@pytest.mark.parametrize(
    ("keys", "ended", "counts", "found"),
    [
        (KEYS[1:], {}, {"g": 2}, "g (good) made the calls"),
        ([*KEYS[:2], "g:a:do", *KEYS[2:]], {}, {"g": 4}, "g repeated a call that was recorded"),
        ([*KEYS, "g:c:do"], {}, {}, "g was called after it had ended"),
        ([*KEYS, "x:a:do"], {}, {}, "x was called, and nobody was told of its end"),
        (KEYS, {"g": ("good", "failed")}, {}, "g (good) ended failed"),
        (KEYS[:-1], {}, {"b": 4}, "b (bad) made the calls"),
        ([*KEYS[:-2], KEYS[-1], KEYS[-2]], {}, {}, "b (bad) made the calls"),
        ([*KEYS, "b:c:do"], {}, {"b": 6}, "b repeated a call that was recorded"),
        (KEYS, {"lost": ("good", "completed")}, {"lost": 0}, "lost (good) made the calls []"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(
    keys: list[str], ended: dict[str, tuple[str, str]], counts: dict[str, int], found: str
) -> None:
    told = wrongs(DONE | ended, COUNTS | counts, keys)
    assert len(told) == 1
    assert found in told[0]


def test_a_takeover_is_counted_from_the_fault_to_the_next_call_that_its_victim_cannot_have_made() -> None:
    victim, other = 1, 2
    faults = [Fault("killed", 10.0, frozenset({victim})), Fault("without database", 20.0, None)]
    arrivals = [
        (9.0, "x:a:do", victim),
        (10.1, "x:b:do", victim),  # It had left before.
        (12.5, "x:b:do", other),
        (9.5, "y:a:do", other),
        (11.0, "y:b:do", other),
        (9.9, "z:c:do", victim),  # Its last one.
        (21.0, "y:c:do", victim),
    ]
    taken_s = takeovers_s(faults, arrivals)
    assert {kind: values for kind, values in taken_s.items() if values} == {"killed": [2.5], "without database": [1.0]}
    assert too_slow(taken_s) == {}
    assert too_slow({"killed": [1.0] * 98 + [6.1] * 2, "sent away": [2.0]}) == {"killed": 6.1}


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(each) for each in range(1, 101)], 0.99) == 99.0
