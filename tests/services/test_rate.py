"""A rate is kept exactly, and the way back after an outage never goes beyond what was usual by more than half."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makegood.services.rate import BURST_S, QUIET_S, RAMP_OVER, Bucket, Ramp, Usual

RATES = st.floats(0.05, 5000)


@given(RATES, st.lists(st.tuples(st.floats(0, 2), st.integers(1, 40)), min_size=1, max_size=60))
def test_no_time_sees_more_calls_than_the_rate_allows(rate: float, asks: list[tuple[float, int]]) -> None:
    bucket, now_s, granted = Bucket(rate), 50.0, []
    for pause_s, wanted in asks:
        now_s += pause_s
        for _ in range(wanted):
            if bucket.wait_s(now_s) == 0:
                bucket.take(now_s)
                granted.append(now_s)

    for first, from_s in enumerate(granted):
        for last in range(first, len(granted)):
            span_s = granted[last] - from_s
            assert last - first + 1 <= rate * (span_s + BURST_S) + 1 + 1e-6 * rate


@given(RATES, st.integers(2, 60))
def test_who_waits_as_told_gets_the_whole_rate(rate: float, calls: int) -> None:
    bucket, now_s = Bucket(rate), 1000.0
    for _ in range(calls):
        now_s += bucket.wait_s(now_s)
        assert bucket.wait_s(now_s) <= 1e-9 * now_s
        bucket.take(now_s)

    assert now_s - 1000.0 <= (calls - 1) / rate + 1e-6


def test_what_is_given_back_can_be_taken_again() -> None:
    bucket = Bucket(1.0)
    bucket.take(10.0)
    assert bucket.wait_s(10.0) == pytest.approx(1 - BURST_S)

    bucket.give_back()

    assert bucket.wait_s(10.0) == 0


def test_another_rate_keeps_what_is_owed_in_calls() -> None:
    bucket = Bucket(1.0, burst_s=0)
    bucket.take(10.0)
    bucket.change(10.0, 10.0)

    assert bucket.wait_s(10.0) == pytest.approx(0.1)


def test_usual_is_the_median_of_seconds_that_had_calls() -> None:
    usual = Usual()
    assert usual.rate() is None
    for second, calls in enumerate([5, 5, 5, 90, 5, 0, 5]):
        for _ in range(calls):
            usual.began(second + 0.5)
        if second == 0:
            assert usual.rate() is None

    assert usual.rate() == 5


def drained(ramp: Ramp, waiting: int, arriving: int, now_s: float) -> list[float]:
    """When calls begin while so many wait and so many come each second, asked every 2 ms; until nobody waits."""
    began, owed = [], float(waiting)
    while owed >= 1:
        now_s += 0.002
        owed += arriving * 0.002
        while owed >= 1 and ramp.wait_s(now_s) == 0:
            ramp.take(now_s)
            owed -= 1
            began.append(now_s)
        assert now_s < 10_000
    return began


@pytest.mark.parametrize("usual", [4, 50, 400])
def test_everything_that_waited_goes_with_at_most_twice_the_usual_rate(usual: int) -> None:
    began = drained(Ramp(usual, 100.0), waiting=usual * 20, arriving=usual, now_s=100.0)

    for at, from_s in enumerate(began):
        within = sum(1 for each in began[at : at + 3 * usual] if each < from_s + 1)
        assert within <= 2 * usual
    # At once it is few, and what is left over of the bound is used.
    assert sum(1 for each in began if each < 101) <= usual / 2 + 2
    assert began[-1] - 100 <= usual * 20 / (usual * (RAMP_OVER - 1)) + 10


def test_where_nothing_is_known_it_doubles_until_nobody_waits() -> None:
    began = drained(Ramp(None, 0.0), waiting=10_000, arriving=0, now_s=0.0)

    assert sum(1 for each in began if each < 1) < 25
    assert began[-1] < 12


def test_it_is_over_when_nobody_has_waited_for_a_while() -> None:
    ramp = Ramp(10, 0.0)
    ramp.take(0.0)
    assert ramp.wait_s(0.01) > 0

    assert not ramp.is_over(QUIET_S)
    assert ramp.is_over(0.01 + QUIET_S)
