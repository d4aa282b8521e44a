"""Plays of reruns: a saga that has failed goes on from a step, beside the services that it has called before."""

from __future__ import annotations

from typing import Any

from playing import Play, Tree

from makegood.core.decide import rerun
from makegood.core.evolve import fold
from makegood.core.judgement import Moment
from makegood.core.program import Program, compile_program
from makegood.core.rerunning import Rerun
from makegood.language import load_tree
from makegood.simulation.world import World


def version(tree: Tree, number: int) -> Program:
    return compile_program(load_tree(tree).definition, number)


def go_on(old: World, step: str, *, program: Program | None = None, name: str = "again", **made: Any) -> World:
    """The world of the execution that goes on in the place of one that has failed; the old one gets its last record."""
    program = program or old.program
    request, moment = Rerun(step, "ada", "mended"), Moment(old.now_ms + 1)
    state, first, last = rerun(old.state, program, name, request, moment, old.settings)
    old.journal.append(last)
    assert fold(old.program, old.journal).same_as(old.state)
    assert fold(program, [first]).same_as(state)
    make = made.pop("make", lambda **given: World(program, None, old.services, **given))
    world: World = make(journal=[first], settings=old.settings, **made)
    return world


def rerun_play(played: Play, step: str, tree: Tree | None = None, **made: Any) -> Play:
    """Play it to its rest, with services that are well from now on."""
    played.heal()
    program = None if tree is None else version(tree, 2)
    world = go_on(played.world, step, program=program, **made)
    played.world.services.calls.clear()
    world.play()
    assert fold(world.program, world.journal).same_as(world.state)
    return Play(world)
