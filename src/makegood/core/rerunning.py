"""Rerun from a step: an execution that failed goes on as a new one, which takes over what was done before the step.

What "before" means is settled here: everything that stands before the step in the definition. That part must be
the same in both versions, so that an instance has the same place in both. The step's own place is a line of
sequences and taken branches from the root, where the order of definition is the order in time.
"""

from __future__ import annotations

from itertools import pairwise

from makegood.core import events as ev
from makegood.core.children import derived_id
from makegood.core.flow import start
from makegood.core.judgement import Judgement
from makegood.core.program import Kind, Node, Program
from makegood.core.state import Instance, State
from makegood.errors import NotFound, Refused, nearest
from makegood.model import Call, ChildWorkflow
from makegood.model.fact import fact

_EFFECTS = frozenset({Kind.CALL, Kind.WORKFLOW})
_PASSABLE = frozenset({Kind.BLOCK, Kind.SEQUENTIAL, Kind.IF, Kind.SWITCH})


@fact
class Rerun:
    """An operator has a failed execution go on from a step, as another execution (point 20 of the protocols).

    Attributes:
        step: Where it begins: a step's id, or the path of a wrapper.
    """

    step: str
    by: str = ""
    note: str = ""


def rerun_id(execution_id: str, version: int, step: str) -> str:
    """The id of the execution that reruns another from a step, under a version: the same request, the same id."""
    return derived_id(f"{execution_id}:rerun:{version}:{step}")


def place_of_rerun(old: State, program: Program, request: Rerun) -> Node:
    """The step to begin at, in the program of the new execution.

    Raises:
        NotFound: There is no such step.
        Refused: The execution cannot be rerun, or not from there; the message says why, and which step is in the way.
    """
    _check_rerunnable(old)
    node = _step_named(program, request.step)
    _check_place(program, node)
    _check_same_before(old.program, program, node)
    _check_settled_before(old, program, node)
    _check_no_effect_behind(old, node)
    return node


# --- what is refused -----------------------------------------------------------------------------


def _check_rerunnable(old: State) -> None:
    if old.superseded_by is not None:
        raise Refused(
            f"execution {old.execution_id} was rerun already, as {old.superseded_by}; look at that one",
            code="superseded",
            status=old.status,
        )
    if old.status != "failed":
        raise not_failed(old.execution_id, old.status)
    if old.parent is not None and old.root != old.execution_id:
        raise _refused(
            old,
            f"it was called by execution {old.parent}, which has its outcome already; rerun that one",
            code="rerun_child",
        )


def _step_named(program: Program, name: str) -> Node:
    plain, _, iteration = name.partition("[")
    index = program.index.get(plain)
    node = None if index is None else program.nodes[index]
    if node is None or node.kind is Kind.BLOCK or (iteration and not node.depth):
        known = [each.name for each in program.nodes if each.kind is not Kind.BLOCK]
        workflow = f"workflow {program.definition.name!r} version {program.version}"
        raise NotFound(f"{workflow} has no step {name!r}.{nearest(name, known)}")
    return node


_WHY_NOT = {
    Kind.PARALLEL: "its branches run side by side, so that nothing in one is before or behind what is in another",
    Kind.FOREACH: "its iterations run side by side, so that nothing in one is before or behind what is in another",
    Kind.REPEAT: "its rounds follow from one another from the first one on",
    Kind.TRY: "what its parts did is undone, or handled, as one",
}


def _check_place(program: Program, node: Node) -> None:
    for index in program.around(node.index):
        around = program.nodes[index]
        if around.kind not in _PASSABLE:
            raise Refused(
                f"step {node.name!r} is inside the {around.kind.value} {around.name!r}: {_WHY_NOT[around.kind]}. "
                f"Rerun from {around.name!r}, or from a step around it.",
                code="rerun_place",
                status="failed",
            )


