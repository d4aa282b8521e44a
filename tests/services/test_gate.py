"""Who may begin a call now, and when those who may not are told to ask again; on a clock that the test moves."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from makegood.ports import Slot
from makegood.services import Registry, ServiceConfig
from makegood.services.pool import Pool

URL = "http://a:1"


class Handle:
    """A timer that can be called off."""

    def __init__(self) -> None:
        self.off = False

    def cancel(self) -> None:
        self.off = True


class World:
    """A clock and its timers, and a registry with one service in which `want` calls are wanted."""

    def __init__(self, config: ServiceConfig) -> None:
        self.now_s = 1000.0
        self._timers: list[tuple[float, int, Handle, Callable[[], None]]] = []
        self._order = itertools.count()
        self.rung = 0
        self.want = 0
        self.began: list[float] = []
        self.told: list[Slot] = []
        self.registry = Registry(lambda: int(self.now_s * 1000), ticks_s=lambda: self.now_s, later=self.later)
        self.registry.on_free = lambda _: self.ask()
        self.registry.register("svc", config)

    @property
    def pool(self) -> Pool:
        return self.registry.pool("svc")

    def later(self, wait_s: float, call: Callable[[], None]) -> Handle:
        handle = Handle()
        heapq.heappush(self._timers, (self.now_s + wait_s, next(self._order), handle, call))
        return handle

    def timers(self) -> int:
        return sum(not handle.off for _, _, handle, _ in self._timers)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until_s = self.now_s + seconds
        while self._timers and self._timers[0][0] <= until_s:
            self.now_s, _, handle, call = heapq.heappop(self._timers)
            if not handle.off:
                self.rung += 1
                call()
        self.now_s = until_s

    def ask(self) -> None:
        """Begin what is wanted, as far as that is allowed."""
        while self.want:
            slot = self.registry.reserve("svc")
            self.told.append(slot)
            if slot is not Slot.GRANTED:
                return
            self.want -= 1
            self.began.append(self.now_s)

    def end(self, *, well: bool = True) -> str | None:
        """The call that began first ends."""
        gate = self.registry._gates["svc"]
        with self.pool.visit() as visit:
            url = visit.go()
            if url is not None:
                if well:
                    visit.answered()
                else:
                    visit.failed("HTTP 503", sent=True)
        gate.leave()
        return url


def world(**settings: object) -> World:
    return World(ServiceConfig(**({"name": "svc", "urls": (URL,)} | settings)))  # type: ignore[arg-type]


def test_a_rate_lets_calls_begin_evenly_with_one_timer() -> None:
    at = world(rate=10.0, max_concurrent=1000)
    at.want = 100
    at.ask()
    assert at.timers() == 1

    at.run(9.9)

    assert at.want == 0
    assert at.began[-1] - at.began[0] == pytest.approx(9.8, abs=0.01)
    assert at.rung <= 100


def test_a_fast_rate_rings_no_more_than_its_shortest_timer_allows() -> None:
    at = world(rate=10_000.0, max_concurrent=100_000)
    at.want = 50_000
    at.ask()

    at.run(5.1)

    assert at.want == 0
    assert at.rung <= 2600


def test_who_comes_anew_does_not_take_what_comes_due_for_those_who_wait() -> None:
    at = world(rate=1.0, max_concurrent=10)
    at.want = 3
    at.ask()
    # Due, and the timer has not rung yet.
    at.now_s += 1

    assert at.registry.reserve("svc") is Slot.BUSY

    at.run(0)
    assert at.want == 1


def test_a_place_given_back_counts_for_nothing() -> None:
    at = world(rate=1.0, max_concurrent=10)
    assert at.registry.reserve("svc") is Slot.GRANTED
    at.registry.release("svc")

    assert at.registry.reserve("svc") is Slot.GRANTED
    assert at.registry.reserve("svc") is Slot.BUSY


def test_limits_are_divided_by_the_processes_that_share_them() -> None:
    at = world(rate=40.0, max_concurrent=10)
    at.registry.set_share(4)
    at.want = 100
    at.ask()
    assert len(at.began) == 2
    for _ in range(98):
        at.end()
        at.run(0.1)
    assert at.began[-1] - at.began[0] == pytest.approx(9.8, abs=0.3)

    at.registry.set_share(40)
    while at.registry.in_flight("svc"):
        at.end()
    at.run(5)

    assert [at.registry.reserve("svc") for _ in range(2)] == [Slot.GRANTED, Slot.BUSY]


def test_more_of_a_share_lets_those_who_wait_go_at_once() -> None:
    at = world(max_concurrent=4)
    at.registry.set_share(4)
    at.want = 3
    at.ask()
    assert len(at.began) == 1

    at.registry.set_share(1)

    assert len(at.began) == 3


def test_a_service_that_is_put_anew_keeps_its_endpoints_state_and_its_rate() -> None:
    at = world(rate=1.0, max_concurrent=10)
    at.pool.heard(URL, False, "refused", 1)
    assert at.registry.reserve("svc") is Slot.UNWELL

    at.registry.register("svc", ServiceConfig(name="svc", urls=(URL,), rate=1.0, headers={"X-Team": "red"}))

    assert at.registry.reserve("svc") is Slot.UNWELL
    at.pool.heard(URL, True, "", 2)
    assert at.registry.reserve("svc") is Slot.GRANTED
    assert at.registry.reserve("svc") is Slot.BUSY


def test_who_waits_is_told_when_a_health_check_finds_one_well() -> None:
    at = world()
    at.pool.heard(URL, False, "refused", 1)
    at.want = 1
    at.ask()
    at.run(1000)
    assert (at.told, at.timers()) == ([Slot.UNWELL], 0)

    at.pool.heard(URL, True, "", 2)

    assert at.want == 0


def test_who_waits_is_told_when_an_endpoint_is_added() -> None:
    at = world()
    at.pool.heard(URL, False, "refused", 1)
    at.want = 1
    at.ask()

    at.registry.register("svc", ServiceConfig(name="svc", urls=(URL, "http://b:1")))

    assert at.want == 0


def fail_all(at: World) -> None:
    """Calls fail until the circuit is open."""
    at.want = 20
    at.ask()
    while at.registry.in_flight("svc"):
        at.end(well=False)
    at.want = 1
    at.ask()
    assert at.told[-1] is Slot.UNWELL


def test_while_a_circuit_is_open_one_call_at_a_time_probes_and_one_timer_waits() -> None:
    at = world()
    fail_all(at)
    at.want = 50
    began = len(at.began)
    for _ in range(4):
        assert at.timers() == 1
        at.run(20)
        began += 1
        assert (len(at.began), at.told[-1], at.registry.in_flight("svc")) == (began, Slot.UNWELL, 1)
        at.end(well=False)

    at.run(20)
    at.end()
    at.run(60)

    assert at.want == 0


def test_after_an_outage_what_waits_goes_with_at_most_twice_the_usual_rate() -> None:
    at = world(max_concurrent=1000)
    rate = 50

    def pass_by(seconds: float, *, well: bool) -> None:
        """Calls come at the usual rate, and each ends within 10 ms."""
        for turn in range(int(seconds * 100)):
            at.want += turn % 2
            at.ask()
            at.run(0.01)
            while at.registry.in_flight("svc"):
                at.end(well=well)

    pass_by(12, well=True)
    pass_by(60, well=False)
    waiting, began = at.want, len(at.began)
    assert waiting > 55 * rate
    returned_s = at.now_s
    pass_by(200, well=True)

    assert at.want <= 1
    later = at.began[began:]
    assert len(later) >= waiting + 199 * rate
    for first, from_s in enumerate(later):
        assert sum(1 for each in later[first : first + 3 * rate] if each < from_s + 1) <= 2 * rate
    assert at.began[began] - returned_s < 20


def test_a_closed_registry_leaves_no_timer() -> None:
    at = world(rate=1.0)
    at.want = 5
    at.ask()
    assert at.timers() == 1

    at.registry.unregister("svc")
    assert at.told[-1] is Slot.MISSING


def test_a_service_that_becomes_local_holds_no_endpoint() -> None:
    at = world()
    assert at.registry.reserve("svc") is Slot.GRANTED
    pool = at.pool
    at.registry.register("svc", {"do": print})
    at.registry.release("svc")

    at.registry.register("svc", ServiceConfig(name="svc", urls=(URL,)))

    assert at.pool is pool
    assert [each.in_flight for each in pool.standing()] == [0]


HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(
            ["want", "want", "end", "end", "fail", "fail", "release", "sick", "healthy", "share", "put", "pass"]
        ),
        st.integers(1, 25),
    ),
    max_size=80,
)


@settings(max_examples=200)
@given(HAPPENINGS, st.sampled_from([None, 0.5, 50.0]))
def test_whatever_happens_nobody_waits_for_ever(happenings: list[tuple[str, int]], rate: float | None) -> None:
    at = world(rate=rate, max_concurrent=7)
    heard_ms = 0
    for what, count in happenings:
        match what:
            case "want":
                at.want += count
                at.ask()
            case "end" | "fail":
                for _ in range(min(count, at.registry.in_flight("svc"))):
                    at.end(well=what == "end")
            case "release" if at.registry.in_flight("svc"):
                at.registry.release("svc")
                at.want += 1
                at.ask()
            case "sick" | "healthy":
                heard_ms += 1
                at.pool.heard(URL, what == "healthy", "refused", heard_ms)
            case "share":
                at.registry.set_share(count)
            case "put":
                config = ServiceConfig(name="svc", urls=(URL,), rate=rate, max_concurrent=count)
                at.registry.register("svc", config)
            case _:
                at.run(count / 10)
        assert at.timers() <= 1

    at.registry.set_share(1)
    at.pool.heard(URL, True, "", heard_ms + 1)
    for _ in range(5000):
        while at.registry.in_flight("svc"):
            at.end()
        if not at.want:
            break
        at.run(2)

    assert (at.want, at.registry.in_flight("svc")) == (0, 0)
    assert [each.in_flight for each in at.pool.standing()] == [0]


def test_who_stands_in_the_line_of_a_rate_hears_that_the_service_has_fallen_ill() -> None:
    at = world(rate=1.0)
    at.want = 5
    at.ask()
    at.run(2)
    at.end()
    at.pool.heard(URL, False, "refused", 1)

    assert at.told[-1] is Slot.UNWELL
    assert at.want > 0
