"""The circuit of one endpoint: when it opens, for how long, and that one probe decides."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makegood.core.outcome import Reply
from makegood.services.circuit import POLICY, Circuit, speaks_well


def tripped(at_s: float = 0.0, chance: float = 0.5) -> Circuit:
    """A circuit that 20 sick calls have opened."""
    circuit = Circuit()
    for _ in range(20):
        circuit.sick(at_s, circuit.call(), chance)
    assert circuit.state == "open"
    return circuit


def test_it_opens_at_half_of_twenty_calls_and_not_before() -> None:
    circuit = Circuit()
    for _ in range(10):
        circuit.well(0, circuit.call())
    opened = [circuit.sick(1, circuit.call(), 0.5) for _ in range(10)]

    assert opened == [False] * 9 + [True]


def test_calls_that_are_thirty_seconds_old_count_no_more() -> None:
    circuit = Circuit()
    for _ in range(19):
        circuit.sick(0, circuit.call(), 0.5)

    assert not circuit.sick(30, circuit.call(), 0.5)
    assert circuit.state == "closed"


def test_many_calls_that_were_well_do_not_hide_twenty_sick_ones_in_a_row() -> None:
    circuit = Circuit()
    for _ in range(1000):
        circuit.well(0, circuit.call())
    opened = [circuit.sick(1, circuit.call(), 0.5) for _ in range(20)]

    assert opened == [False] * 19 + [True]


def test_one_probe_closes_it() -> None:
    circuit = tripped()
    assert not circuit.may_call(0.99)
    assert circuit.may_call(1.0)

    term = circuit.call()

    assert (circuit.state, circuit.may_call(100)) == ("half_open", False)
    assert circuit.well(1.5, term)
    assert (circuit.state, circuit.may_call(1.5)) == ("closed", True)


def test_a_failed_probe_doubles_the_rest_up_to_its_bound() -> None:
    circuit = tripped()
    rests = []
    for _ in range(6):
        now_s = circuit.probe_s
        circuit.sick(now_s, circuit.call(), 0.5)
        rests.append(circuit.probe_s - now_s)

    assert rests == pytest.approx([2, 4, 8, 15, 15, 15])


def test_a_probe_that_was_never_made_lets_another_one_go() -> None:
    circuit = tripped()
    term = circuit.call() if circuit.may_call(2) else -1

    assert circuit.give_back(term)
    assert circuit.may_call(2)
    assert not circuit.give_back(term)


def test_a_call_from_before_it_opened_decides_nothing() -> None:
    circuit = Circuit()
    slow = circuit.call()
    for _ in range(20):
        circuit.sick(0, circuit.call(), 0.5)
    probe = circuit.call()

    assert not circuit.well(2, slow)
    assert not circuit.sick(2, slow, 0.5)
    assert circuit.state == "half_open"
    assert circuit.well(2, probe)


@pytest.mark.parametrize(
    ("reply", "well"),
    [
        (Reply("ok"), True),
        (Reply("rejected", code="no_rooms", status=409), True),
        (Reply("ongoing", status=202), True),
        (Reply("not_sent", code="http_429", status=429), True),
        (Reply("unknown", code="reply_too_large", status=200), True),
        (Reply("unknown", code="service_error", status=503), False),
        (Reply("unknown", code="invalid_reply", status=200), False),
        (Reply("unknown", code="call_timeout", answered=False), False),
        (Reply("unknown", code="connection_reset", answered=False), False),
    ],
)
def test_what_speaks_of_an_endpoint(reply: Reply, well: bool) -> None:
    assert speaks_well(reply) is well


@dataclass
class Model:
    """The rule of opening, written down plainly: every call with its second."""

    calls: list[tuple[int, bool]] = field(default_factory=list)

    def opens(self, now_s: float) -> bool:
        recent = [sick for second, sick in self.calls if second > int(now_s) - POLICY.window_s]
        return len(recent) >= 20 and (sum(recent) * 2 >= len(recent) or all(recent[-20:]))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["well", "sick", "sick", "sick", "sick", "begin", "end_sick", "end_well", "give_back"]),
        st.floats(0, 2),
    ),
    max_size=200,
)


@given(STEPS)
def test_whatever_happens_one_probe_at_a_time_decides(steps: list[tuple[str, float]]) -> None:  # noqa: C901 - a model
    circuit, model, now_s = Circuit(), Model(), 0.0
    under_way: list[int] = []
    probes: set[int] = set()

    def end(term: int, *, sick: bool) -> None:
        before, counted = circuit.state, term == circuit.term
        if sick:
            circuit.sick(now_s, term, 0.5)
        else:
            circuit.well(now_s, term)
        if not counted:
            assert circuit.state == before
        elif before == "half_open":
            assert term in probes
            assert circuit.state == ("open" if sick else "closed")
            model.calls.clear()
        else:
            model.calls.append((int(now_s), sick))
            assert circuit.state == ("open" if sick and model.opens(now_s) else "closed")
        if before != "open" and circuit.state == "open":
            rest_s = circuit.probe_s - now_s
            assert POLICY.rest_s_min * 0.8 <= rest_s <= POLICY.rest_s_max * 1.2
            model.calls.clear()
        probes.discard(term)

    for step, pause_s in steps:
        now_s += pause_s
        if step in ("well", "sick", "begin"):
            if not circuit.may_call(now_s):
                assert circuit.state != "closed"
                assert circuit.state == "half_open" or now_s < circuit.probe_s
                continue
            closed = circuit.state == "closed"
            term = circuit.call()
            if not closed:
                assert not probes & {circuit.term}
                probes.add(term)
                assert not circuit.may_call(now_s + 1000)
            if step == "begin":
                under_way.append(term)
            else:
                end(term, sick=step == "sick")
        elif under_way:
            term = under_way.pop(0)
            if step == "give_back":
                assert circuit.give_back(term) is (term in probes and term == circuit.term)
                probes.discard(term)
            else:
                end(term, sick=step == "end_sick")


@given(st.floats(0, 1, exclude_max=True))
def test_the_rest_is_jittered_by_a_fifth(chance: float) -> None:
    assert 0.8 <= tripped(chance=chance).probe_s <= 1.2
