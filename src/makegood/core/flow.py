"""How the flow moves forward: what starts, which branch is taken, when something is done.

Nothing here walks the tree: the agenda says where something changed, and a step that is judged
twice changes nothing.
"""

from __future__ import annotations

import json
from typing import Any

from makegood.core import events as ev
from makegood.core.children import schedule_child
from makegood.core.events import Failure, Iteration
from makegood.core.failing import fail, node_halted
from makegood.core.formula import Formula
from makegood.core.judgement import Judgement, expression_failure
from makegood.core.lookup import last_output
from makegood.core.program import Kind, Node
from makegood.core.state import ROOT, Instance, Key
from makegood.expression import ExpressionError, to_json
from makegood.expression.times import parse_timestamp
from makegood.model import Fail, Foreach, Parallel, Repeat, SignalStep, Wait


def move_on(j: Judgement, key: Key) -> None:
    """Judge one place of the agenda that no abort has stopped."""
    node = j.state.node(key)
    if node.kind is Kind.BLOCK:
        if key == ROOT:
            _enter_block(j, node, ())
        return
    instance = j.state.instances[key]
    if instance.forward == "running":
        _ENTER[node.kind](j, node, instance)
    else:
        _after(j, node, instance)


# --- after a step ------------------------------------------------------------------------------


def _after(j: Judgement, node: Node, instance: Instance) -> None:
    """A step has settled without stopping anything: go on behind it."""
    parent = j.program.nodes[node.parent]
    iteration = instance.iteration
    if parent.kind is Kind.PARALLEL:
        _enter_parallel(j, parent, j.state.instances[(parent.index, iteration)])
    elif node.next >= 0:
        start(j, j.program.nodes[node.next], iteration)
    elif parent.kind is Kind.SEQUENTIAL:
        _succeed(j, j.state.instances[(parent.index, iteration)])
    else:
        _block_done(j, parent, iteration)


def _block_done(j: Judgement, block: Node, iteration: Iteration) -> None:
    """The last step of a block has settled."""
    if block.parent < 0:
        _complete(j)
        return
    owner = j.program.nodes[block.parent]
    instance = j.state.instances[(owner.index, iteration[: owner.depth])]
    if instance.forward != "running":
        return
    match owner.kind:
        case Kind.FOREACH:
            _enter_foreach(j, owner, instance)
        case Kind.REPEAT:
            _round_done(j, owner, instance)
        case Kind.TRY:
            _part_done(j, owner, instance, block)
        case _:
            _succeed(j, instance)


def _succeed(j: Judgement, instance: Instance) -> None:
    if instance.forward == "running":
        j.emit(ev.StepSucceeded(j.program.nodes[instance.node].name, instance.iteration, folded=True))


def _complete(j: Judgement) -> None:
    """The root is done: the execution's output, or its failure (an abort like a step's)."""
    if j.state.status != "running":
        return
    formula = j.program.output
    if formula is None:
        root = j.program.nodes[0]
        if root.children and j.program.nodes[root.children[-1]].kind in _BOUNDED:
            # What a call answered or a set computed was held to the payload limit when it came.
            j.emit(ev.ExecutionCompleted(None, folded=True))
        else:
            _complete_with(j, last_output(j.state, root, ()), folded=True)
        return
    try:
        output = j.evaluate(formula, ())
    except ExpressionError as error:
        fail(j, ROOT, expression_failure(error))
        return
    _complete_with(j, output, folded=False)


_BOUNDED = frozenset({Kind.CALL, Kind.SET, Kind.WAIT, Kind.SIGNAL, Kind.WORKFLOW})


def _complete_with(j: Judgement, output: Any, *, folded: bool) -> None:
    bound = j.settings.limits.payload_bytes
    try:
        check_size(output, bound)
    except ExpressionError as error:
        fail(j, ROOT, expression_failure(error))
        return
    j.emit(ev.ExecutionCompleted(None if folded else output, folded))


def check_size(value: Any, bytes_max: int) -> None:
    """Raise `payload_too_large` when a value is larger as JSON than a payload may be."""
    if isinstance(value, dict | list | str):
        to_json(value, size_max=bytes_max)


# --- starting a step ---------------------------------------------------------------------------