def _check_same_before(was: Program, now: Program, node: Node) -> None:
    """What stands before the step must be the same in both versions, node by node."""
    if was is now:
        return
    for index in range(node.index):
        here = now.nodes[index]
        there = was.nodes[index] if index < len(was.nodes) else None
        if there is not None and _nature(there) == _nature(here):
            continue
        told = "has nothing there" if there is None else f"has {_told(there)} there"
        raise _differs(was, now, node, f"version {now.version} has {_told(here)}, and version {was.version} {told}")
    if node.index < len(was.nodes):
        more = was.nodes[node.index]
        if more.parent not in now.around(node.index):
            around = was.nodes[more.parent]
            told = f"{_told(more)} in {around.name!r}, and version {now.version} has it not"
            raise _differs(was, now, node, f"version {was.version} has {told}")


def _differs(was: Program, now: Program, node: Node, how: str) -> Refused:
    return Refused(
        f"up to {node.name!r} version {now.version} is not the same as version {was.version}, which ran: {how}. "
        "Use a version in which nothing before that step is changed, or rerun from a step before the difference.",
        code="rerun_version",
        status="failed",
    )


def _nature(node: Node) -> tuple[object, ...]:
    """What two versions must agree on for a step that is taken over: its name, kind and place, what it calls, what
    undoes it, and whether it is a pivot."""
    undo = None if node.undo is None else node.undo.call
    nature = (node.name, node.kind, node.parent, undo)
    match node.step:
        case Call() as call:
            return (*nature, f"{call.service}.{call.method}", call.pivot)
        case ChildWorkflow() as child:
            return (*nature, child.workflow, child.detached)
        case _:
            return nature


def _told(node: Node) -> str:
    kind = "a branch" if node.kind is Kind.BLOCK else f"the {node.kind.value} step"
    told = f"{kind} {node.name!r}"
    if node.kind is Kind.CALL:
        told += f" ({node.call.call}{', a pivot' if node.call.pivot else ''}"
        told += ", without a compensation)" if node.undo is None else f", undone by {node.undo.call})"
    return told


def _check_settled_before(old: State, program: Program, node: Node) -> None:
    """Everything before the step is done, or was rightly left out; what is around it was entered, or would be."""
    line = [*sorted(program.around(node.index)), node.index]
    for outer, inner in pairwise(line):
        parent, here = program.nodes[outer], program.nodes[inner]
        _check_entered(old, parent, node)
        if parent.kind in {Kind.IF, Kind.SWITCH}:
            _check_branch(old, parent, here, node)
        else:
            for index in parent.children[: parent.children.index(inner)]:
                _check_settled(old, program.nodes[index], node)


def _check_entered(old: State, around: Node, node: Node) -> None:
    """Nothing around the step was left out by its `when`, or has one that was not answered yet."""
    instance = old.instances.get((around.index, ()))
    if instance is not None and instance.forward == "skipped" and not instance.dropped:
        stands = "was left out by its `when`"
    elif around.when is not None and (instance is None or _failed_itself(instance, around)):
        stands = "has not begun"
    else:
        return
    why = f"{around.name!r}, which {node.name!r} is inside, {stands}; rerun from {around.name!r}"
    raise _refused(old, why, code="rerun_gap")


def _failed_itself(instance: Instance, node: Node) -> bool:
    """Whether it failed before anything inside it began."""
    return instance.error is not None and instance.error.step == node.name


def _check_branch(old: State, around: Node, branch: Node, node: Node) -> None:
    instance = old.instances.get((around.index, ()))
    if instance is None or instance.branch is None:
        raise _refused(
            old,
            f"{around.name!r}, which {node.name!r} is inside, has not begun; rerun from {around.name!r}",
            code="rerun_gap",
        )
    if around.children.index(branch.index) != instance.branch:
        raise _refused(
            old,
            f"{around.name!r} took another branch than the one that {node.name!r} is in; rerun from {around.name!r}",
            code="rerun_gap",
        )


