"""I1 to I8 over random sagas, services, news and crashes. `MAKEGOOD_SOAK=1` plays many more of them."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees import Saga, sagas
from watched import Fates, Watched, arrange, check_end

from makegood.core import inputs

SOAK = bool(os.environ.get("MAKEGOOD_SOAK"))
settings.register_profile(
    "default", max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None
)
settings.register_profile(
    "soak",
    max_examples=int(os.environ.get("MAKEGOOD_SOAK_EXAMPLES", "5000")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
    database=None,
)
PROFILE = settings.get_profile("soak" if SOAK else "default")


def played(saga: Saga, *, crash_after: tuple[int, ...] = (), crash_before: tuple[int, ...] = ()) -> Watched:
    """A saga from its start to the end of everything, under watch."""
    world = Watched(saga, crash_after=crash_after, crash_before=crash_before)
    arrange(world, saga.news)
    world.finish()
    check_end(world)
    return world


def made_good(world: Watched) -> None:
    """What an operator can do at the end brings it to `compensated`, once services are well."""
    assert isinstance(world.services, Fates)
    world.services.heal()
    for _ in range(3):
        news = {"failed": inputs.Compensate(), "compensation_failed": inputs.Retry()}.get(world.state.status)
        if news is None:
            break
        world.tell_in_time(world.now_ms, lambda _, news=news: news)
        world.finish()
        check_end(world)
    assert world.state.status in {"completed", "compensated"}


@settings(PROFILE)
@given(sagas(crashes=False))
def test_every_schedule_ends_and_keeps_the_invariants(saga: Saga) -> None:
    made_good(played(saga))


@settings(PROFILE)
@given(sagas())
def test_crashes_at_random_records_change_nothing_that_matters(saga: Saga) -> None:
    made_good(played(saga, crash_after=saga.crash_after, crash_before=saga.crash_before))


@settings(PROFILE, max_examples=PROFILE.max_examples // 10)
@given(sagas(crashes=False))
def test_a_crash_after_or_over_each_single_record_is_survived(saga: Saga) -> None:
    records = len(played(saga).journal)
    for number in range(1, records + 1):
        played(saga, crash_after=(number,))
        played(saga, crash_before=(number + 1,))


@settings(PROFILE, max_examples=PROFILE.max_examples // 4)
@given(sagas(crashes=False))
def test_crashes_after_all_records_are_survived(saga: Saga) -> None:
    played(saga, crash_after=tuple(range(1, 40)))


@settings(PROFILE, max_examples=PROFILE.max_examples // 3)
@given(sagas(), st.data())
def test_from_every_prefix_it_ends_once_services_answer(saga: Saga, data: st.DataObject) -> None:
    journal = played(saga, crash_after=saga.crash_after).journal
    numbers = range(1, len(journal) + 1) if SOAK else [data.draw(st.integers(1, len(journal)))]
    for number in numbers:
        world = Watched(saga, services=Fates({}), journal=journal[:number])
        world.finish()
        assert world.state.ended, f"I6: it does not end from record {number}"