def start(j: Judgement, node: Node, iteration: Iteration) -> None:
    """Begin a step: skip it, schedule its call, or enter it."""
    key = (node.index, iteration)
    if key in j.state.instances or node_halted(j, node, iteration):
        return
    j.starts += 1
    if j.state.events >= j.settings.limits.journal_events:
        fail(j, key, Failure("limit_exceeded", _JOURNAL_FULL, None, "failed", node.name, iteration))
        return
    try:
        if node.when is not None and not j.evaluate(node.when, iteration):
            j.emit(ev.StepSkipped(node.name, iteration))
            return
        _START[node.kind](j, node, iteration)
    except ExpressionError as error:
        fail(j, key, expression_failure(error, node, iteration))


_JOURNAL_FULL = "the journal of this execution has reached its limit of events; split the process into child workflows"


def _schedule_call(j: Judgement, node: Node, iteration: Iteration) -> None:
    entry = None if node.undo is None else node.undo.call
    j.emit(ev.StepScheduled(node.name, iteration, _body(j, node, iteration), entry))


def _schedule_child(j: Judgement, node: Node, iteration: Iteration) -> None:
    schedule_child(j, node, iteration, _body(j, node, iteration))


def _body(j: Judgement, node: Node, iteration: Iteration) -> Any:
    """What is sent: the mapping's value, or a reference to what is journaled already."""
    formula = node.value
    if formula is None:
        return ev.Reference(("input",))
    body = _value(j, node, formula, iteration)
    if formula.path is not None and formula.path[0] != "execution":
        return ev.Reference(formula.path)
    j.weigh(body)
    return body


def _value(j: Judgement, node: Node, formula: Formula, iteration: Iteration) -> Any:
    """The value of a mapping, no larger than a payload may be."""
    value = j.evaluate(formula, iteration)
    if formula.path is None or _is_folded(j, node, formula.path):
        check_size(value, j.settings.limits.payload_bytes)
    return value


def _is_folded(j: Judgement, node: Node, path: tuple[str | int, ...]) -> bool:
    """Whether a path leads to outputs of several steps together, which no limit has met yet."""
    if path[0] != "steps" or len(path) == 1:
        return False
    target = j.program.node(str(path[1]))
    return not target.is_leaf or target.loops != node.loops[: target.depth]


def _enter_plain(j: Judgement, node: Node, iteration: Iteration) -> None:
    j.emit(ev.StepStarted(node.name, iteration))


def _take_branch(j: Judgement, node: Node, iteration: Iteration) -> None:
    conditions = node.conditions
    taken = len(conditions)
    for number, condition in enumerate(conditions):
        if j.evaluate(condition, iteration):
            taken = number
            break
    exists = j.program.nodes[node.children[taken]].children
    j.emit(ev.StepStarted(node.name, iteration))
    j.emit(ev.BranchTaken(node.name, iteration, taken if exists else -1))


def _take_items(j: Judgement, node: Node, iteration: Iteration) -> None:
    formula = node.value
    assert formula is not None
    items = j.evaluate(formula, iteration) if formula.path else _value(j, node, formula, iteration)
    limit = j.settings.limits.foreach_items
    if not isinstance(items, list):
        raise ExpressionError(f"foreach needs a list of items, and this is {_type_name(items)}")
    if len(items) > limit:
        _fail_plainly(j, node, iteration, "limit_exceeded", f"foreach has {len(items)} items; at most {limit}")
        return
    j.emit(ev.StepStarted(node.name, iteration))
    j.emit(ev.ItemsTaken(node.name, iteration, ev.Reference(formula.path) if formula.path else items))


def _start_wait(j: Judgement, node: Node, iteration: Iteration) -> None:
    step = node.step
    assert isinstance(step, Wait)
    if node.value is None:
        until_ms = j.now_ms + (step.duration_ms or 0)
    else:
        until_ms = _moment_ms(j.evaluate(node.value, iteration))
    j.emit(ev.StepStarted(node.name, iteration, until_ms))


