"""What an expression sees: the values of steps, items and inputs at one place and iteration.

Reads the state and nothing else.
"""

from __future__ import annotations

from typing import Any, Final

from makegood.core.events import Failure, Iteration
from makegood.core.formula import Formula
from makegood.core.program import Kind, Node
from makegood.core.state import Instance, State
from makegood.expression import Timestamp


class _Missing:
    """The value of a step that has none (yet)."""


MISSING: Final = _Missing()


def bindings(
    state: State, formula: Formula, iteration: Iteration, extra: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The names that a formula reads, with their values. Outputs are shared, never copied."""
    found: dict[str, Any] = {}
    if formula.steps:
        here = _loops_seen(state, formula)
        steps: dict[str, Any] = {}
        for name, target in formula.steps:
            value = step_value(state, target, here, iteration)
            if value is not MISSING:
                steps[name] = value
        found["steps"] = steps
    roots = formula.roots
    if roots:
        if "input" in roots:
            found["input"] = state.input
        if "execution" in roots:
            found["execution"] = execution_facts(state)
        if "steps" in roots:
            found.setdefault("steps", {})
    for name, loop, is_index in formula.items:
        found[name] = loop_value(state, loop, iteration, is_index)
    for name, scope in formula.errors:
        found[name] = _caught(state, scope, iteration)
    if extra:
        found.update(extra)
    return found


def step_value(state: State, target: int, here: tuple[int, ...], iteration: Iteration) -> Any:
    """A step's output as seen from inside the given loops; a list over the loops it is in alone."""
    loops = state.program.nodes[target].loops
    common = 0
    for seen, around in zip(here, loops, strict=False):
        if seen != around:
            break
        common += 1
    return _value(state, target, loops, iteration[:common])


def _value(state: State, target: int, loops: tuple[int, ...], iteration: Iteration) -> Any:
    if len(iteration) == len(loops):
        instance = state.instances.get((target, iteration))
        if instance is None or instance.forward not in _HAS_VALUE:
            return MISSING
        return instance.output
    loop = state.instances.get((loops[len(iteration)], iteration))
    if loop is None:
        return MISSING
    if state.program.nodes[loop.node].kind is Kind.REPEAT:
        return _value(state, target, loops, (*iteration, loop.started - 1)) if loop.started else MISSING
    settled = loop.forward == "succeeded"
    if settled and (target, iteration) in state.lists:
        return state.lists[(target, iteration)]
    found = [_value(state, target, loops, (*iteration, number)) for number in range(loop.started)]
    values = [None if value is MISSING else value for value in found]
    if settled:
        state.lists[(target, iteration)] = values
    return values


_HAS_VALUE = frozenset({"succeeded", "skipped"})


def loop_value(state: State, loop: int, iteration: Iteration, is_index: bool) -> Any:
    """The item, or its index, of one loop around an iteration."""
    level = state.program.nodes[loop].depth
    number = iteration[level]
    return number if is_index else state.instances[(loop, iteration[:level])].items[number]


def _loops_seen(state: State, formula: Formula) -> tuple[int, ...]:
    node = state.program.nodes[formula.at]
    return (*node.loops, node.index) if formula.inner else node.loops


def _caught(state: State, scope: int, iteration: Iteration) -> Any:
    node = state.program.nodes[scope]
    caught = state.instances[(scope, iteration[: node.depth])].caught
    assert caught is not None
    return failure_facts(caught)


def failure_facts(failure: Failure) -> dict[str, Any]:
    """A failure as expressions and undo bodies see it."""
    return {
        "code": failure.code,
        "message": failure.message,
        "details": failure.details,
        "step": failure.step,
    }


def execution_facts(state: State) -> dict[str, Any]:
    """`execution` as expressions see it."""
    return {
        "id": state.execution_id,
        "workflow": state.workflow,
        "version": state.version,
        "started_at": Timestamp(state.started_at_ms * 1_000_000),
        "business_key": state.business_key,
    }


def follow(state: State, node: Node, iteration: Iteration, path: tuple[str | int, ...]) -> Any:
    """The value at a path that was journaled as a reference. It was there when it was recorded."""
    root, *rest = path
    value: Any
    if root == "input":
        value = state.input
    elif root == "steps":
        value = step_value(state, state.program.index[str(rest.pop(0))], node.loops, iteration)
    else:
        formula = node.value
        assert formula is not None
        value = bindings(state, formula, iteration)[str(root)]
    for selector in rest:
        value = value[selector]
    return value


def last_output(state: State, owner: Node, iteration: Iteration) -> Any:
    """The output of the last step of a block, or null."""
    if not owner.children:
        return None
    return output_of(state, owner.children[-1], iteration)


def output_of(state: State, index: int, iteration: Iteration) -> Any:
    """The output of one instance, or null."""
    instance = state.instances.get((index, iteration))
    return None if instance is None else instance.output


def folded_output(state: State, node: Node, instance: Instance) -> Any:
    """The output of a step that has steps inside, from theirs."""
    nodes, iteration = state.program.nodes, instance.iteration
    match node.kind:
        case Kind.SEQUENTIAL:
            return {"sequential_results": [output_of(state, each, iteration) for each in node.children]}
        case Kind.PARALLEL:
            return {"parallel_results": [output_of(state, each, iteration) for each in node.children]}
        case Kind.IF | Kind.SWITCH | Kind.TRY:
            branch = instance.branch or 0
            return last_output(state, nodes[node.children[branch]], iteration) if branch >= 0 else None
        case Kind.FOREACH:
            body = nodes[node.children[0]]
            return [last_output(state, body, (*iteration, number)) for number in range(instance.started)]
        case Kind.REPEAT:
            body = nodes[node.children[0]]
            return last_output(state, body, (*iteration, instance.started - 1)) if instance.started else None
        case _:
            return None
