"""The endpoints of one service: their union, who is called, who is spared, and when one is called again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makegood.errors import ConfigurationError
from makegood.services.choice import may_eject
from makegood.services.endpoint import Endpoint
from makegood.services.pool import ENDPOINTS_MAX, Pool

A, B, C, D = "http://a:1", "http://b:1", "http://c:1", "http://d:1"


class Ticks:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def pool_of(*urls: str, ticks: Ticks | None = None, zone: str | None = None, seed: int = 1) -> Pool:
    """A pool of endpoints from the configuration."""
    ticks = ticks or Ticks()
    pool = Pool("svc", zone=zone, ticks_s=ticks, now_ms=lambda: int(ticks() * 1000), chance=random.Random(seed).random)
    pool.set("config", [Endpoint(url) for url in urls])
    return pool


def call(pool: Pool, ticks: Ticks, sick: Sequence[str] = (), *, sent: bool = True) -> str | None:
    """One call under a reservation; the URL that it ended at, None when none may be called."""
    if not pool.hold(ticks()):
        return None
    with pool.visit() as visit:
        while (url := visit.go()) is not None:
            if url not in sick:
                visit.answered()
                return url
            visit.failed("it refuses", sent=sent)
            if sent:
                return url
    return None


def states(pool: Pool) -> dict[str, str]:
    return {each.url: each.circuit for each in pool.standing()}


def test_the_pool_is_the_union_of_its_sources_and_who_stays_keeps_its_counts() -> None:
    ticks = Ticks()
    pool = pool_of(A, B, ticks=ticks)
    assert pool.hold(ticks())
    held = next(each.url for each in pool.standing() if each.in_flight)

    pool.set("discovery", [Endpoint(B, {"zone": "x"}), Endpoint(C + "/", {"zone": "y"})])
    pool.set("config", [Endpoint(held)])

    assert {each.url: each.source for each in pool.standing()} == {held: "config", B: "discovery", C: "discovery"} | {
        held: "config"
    }
    assert next(each.in_flight for each in pool.standing() if each.url == held) == 1


def test_an_url_that_is_none_changes_nothing() -> None:
    pool = pool_of(A)

    with pytest.raises(ConfigurationError, match="not an http"):
        pool.set("discovery", [Endpoint("ftp://x")])
    with pytest.raises(ConfigurationError, match="at most"):
        pool.set("discovery", [Endpoint(f"http://h{each}") for each in range(ENDPOINTS_MAX + 1)])

    assert pool.endpoints() == (Endpoint(A),)


@pytest.mark.parametrize("labels", [{"a": 1}, {"": "x"}, {"a": "x" * 201}, {str(n): "" for n in range(33)}, ["zone"]])
def test_labels_that_do_not_fit_are_refused(labels: object) -> None:
    with pytest.raises(ConfigurationError, match="label"):
        Endpoint(A, labels)  # type: ignore[arg-type]


def test_two_endpoints_take_turns() -> None:
    ticks = Ticks()
    pool = pool_of(A, B, ticks=ticks)

    assert Counter(call(pool, ticks) for _ in range(10)) == {A: 5, B: 5}


def test_who_has_fewer_calls_in_flight_is_called() -> None:
    ticks = Ticks()
    pool = pool_of(A, B, C, ticks=ticks)
    for _ in range(300):
        pool.hold(ticks())

    in_flight = [each.in_flight for each in pool.standing()]

    assert max(in_flight) - min(in_flight) <= 4


def test_the_own_zone_is_preferred_while_one_is_well_there() -> None:
    ticks = Ticks()
    pool = pool_of(ticks=ticks, zone="x")
    pool.set("config", [Endpoint(A, {"zone": "x"}), Endpoint(B, {"zone": "y"}), Endpoint(C)])
    assert {call(pool, ticks) for _ in range(20)} == {A}

    pool.heard(A, False, "503", 1)
    assert {call(pool, ticks) for _ in range(40)} == {B, C}

    pool.heard(A, True, "", 2)
    assert {call(pool, ticks) for _ in range(20)} == {A}


def test_within_an_attempt_another_zone_is_tried_when_the_own_one_refuses() -> None:
    ticks = Ticks()
    pool = pool_of(ticks=ticks, zone="x")
    pool.set("config", [Endpoint(A, {"zone": "x"}), Endpoint(B, {"zone": "y"})])

    assert call(pool, ticks, [A], sent=False) == B


def test_none_is_called_while_all_are_unhealthy() -> None:
    ticks = Ticks()
    pool = pool_of(A, B, ticks=ticks)
    told: list[bool] = []
    pool.on_change = lambda: told.append(pool.ready(ticks()))
    pool.heard(A, False, "status 500", 5)
    pool.heard(B, False, "refused", 5)
    assert call(pool, ticks) is None
    assert pool.why() == f"{A}: status 500; {B}: refused"

    # A clock that was set back does not make the last verdict an old one.
    pool.heard(B, True, "", 4)

    assert call(pool, ticks) == B
    assert told == [True, False, True]
    assert pool.why() == ""


def test_an_unhealthy_endpoint_is_not_gone_to_within_an_attempt() -> None:
    ticks = Ticks()
    pool = pool_of(A, B, C, ticks=ticks)
    pool.heard(C, False, "refused", 5)

    assert call(pool, ticks, [A, B], sent=False) is None


def test_five_sick_calls_in_a_row_eject_one_of_several() -> None:
    ticks = Ticks()
    pool = pool_of(A, B, ticks=ticks)
    while states(pool)[A] == "closed":
        call(pool, ticks, [A])
    standing = next(each for each in pool.standing() if each.url == A)
    assert (standing.reason, standing.since_ms) == ("it refuses", 100_000)
    assert {call(pool, ticks, [A]) for _ in range(20)} == {B}

    ticks.now_s += 1.3
    assert call(pool, ticks) == A

    assert states(pool) == {A: "closed", B: "closed"}


def test_an_attempt_that_could_not_be_sent_goes_to_one_that_is_well_before_a_probe() -> None:
    ticks = Ticks()
    pool = pool_of(A, B, C, D, ticks=ticks)
    while [*states(pool).values()].count("open") < 2:
        call(pool, ticks, [A, B])
    ticks.now_s += 60

    # The first is the probe of one of the two; the other one waits for a call of its own.
    assert call(pool, ticks, [A, B], sent=False) in (C, D)
    assert Counter(states(pool).values()) == {"closed": 2, "open": 2}
    assert pool.ready(ticks())
    assert call(pool, ticks) in (A, B)


def test_never_the_last_nor_more_than_half_are_ejected() -> None:
    ticks = Ticks()
    pool = pool_of(A, B, C, D, ticks=ticks)
    for _ in range(40):
        call(pool, ticks, [A, B, C, D])

    # The rest opens by the longer rule only.
    assert Counter(states(pool).values())["open"] == 2


@given(st.integers(1, 30), st.data())
def test_ejecting_leaves_at_least_half(total: int, data: st.DataObject) -> None:
    well = data.draw(st.integers(1, total))

    if may_eject(99, well=well, total=total):
        assert well - 1 >= 1
        assert (well - 1) * 2 >= total


def test_the_last_one_opens_by_the_rule_of_twenty_and_closes_by_a_probe() -> None:
    ticks = Ticks()
    pool = pool_of(A, ticks=ticks)
    assert [call(pool, ticks, [A]) for _ in range(20)] == [A] * 20
    assert call(pool, ticks, [A]) is None

    ticks.now_s = pool.probe_s
    assert pool.hold(ticks())
    assert not pool.hold(ticks())
    with pool.visit() as visit:
        assert visit.go() == A
        visit.answered()

    assert call(pool, ticks) == A


def test_a_probe_that_is_not_made_frees_the_next() -> None:
    ticks = Ticks()
    pool = pool_of(A, ticks=ticks)
    for _ in range(20):
        call(pool, ticks, [A])
    ticks.now_s = pool.probe_s
    told: list[bool] = []
    pool.on_change = lambda: told.append(pool.ready(ticks()))

    assert pool.hold(ticks())
    pool.give_back()
    assert pool.hold(ticks())
    with pool.visit():
        pass

    assert told == [True, True]
    assert [each.in_flight for each in pool.standing()] == [0]


def test_what_was_held_at_an_endpoint_that_became_unwell_goes_to_another() -> None:
    ticks = Ticks()
    pool = pool_of(A, B, ticks=ticks)
    pool.hold(ticks())
    held = next(each.url for each in pool.standing() if each.in_flight)
    pool.heard(held, False, "gone", 5)

    with pool.visit() as visit:
        url = visit.go()
        assert url in {A, B} - {held}
        visit.answered()

    assert [each.in_flight for each in pool.standing()] == [0, 0]


def test_what_was_held_at_an_endpoint_that_is_gone_is_not_sent_there() -> None:
    ticks = Ticks()
    pool = pool_of(A, ticks=ticks)
    pool.hold(ticks())
    pool.set("config", [])

    with pool.visit() as visit:
        assert visit.go() is None
    assert pool.why() == "service 'svc' has no endpoint"


def test_latency_is_that_of_the_latest_calls() -> None:
    ticks = Ticks()
    pool = pool_of(A, ticks=ticks)
    assert pool.standing()[0].p50_ms is None
    for took_s in [9.0] * 50 + [0.01] * 128 + [0.02] * 125 + [0.5] * 3:
        pool.hold(ticks())
        with pool.visit() as visit:
            visit.go()
            ticks.now_s += took_s
            visit.answered()

    standing = pool.standing()[0]

    assert [standing.p50_ms, standing.p99_ms] == pytest.approx([10, 500])


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["call", "call", "call", "hold", "visit", "give_back", "heard", "drop", "name", "wait"]),
        st.sampled_from([A, B, C, D]),
        st.booleans(),
    ),
    max_size=120,
)


@given(OPERATIONS, st.integers(0, 99))
def test_whatever_happens_counts_balance_and_the_unhealthy_are_spared(
    operations: list[tuple[str, str, bool]], seed: int
) -> None:
    ticks, named, at_ms, held = Ticks(), {A, B, C}, 0, 0
    pool = pool_of(A, B, C, ticks=ticks, seed=seed)
    healthy = dict.fromkeys(named, True)
    for what, url, yes in operations:
        ticks.now_s += 0.05
        at_ms += 1
        if what == "call" and not held:
            ended = call(pool, ticks, [url] if yes else [])
            assert ended is None or healthy[ended]
        elif what == "hold":
            held += pool.hold(ticks())
        elif what == "give_back" and held:
            pool.give_back()
            held -= 1
        elif what == "visit" and held:
            held -= 1
            with pool.visit() as visit:
                went = visit.go()
                assert went is None or went in named
        elif what == "heard" and url in named:
            pool.heard(url, yes, "said so", at_ms)
            healthy[url] = yes
        elif what == "drop":
            named.discard(url)
            healthy.pop(url, None)
            pool.set("config", [Endpoint(each) for each in sorted(named)])
        elif what == "name":
            named.add(url)
            healthy.setdefault(url, True)
            pool.set("config", [Endpoint(each) for each in sorted(named)])
        elif what == "wait":
            ticks.now_s += 20
        assert sum(each.in_flight for each in pool.standing()) <= held
    for _ in range(held):
        pool.give_back()

    assert all(each.in_flight == 0 for each in pool.standing())
    ticks.now_s += 100
    for url in named:
        pool.heard(url, True, "", at_ms + 1)
    assert (call(pool, ticks) is not None) is bool(named)