def _moment_ms(value: Any) -> int:
    """A moment given as RFC 3339 text, in milliseconds since the epoch, rounded up."""
    if not isinstance(value, str):
        raise ExpressionError(f"wait until needs a timestamp, and this is {_type_name(value)}")
    return -(-parse_timestamp(value).nanoseconds // 1_000_000)


def _start_signal(j: Judgement, node: Node, iteration: Iteration) -> None:
    step = node.step
    assert isinstance(step, SignalStep)
    until_ms = None if step.timeout_ms is None else j.now_ms + step.timeout_ms
    j.emit(ev.StepStarted(node.name, iteration, until_ms))
    kept = j.state.mailbox.get(step.signal)
    if kept:
        j.emit(ev.StepSucceeded(node.name, iteration, kept[0]))


def _set(j: Judgement, node: Node, iteration: Iteration) -> None:
    formula = node.value
    assert formula is not None
    value = _value(j, node, formula, iteration)
    j.weigh(value)
    j.emit(ev.StepSucceeded(node.name, iteration, value))


def _fail_step(j: Judgement, node: Node, iteration: Iteration) -> None:
    step = node.step
    assert isinstance(step, Fail)
    assert node.value is not None
    said = _value(j, node, node.value, iteration)
    message: Any = said["message"]
    if not isinstance(message, str):
        message = "" if message is None else json.dumps(message, ensure_ascii=False)
    failure = Failure(step.error, message, said["details"], "rejected", node.name, iteration)
    fail(j, (node.index, iteration), failure)


def _fail_plainly(j: Judgement, node: Node, iteration: Iteration, code: str, message: str) -> None:
    fail(j, (node.index, iteration), Failure(code, message, None, "failed", node.name, iteration))


# --- going on inside a step --------------------------------------------------------------------


def _enter_block(j: Judgement, block: Node, iteration: Iteration) -> None:
    if block.children:
        start(j, j.program.nodes[block.children[0]], iteration)
    else:
        _block_done(j, block, iteration)


def _enter_sequential(j: Judgement, node: Node, instance: Instance) -> None:
    if node.children:
        start(j, j.program.nodes[node.children[0]], instance.iteration)
    else:
        _succeed(j, instance)


def _enter_branch(j: Judgement, node: Node, instance: Instance) -> None:
    if instance.branch is None or instance.branch < 0:
        _succeed(j, instance)
    else:
        _enter_block(j, j.program.nodes[node.children[instance.branch]], instance.iteration)


def _enter_parallel(j: Judgement, node: Node, instance: Instance) -> None:
    """Start branches up to the limit; settle when all are done (rule 22)."""
    if instance.forward != "running":
        return
    step = node.step
    assert isinstance(step, Parallel)
    if instance.done == len(node.children):
        _parallel_done(j, instance)
        return
    begun = _branches_begun(j, node, instance)
    at_once = step.max_concurrency or len(node.children)
    while begun < len(node.children) and begun - instance.done < at_once:
        if j.full:
            j.state.agenda[instance.key] = None
            return
        start(j, j.program.nodes[node.children[begun]], instance.iteration)
        begun += 1
        if node_halted(j, node, instance.iteration):
            return


def _branches_begun(j: Judgement, node: Node, instance: Instance) -> int:
    """Branches begin in order, so the first without an instance ends the search."""
    low, high = 0, len(node.children)
    while low < high:
        middle = (low + high) // 2
        if (node.children[middle], instance.iteration) in j.state.instances:
            low = middle + 1
        else:
            high = middle
    return low


def _parallel_done(j: Judgement, instance: Instance) -> None:
    failure = instance.caught
    if failure is None:
        _succeed(j, instance)
    else:
        fail(j, instance.key, failure)


def _enter_foreach(j: Judgement, node: Node, instance: Instance) -> None:
    """Start iterations up to the limit; settle when all are done."""
    step = node.step
    assert isinstance(step, Foreach)
    if instance.forward != "running" or instance.items is None:
        return
    total = len(instance.items)
    body = j.program.nodes[node.children[0]]
    _begin_iteration(j, body, instance)
    while instance.started < total and instance.started - instance.done < step.max_concurrency:
        if j.full:
            j.state.agenda[instance.key] = None
            return
        j.emit(ev.IterationStarted(node.name, instance.iteration, instance.started))
        _begin_iteration(j, body, instance)
        if node_halted(j, node, instance.iteration):
            return
    if instance.done == total:
        _succeed(j, instance)


def _begin_iteration(j: Judgement, body: Node, instance: Instance) -> None:
    """Start the first step of the newest iteration, unless it has begun."""
    if instance.started:
        _enter_block(j, body, (*instance.iteration, instance.started - 1))


def _enter_repeat(j: Judgement, node: Node, instance: Instance) -> None:
    """Before the first round, or in the middle of one that a record's end cut short."""
    if not instance.started:
        _next_round(j, node, instance)
        return
    _enter_block(j, j.program.nodes[node.children[0]], (*instance.iteration, instance.started - 1))
    _round_done(j, node, instance)


def _round_done(j: Judgement, node: Node, instance: Instance) -> None:
    last = j.program.nodes[node.children[0]].children[-1]
    settled = j.state.instances.get((last, (*instance.iteration, instance.started - 1)))
    if settled is None or settled.forward == "running":
        return
    until = node.extra[1]
    try:
        finished = until is not None and j.evaluate(until, (*instance.iteration, instance.started - 1))
    except ExpressionError as error:
        fail(j, instance.key, expression_failure(error, node, instance.iteration))
        return
    if finished:
        _succeed(j, instance)
    else:
        _next_round(j, node, instance)


def _next_round(j: Judgement, node: Node, instance: Instance) -> None:
    step = node.step
    assert isinstance(step, Repeat)
    while_ = node.extra[0]
    try:
        seen = (*instance.iteration, max(0, instance.started - 1))
        goes_on = while_ is None or j.evaluate(while_, seen)
    except ExpressionError as error:
        fail(j, instance.key, expression_failure(error, node, instance.iteration))
        return
    if not goes_on:
        _succeed(j, instance)
    elif instance.started >= step.max_iterations:
        message = f"repeat has run {step.max_iterations} rounds without its condition holding"
        _fail_plainly(j, node, instance.iteration, "max_iterations", message)
    else:
        j.emit(ev.IterationStarted(node.name, instance.iteration, instance.started))


def _enter_try(j: Judgement, node: Node, instance: Instance) -> None:
    match instance.phase:
        case "forward":
            part = node.children[0]
        case "handling":
            part = node.children[instance.branch or 0]
        case "finally":
            part = node.finally_
        case _:
            return
    _enter_block(j, j.program.nodes[part], instance.iteration)


def _part_done(j: Judgement, node: Node, instance: Instance, part: Node) -> None:
    """The body, a handler or the finally of a try has come to its end."""
    current = {"forward": node.children[0], "handling": node.children[instance.branch or 0], "finally": node.finally_}
    if current.get(instance.phase) != part.index:
        return
    if instance.phase != "finally" and node.finally_ >= 0:
        j.emit(ev.FinallyStarted(node.name, instance.iteration))
    elif instance.travelling is not None:
        fail(j, instance.key, instance.travelling)
    else:
        _succeed(j, instance)


def _nothing(_j: Judgement, _node: Node, _instance: Instance) -> None:
    """A leaf under way moves by news from outside only."""


def _type_name(value: Any) -> str:
    names = {dict: "a map", list: "a list", str: "a string", bool: "a bool", int: "an int", float: "a double"}
    return names.get(type(value), "null")


_START = {
    Kind.CALL: _schedule_call,
    Kind.SEQUENTIAL: _enter_plain,
    Kind.PARALLEL: _enter_plain,
    Kind.REPEAT: _enter_plain,
    Kind.TRY: _enter_plain,
    Kind.IF: _take_branch,
    Kind.SWITCH: _take_branch,
    Kind.FOREACH: _take_items,
    Kind.WAIT: _start_wait,
    Kind.SIGNAL: _start_signal,
    Kind.SET: _set,
    Kind.FAIL: _fail_step,
    Kind.WORKFLOW: _schedule_child,
}

_ENTER = {
    Kind.SEQUENTIAL: _enter_sequential,
    Kind.PARALLEL: _enter_parallel,
    Kind.REPEAT: _enter_repeat,
    Kind.TRY: _enter_try,
    Kind.IF: _enter_branch,
    Kind.SWITCH: _enter_branch,
    Kind.FOREACH: _enter_foreach,
    Kind.CALL: _nothing,
    Kind.WAIT: _nothing,
    Kind.SIGNAL: _nothing,
    Kind.WORKFLOW: _nothing,
    Kind.SET: _nothing,
    Kind.FAIL: _nothing,
}
