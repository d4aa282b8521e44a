"""Workflows called by workflows: a child is an execution of its own whose id follows from the call's key (rule 25).

To its parent a child is one call: it settles when the child ends, and its entry undoes the whole
child. What the child does inside is its own judgement.
"""

from __future__ import annotations

import hashlib
from typing import Any

from makegood.core import events as ev
from makegood.core.events import Failure, Iteration
from makegood.core.failing import HALTED, abort, fail
from makegood.core.inputs import ChildBegun, ChildEnded, ChildRefused, ChildResolved, Halt
from makegood.core.judgement import Judgement
from makegood.core.program import Node
from makegood.core.state import ENDS, Instance, Key, State
from makegood.core.undoing import idempotency_key, undo_failed
from makegood.errors import Refused
from makegood.model import ChildWorkflow
from makegood.model.fact import fact


@fact
class Family:
    """Whose child an execution is.

    Attributes:
        parent: Id of the execution that called it.
        root: Id of the outermost execution whose end it is bound to; a detached child is bound to none, and its own.
        depth: Workflows around it.
    """

    parent: str
    root: str
    depth: int


def derived_id(key: str) -> str:
    """An id that follows from a key, as a child's does from its call's: an UUID of version 8 (RFC 9562) from the
    SHA-256 of the key."""
    digits = hashlib.sha256(key.encode()).hexdigest()[:32]
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def schedule_child(j: Judgement, node: Node, iteration: Iteration, body: Any) -> None:
    """A step calls a workflow; which version is resolved next."""
    step = node.step
    assert isinstance(step, ChildWorkflow)
    if j.state.depth + 1 > j.settings.limits.child_depth:
        message = f"workflows are nested deeper than {j.settings.limits.child_depth}"
        fail(j, (node.index, iteration), Failure("limit_exceeded", message, None, "failed", node.name, iteration))
        return
    if node.undo is not None:
        entry: str | None = node.undo.call
    else:
        entry = None if step.detached else f"workflow:{step.workflow}"
    j.emit(ev.StepScheduled(node.name, iteration, body, entry))


def child_resolved(j: Judgement, news: ChildResolved) -> None:
    """The version is known: the child may be started once that is recorded."""
    instance = j.state.instances.get(news.key)
    if instance is None or instance.forward != "running" or instance.child is not None:
        return
    node = j.state.node(news.key)
    step = node.step
    assert isinstance(step, ChildWorkflow)
    if news.version is None:
        nameless = Failure(
            "child_failed", f"there is no workflow {step.workflow!r}", None, "failed", node.name, news.key[1]
        )
        fail(j, news.key, news.error or nameless)
        return
    child = derived_id(idempotency_key(j.state, news.key, undo=False))
    j.emit(ev.ChildStarted(node.name, news.key[1], child, news.version))


def family_of(state: State, key: Key) -> Family:
    """What the child of a call is told of its family."""
    step, child = state.node(key).step, state.instances[key].child
    assert isinstance(step, ChildWorkflow)
    assert child is not None
    root = child if step.detached else state.root or state.execution_id
    return Family(state.execution_id, root, state.depth + 1)


def child_begun(j: Judgement, news: ChildBegun) -> None:
    """A detached child is nobody's from here on: nobody waits for it, and nobody undoes it."""
    instance = j.state.instances.get(news.key)
    if instance is not None and instance.forward == "running" and instance.child is not None:
        j.emit(ev.StepSucceeded(j.state.node(news.key).name, news.key[1], {"id": instance.child}))


def child_refused(j: Judgement, news: ChildRefused) -> None:
    """The start of a child was refused for good, so that there is nothing to wait for, and nothing to undo."""
    instance = j.state.instances.get(news.key)
    if instance is None or instance.forward != "running" or instance.child is None:
        return
    node, cause = j.state.node(news.key), news.error
    step = node.step
    assert isinstance(step, ChildWorkflow)
    message = f"workflow {step.workflow!r} was not started: {cause.message}"
    details = {"code": cause.code, "details": cause.details}
    fail(j, news.key, Failure("child_failed", message, details, cause.outcome, node.name, news.key[1]))


def child_ended(j: Judgement, news: ChildEnded) -> None:
    """A child is at an end: its call settles, or its undo does."""
    instance = j.state.instances.get(news.key)
    if instance is None or (news.status is not None and news.status not in ENDS):
        return
    if instance.forward == "running":
        step = j.state.node(news.key).step
        if isinstance(step, ChildWorkflow) and step.detached and news.status is not None:
            child_begun(j, ChildBegun(news.key))
        else:
            _call_settles(j, instance, news)
    elif (news.key, True) not in j.state.attending:
        return
    elif news.reclaimed or news.status in _NOTHING_REMAINS:
        _undo_settles(j, instance, news)
    else:
        # It ended by itself, or by somebody's hand, before the parent's turn reached it: it is asked again.
        j.state.touched.append((news.key, True))


_NOTHING_REMAINS = frozenset({"compensated", None})


def _call_settles(j: Judgement, instance: Instance, news: ChildEnded) -> None:
    node = j.state.node(news.key)
    name, iteration = node.name, news.key[1]
    match news.status:
        case "completed":
            j.emit(ev.StepSucceeded(name, iteration, news.output))
        case None:
            j.emit(ev.StepSkipped(name, iteration))
        case "compensated":
            fail(j, news.key, _failure(instance, node, news, "child_compensated", "rejected"))
        case _:
            failure = _failure(instance, node, news, "child_failed", "unknown")
            if news.error is not None and news.error.code == HALTED:
                j.emit(ev.StepFailed(name, iteration, "unknown", failure))
            else:
                fail(j, news.key, failure, "unknown")


def _failure(instance: Instance, node: Node, news: ChildEnded, code: str, outcome: str) -> Failure:
    cause = news.error
    why = "" if cause is None else f": {cause.code}: {cause.message}"
    details = {"execution": instance.child, "code": None if cause is None else cause.code}
    return Failure(code, f"the workflow it called ended {news.status}{why}", details, outcome, node.name, news.key[1])


def _undo_settles(j: Judgement, instance: Instance, news: ChildEnded) -> None:
    node = j.state.node(news.key)
    if news.status in _NOTHING_REMAINS:
        j.emit(ev.UndoDone(node.name, news.key[1]))
    else:
        undo_failed(j, instance, _failure(instance, node, news, "child_failed", "unknown"))


def halt(j: Judgement, _news: Halt) -> None:
    """The parent aborts: this child drains, and ends failed with its entries kept for the parent's turn.

    Raises:
        Refused: It has ended, or passed its point of no return.
    """
    state = j.state
    if state.ended or state.pivoted:
        raise Refused(f"execution {state.execution_id} is {state.status} and cannot be halted", status=state.status)
    if state.status == "compensating" or state.halted.get((0, ())) is not None:
        return
    if state.status == "suspended":
        j.emit(ev.ExecutionResumed(note="halted by its parent"))
    abort(j, HALTED, Failure(HALTED, "the workflow that called this one is aborting"))
