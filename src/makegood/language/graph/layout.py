"""From a definition to a drawing: the blocks of its steps, with a heading, a start and an end."""

from __future__ import annotations

from makegood.language.graph import words
from makegood.language.graph.blocks import GAP, Arm, Block, Decision, Fork, Stack
from makegood.language.graph.boxes import StepBox
from makegood.language.graph.drawing import Drawing, Shape, Words
from makegood.language.graph.frames import Attempt, group
from makegood.language.graph.text import HEADING, NOTE, SMALL, fit
from makegood.model import Definition, Foreach, If, Parallel, Repeat, Sequential, Step, Switch, Try

MARGIN = 32.0
HEADING_MAX = 640.0
TERMINAL = 26.0


def layout(definition: Definition) -> Drawing:
    """The picture of a definition, placed."""
    into = Drawing()
    flow = _stack(definition.steps)
    left = _heading(into, definition)
    axis = MARGIN + max(flow.left, TERMINAL)
    top = left[1]
    name = fit("start", SMALL, 100)
    _terminal(into, "start", axis, top)
    into.texts.append(Words(axis + 16, top + 13.5, name, "muted"))
    y = top + 20
    into.line((axis, y), (axis, y + GAP), arrow=True)
    y += GAP
    flow.draw(into, axis, y)
    y += flow.height
    if flow.leads_on:
        into.line((axis, y), (axis, y + GAP), arrow=True)
        _terminal(into, "end", axis, y + GAP)
        into.texts.append(Words(axis + 16, y + GAP + 13.5, fit("end", SMALL, 100), "muted"))
        y += GAP + 20
    into.width = max(axis + max(flow.right, 60.0), left[0]) + MARGIN
    into.height = y + MARGIN
    return into


def _heading(into: Drawing, definition: Definition) -> tuple[float, float]:
    """Name, description and what a failure does; returns where they end."""
    name = definition.name if definition.version is None else f"{definition.name} v{definition.version}"
    lines = [(fit(name, HEADING, HEADING_MAX), "", 26.0)]
    if definition.description:
        lines.append((fit(definition.description, NOTE, HEADING_MAX), "muted", 20.0))
    lines.append((fit(words.handling(definition), SMALL, HEADING_MAX), "muted", 18.0))
    y = MARGIN - 8
    for line, css, height in lines:
        y += height
        into.texts.append(Words(MARGIN, y, line, css))
    return MARGIN + max(line.width for line, _, _ in lines), y + 24


def _terminal(into: Drawing, role: str, axis: float, top: float) -> None:
    into.shapes.append(Shape(role=role, x=axis - 10, y=top, width=20, height=20))


def _stack(steps: tuple[Step, ...]) -> Stack:
    return Stack([_block(step) for step in steps])


def _block(step: Step) -> Block:
    match step:
        case If() | Switch():
            return Decision(step, _arms(step, labelled=True))
        case Parallel():
            return Fork(step, _arms(step, labelled=False))
        case Sequential() if step.anonymous and step.when is None:
            return _stack(step.steps)
        case Sequential() | Foreach() | Repeat():
            return group(step, _stack(step.steps))
        case Try():
            return _attempt(step)
        case _:
            return StepBox(step)


def _arms(step: Step, *, labelled: bool) -> list[Arm]:
    arms = [Arm(part.label, _stack(part.steps), labelled=labelled) for part in words.parts(step)]
    if labelled and step.when is not None:
        arms.append(Arm("skipped", Stack([]), labelled=True))
    return arms or [Arm("", Stack([]), labelled=False)]


def _attempt(step: Try) -> Attempt:
    held = words.parts(step)
    handlers = [(part.label, _stack(part.steps)) for part in held if part.kind == "catch"]
    last = next((_stack(part.steps) for part in held if part.kind == "finally"), None)
    return Attempt(step, _stack(step.body), handlers, last)
