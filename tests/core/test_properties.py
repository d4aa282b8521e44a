"""I1 to I8 over random sagas, services, news and crashes. `MAKEGOOD_SOAK=1` plays many more of them."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from rerunning import go_on, version
from trees import Saga, sagas
from watched import Fates, Watched, arrange, check_end

from makegood.core import inputs
from makegood.core.evolve import evolve, fold
from makegood.core.rerunning import Rerun, place_of_rerun
from makegood.core.state import Key, State
from makegood.core.transitions import execution_allowed, place_of, step_allowed
from makegood.core.undoing import calling_execution
from makegood.errors import NotFound, Refused
from makegood.model import Call

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


# --- reruns ----------------------------------------------------------------------------------------


def rerun_once(data: st.DataObject, old: Watched, number: int) -> Watched | None:
    """The execution that goes on in the place of one that failed, from a lawful step, under a version that undoes.

    Every step that is not lawful is refused, and changes nothing. None: there is no lawful one.
    """
    tree = {**old.saga.tree, "error_handling": data.draw(st.sampled_from(["compensation", "fail_fast"]))}
    program, names = version(tree, number + 1), []
    for node in program.nodes:
        try:
            place_of_rerun(old.state, program, Rerun(node.name))
            names.append(node.name)
        except (Refused, NotFound):
            continue
    assert fold(old.program, old.journal).same_as(old.state), "a refusal changed something"
    if old.state.status != "failed":
        assert not names
    if not names:
        return None
    step = data.draw(st.sampled_from(names))
    applied = dict(old.services.ledger._applied)
    world = go_on(
        old, step, program=program, name=f"again{number}", make=lambda **given: Watched(
            replace(old.saga, tree=tree, news=()), before=old, program=program, services=old.services, **given
        ),
    )  # fmt: skip
    assert isinstance(world, Watched)
    check_first(world)
    kept = {f"{calling_execution(world.state, key)}:{world.state.name(key)}:do" for key in world.state.instances}
    # Nothing remains of what only reads, nor of what a person has declared failed.
    passing = old.person | {key for key in old.state.instances if _only_reads(old.state, key)}
    gone = {f"{calling_execution(old.state, key)}:{old.state.name(key)}:do" for key in passing}
    assert applied.keys() - gone <= kept, "an effect is left to an execution that is superseded"
    return world


def _only_reads(state: State, key: Key) -> bool:
    step = state.node(key).step
    return isinstance(step, Call) and step.read_only


def check_first(world: Watched) -> None:
    """The record that takes over keeps to the tables like every other."""
    shadow, seen = State(world.program), {}
    first = world.journal[0]
    for each_event in first.events:
        place = place_of(shadow)
        evolve(shadow, each_event, first.at_ms)
        assert execution_allowed(place, type(each_event), place_of(shadow))
        for key, each in shadow.instances.items():
            now = SimpleNamespace(forward=each.forward, compensation=each.compensation)
            if seen.get(key) != now:
                assert step_allowed(seen.get(key), type(each_event), each), (shadow.name(key), each_event)
                seen[key] = now


def reruns(saga: Saga, data: st.DataObject, *, crash_after: int = 0, crash_before: int = 0) -> int:
    """Play it, and rerun it for as long as it fails and some step is lawful; how often that was."""
    world = played(replace(saga, tree={**saga.tree, "error_handling": "fail_fast"}))
    for number in range(1, 4):
        going_on = rerun_once(data, world, number)
        if going_on is None:
            return number - 1
        assert isinstance(world.services, Fates)
        if number == 3:
            world.services.heal()
        world = going_on
        world._crash_after, world._crash_before = {crash_after}, {crash_before}
        if data.draw(st.booleans()):
            world.tell_in_time(world.now_ms + data.draw(st.sampled_from([0, 20, 400])), lambda _: inputs.Cancel())
        world.finish()
        check_end(world)
        twice = [key for key, count in Counter(_undone_keys(world)).items() if count > 1]
        assert not twice, f"I5: {twice}"
    return 3


def _undone_keys(world: Watched) -> list[str]:
    """The undos that were answered `ok`, by key, of all executions before it too."""
    return [each.key for each in {id(each): each for each, _ in world.requests if each.undo and each.reply == "ok"
                                  and each.answered_at_ms is not None and not each.lost}.values()]  # fmt: skip


@settings(PROFILE, max_examples=PROFILE.max_examples * 2)
@given(sagas(crashes=False), st.data())
def test_reruns_from_lawful_steps_keep_the_invariants_across_the_executions(saga: Saga, data: st.DataObject) -> None:
    event(f"{reruns(saga, data)} reruns")


@settings(PROFILE)
@given(sagas(crashes=False), st.data())
def test_reruns_survive_a_crash_after_or_over_any_record(saga: Saga, data: st.DataObject) -> None:
    reruns(saga, data, crash_after=data.draw(st.integers(2, 30)), crash_before=data.draw(st.integers(2, 30)))