def _check_settled(old: State, before: Node, node: Node) -> None:
    instance = old.instances.get((before.index, ()))
    forward = "pending" if instance is None else instance.forward
    if instance is not None and (forward == "succeeded" or (forward == "skipped" and not instance.dropped)):
        return
    stands = "was given up" if forward == "skipped" else f"is {forward}"
    raise _refused(
        old,
        f"step {before.name!r} is before {node.name!r} and {stands}; rerun from {before.name!r}, or from a step before",
        code="rerun_gap",
    )


def _check_no_effect_behind(old: State, node: Node) -> None:
    """Nothing that would be done again has an effect that is still there, or may be."""
    for key, instance in old.instances.items():
        if key[0] >= node.index and _has_effect(old.node(key), instance):
            raise _refused(
                old,
                f"step {old.name(key)!r} {_STANDS.get(instance.forward, _KEPT)}, and it would be done again. "
                "Rerun from a step behind it, or have the execution compensated.",
                code="rerun_effects",
            )


_STANDS = {"succeeded": "has succeeded", "unknown": "may have had its effect (its outcome is unknown)"}
_KEPT = "has failed and keeps its compensation"


def _has_effect(node: Node, instance: Instance) -> bool:
    if node.kind not in _EFFECTS or (node.kind is Kind.CALL and node.call.read_only):
        return False
    if instance.compensation == "done":
        return False
    return instance.forward in {"succeeded", "unknown"} or instance.active


def not_failed(execution_id: str, status: str) -> Refused:
    """It is in a state from which nothing is rerun."""
    return Refused(f"execution {execution_id} is {status} and cannot be rerun; only a failed one can be", status=status)


def _refused(old: State, why: str, *, code: str) -> Refused:
    return Refused(f"execution {old.execution_id} cannot be rerun from there: {why}", code=code, status=old.status)


# --- what is taken over --------------------------------------------------------------------------


def take_over_from(j: Judgement, old: State, node: Node, request: Rerun) -> None:
    """Record in a new execution all that was done before the step, and begin at the step.

    The steps around it begin anew, in the branches that were taken; signals that nobody took wait here.
    """
    j.emit(ev.RerunBegan(old.execution_id, request.step, request.by, request.note))
    around = set(j.program.around(node.index))
    for key, instance in old.instances.items():
        if key[0] in around:
            _enter(j, instance)
        elif key[0] < node.index:
            j.emit(_taken_over(old, instance))
    for index in sorted(around):
        # A sequence around the step that the old execution had not come to. Of branches, one was taken.
        if j.program.nodes[index].kind is Kind.SEQUENTIAL and (index, ()) not in old.instances:
            j.emit(ev.StepStarted(j.program.nodes[index].name))
    for name, payloads in old.mailbox.items():
        if name in j.program.signals:
            for payload in payloads:
                j.emit(ev.SignalReceived(name, payload))
    start(j, node, ())


def _enter(j: Judgement, instance: Instance) -> None:
    name = j.program.nodes[instance.node].name
    j.emit(ev.StepStarted(name))
    if instance.branch is not None:
        j.emit(ev.BranchTaken(name, (), instance.branch))


def _taken_over(old: State, each: Instance) -> ev.StepTakenOver:
    call, undo = each.call, each.undo
    return ev.StepTakenOver(
        step=old.program.nodes[each.node].name,
        iteration=each.iteration,
        execution=each.origin or old.execution_id,
        forward=each.forward,
        compensation=each.compensation,
        settled_at=each.settled_at,
        started_at_ms=each.started_at_ms,
        ended_at_ms=each.ended_at_ms,
        # The body of a call that names none is the workflow's input, which is recorded already.
        input=ev.Reference(("input",)) if each.input is old.input and each.input is not None else each.input,
        output=each.output,
        error=each.error,
        attempts=0 if call is None else call.attempts,
        silent_until_ms=None if call is None else call.silent_until_ms,
        items=each.items,
        begun=each.started,
        branch=each.branch,
        caught=each.caught,
        child=each.child,
        child_version=each.child_version,
        undo_attempts=0 if undo is None else undo.attempts,
    )
