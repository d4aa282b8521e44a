"""Framed groups: `sequential`, `foreach`, `repeat`, and `try` with its handlers at the side."""

from __future__ import annotations

from makegood.language.graph import words
from makegood.language.graph.blocks import GAP, Stack, caption
from makegood.language.graph.boxes import ICON
from makegood.language.graph.drawing import Drawing, Shape, Words
from makegood.language.graph.text import CAPTION, Line, fit
from makegood.model import Foreach, Repeat, Sequential, Step, Try

PAD = 18.0
HEADER = 32.0
LOOP = 26.0
GUTTER = 44.0
SIDE_GAP = 20.0


class Frame:
    """A captioned frame around a stack; loops have an arrow back inside, on the left."""

    def __init__(
        self, kind: str, head: Line, content: Stack, *, step: Step | None = None, loops: bool = False,
        tooltip: str = "",
    ) -> None:  # fmt: skip
        self.kind, self.head, self.content, self.loops = kind, head, content, loops
        self.step, self.tooltip = step, tooltip
        self.left = content.left + PAD + (LOOP if loops else 0)
        self.right = content.right + PAD
        need = ICON + 30 + head.width
        missing = max(0.0, need - self.left - self.right)
        self.left += missing / 2
        self.right += missing / 2
        self.lead = 16.0 if loops else 0.0
        self.height = HEADER + self.lead + content.height + PAD + (12 if loops else 0)
        self.leads_on = loops or content.leads_on or (step is not None and step.when is not None)

    def draw(self, into: Drawing, axis: float, top: float) -> None:
        """Puts the frame there, what it holds, and a loop's way back."""
        x = axis - self.left
        into.shapes.append(
            Shape(
                role="frame", kind=self.kind, step=None if self.step is None else self.step.id,
                tooltip=self.tooltip, x=x, y=top, width=self.left + self.right, height=self.height,
                icon=(self.kind, x + 11, top + 8), holds=True,
                texts=(Words(x + 11 + ICON + 6, top + 20.5, self.head, f"caption-{self.kind}"),),
            )
        )  # fmt: skip
        first = top + HEADER + self.lead
        self.content.draw(into, axis, first)
        if self.loops:
            self._back(into, axis, first)

    def _back(self, into: Drawing, axis: float, first: float) -> None:
        entry = first - self.lead + 2
        last = first + self.content.height
        side = axis - self.content.left - LOOP / 2 - 2
        if self.content.leads_on:
            low = last + 12
            around = ((axis, last), (axis, low), (side, low), (side, entry), (axis, entry), (axis, first))
            into.line(*around, css="again", arrow=True)


class Attempt:
    """A `try`: the body in the middle, its handlers to the right, what always runs below."""

    def __init__(self, step: Try, body: Stack, handlers: list[tuple[str, Stack]], last: Stack | None) -> None:
        self.step = step
        self.head = caption(step)
        self.body = Frame("body", fit("body", CAPTION, 200), body)
        self.handlers = [
            Frame("catch", fit(label, CAPTION, 260), content, tooltip=label) for label, content in handlers
        ]
        says = "Runs however the scope is left from inside."
        self.last = Frame("finally", fit("finally", CAPTION, 200), last, tooltip=says) if last is not None else None
        self.side = max((frame.left + frame.right for frame in self.handlers), default=0.0)
        self.left = max(self.body.left, self.last.left if self.last else 0) + PAD
        beside = (GUTTER + self.side + SIDE_GAP) if self.handlers else 0
        self.right = max(self.body.right + beside, self.last.right if self.last else 0) + PAD
        self.right = max(self.right, ICON + 30 + self.head.width - self.left)
        stacked = sum(frame.height for frame in self.handlers) + SIDE_GAP * max(0, len(self.handlers) - 1)
        self.upper = max(self.body.height, stacked)
        self.height = HEADER + self.upper + (GAP + self.last.height if self.last else 0) + PAD
        ways = [self.body, *self.handlers]
        self.arrives = any(frame.leads_on for frame in ways)
        self.leads_on = (self.arrives and (self.last is None or self.last.leads_on)) or step.when is not None
        if self.arrives and any(frame.leads_on for frame in self.handlers):
            self.height += 12
            self.upper += 12

    def draw(self, into: Drawing, axis: float, top: float) -> None:
        """Puts the frame there, the body on the axis, the handlers beside it."""
        x = axis - self.left
        into.shapes.append(
            Shape(
                role="frame", kind="try", step=self.step.id, tooltip=words.tooltip(self.step),
                x=x, y=top, width=self.left + self.right, height=self.height,
                icon=("try", x + 11, top + 8), holds=True,
                texts=(Words(x + 11 + ICON + 6, top + 20.5, self.head, "caption-try"),),
            )
        )  # fmt: skip
        inner = top + HEADER
        self.body.draw(into, axis, inner)
        meet = inner + self.upper
        self._handlers(into, axis, inner, meet)
        if self.body.leads_on and (self.last or any(frame.leads_on for frame in self.handlers)):
            into.line((axis, inner + self.body.height), (axis, meet))
        if self.last is not None:
            if self.arrives:
                into.line((axis, meet), (axis, meet + GAP), arrow=True)
            self.last.draw(into, axis, meet + GAP)
        elif self.arrives:
            into.line((axis, meet), (axis, top + self.height))

    def _handlers(self, into: Drawing, axis: float, top: float, meet: float) -> None:
        out = axis + self.body.right
        bus, left = out + GUTTER / 2, out + GUTTER
        right = left + self.side + SIDE_GAP / 2
        y = top
        start = top + HEADER / 2
        exits = []
        for frame in self.handlers:
            way = ((out, start), (bus, start), (bus, y + HEADER / 2), (left, y + HEADER / 2))
            into.line(*way, css="error", arrow=True)
            frame.draw(into, left + frame.left, y)
            if frame.leads_on:
                exits.append((left + frame.left + frame.right, y + frame.height - HEADER / 2))
            y += frame.height + SIDE_GAP
        for edge, height in exits:
            into.line((edge, height), (right, height), (right, meet), (axis, meet))


def group(step: Step, content: Stack) -> Frame:
    """The frame of a `sequential`, `foreach` or `repeat`."""
    assert isinstance(step, Sequential | Foreach | Repeat)
    loops = not isinstance(step, Sequential)
    return Frame(words.kind_of(step), caption(step), content, step=step, loops=loops, tooltip=words.tooltip(step))
