"""Blocks that hold others, measured bottom-up and drawn top-down around an axis.

A block says how far it reaches to the left and to the right of its axis and how high it is; flow comes
in at the top of the axis and leaves at its bottom, unless the block never leads on. Each step is
measured once and drawn once, so the work grows with the number of steps; only nesting recurses, and
the language bounds that.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

from makegood.language.graph import words
from makegood.language.graph.boxes import StepBox
from makegood.language.graph.drawing import Drawing, Shape, Words
from makegood.language.graph.text import CAPTION, CODE, Line, fit
from makegood.model import If, Parallel, Step, Switch

GAP = 30.0
ARM_GAP = 34.0
BAR_HEIGHT = 5.0
BAR_OVERHANG = 26.0
LABEL_MAX = 190.0
LABEL_HEIGHT = 20.0
LABEL_PAD = 9.0
BUS = 14.0
NARROWEST = 18.0


class Block(Protocol):
    """What can be placed on an axis.

    Attributes:
        left: How far it reaches to the left of the axis.
        right: How far to the right.
        height: From where flow comes in to where it leaves.
        leads_on: Whether flow leaves it.
    """

    left: float
    right: float
    height: float
    leads_on: bool

    def draw(self, into: Drawing, axis: float, top: float) -> None:
        """Puts it there."""


class Stack:
    """Blocks one below another, joined by arrows."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        self.blocks = blocks
        self.left = max([NARROWEST, *(block.left for block in blocks)])
        self.right = max([NARROWEST, *(block.right for block in blocks)])
        self.height = sum(block.height for block in blocks) + GAP * max(0, len(blocks) - 1)
        self.leads_on = all(block.leads_on for block in blocks)

    def draw(self, into: Drawing, axis: float, top: float) -> None:
        """Puts the blocks there, and arrows between them."""
        y = top
        for number, block in enumerate(self.blocks):
            if number and self.blocks[number - 1].leads_on:
                into.line((axis, y - GAP), (axis, y), arrow=True)
            block.draw(into, axis, y)
            y += block.height + GAP


class Arm:
    """One branch of a split, with its label on top."""

    def __init__(self, label: str, content: Stack, *, labelled: bool) -> None:
        self.content = content
        self.tooltip = label
        self.label = fit(label, CODE, LABEL_MAX) if labelled else None
        half = (self.label.width / 2 + LABEL_PAD) if self.label else 0.0
        self.left, self.right = max(content.left, half), max(content.right, half)
        self.lead = BUS + (LABEL_HEIGHT if self.label else 0) + (18 if content.blocks else 0)
        self.height = self.lead + content.height

    def draw(self, into: Drawing, axis: float, top: float, bottom: float, trunk: float) -> None:
        """From the trunk's height above to the trunk's height below; the trunk runs at that `x`."""
        y = top
        if self.label is not None:
            into.line((trunk, top), (axis, top), (axis, top + BUS))
            self._draw_label(into, self.label, axis, top + BUS)
            y += BUS + LABEL_HEIGHT
        first = top + self.lead if self.content.blocks else y
        if self.content.blocks:
            into.line((axis, y), (axis, first), arrow=True)
            self.content.draw(into, axis, first)
        if self.content.leads_on:
            meeting = [(trunk, bottom)] if self.label is not None else []
            into.line((axis, first + self.content.height), (axis, bottom), *meeting)

    def _draw_label(self, into: Drawing, label: Line, axis: float, y: float) -> None:
        width = label.width + 2 * LABEL_PAD
        text = Words(axis, y + 14, label, centred=True)
        into.shapes.append(
            Shape(
                role="label", x=axis - width / 2, y=y, width=width, height=LABEL_HEIGHT,
                tooltip=self.tooltip, texts=(text,),
            )
        )  # fmt: skip


class Arms:
    """Branches side by side; the axis is in the middle between the first and the last branch's."""

    def __init__(self, arms: list[Arm]) -> None:
        self.arms = arms
        self.offsets = [0.0]
        for before, arm in pairwise(arms):
            self.offsets.append(self.offsets[-1] + before.right + ARM_GAP + arm.left)
        middle = self.offsets[-1] / 2
        self.offsets = [offset - middle for offset in self.offsets]
        self.left = arms[0].left - self.offsets[0]
        self.right = arms[-1].right + self.offsets[-1]
        self.height = max(arm.height for arm in arms)
        self.leads_on = any(arm.content.leads_on for arm in arms)

    def draw(self, into: Drawing, axis: float, top: float) -> None:
        """Puts the branches between two buses, the upper one at `top`."""
        for arm, offset in zip(self.arms, self.offsets, strict=True):
            arm.draw(into, axis + offset, top, top + self.height + BUS, axis)


class Decision:
    """An `if` or `switch`: a diamond-sided box, its branches with their conditions, and a dot where they meet."""

    def __init__(self, step: If | Switch, arms: list[Arm]) -> None:
        self.box = StepBox(step)
        self.arms = Arms(arms)
        self.left = max(self.box.left, self.arms.left)
        self.right = max(self.box.right, self.arms.right)
        self.leads_on = self.arms.leads_on
        self.above = self.box.height + BUS
        self.height = self.above + self.arms.height + (BUS if self.leads_on else 0)

    def draw(self, into: Drawing, axis: float, top: float) -> None:
        """Puts the box, the branches and the dot there."""
        self.box.draw(into, axis, top)
        bus = top + self.above
        into.line((axis, top + self.box.height), (axis, bus))
        self.arms.draw(into, axis, bus)
        if self.leads_on:
            meet = top + self.height
            into.shapes.append(Shape(role="dot", x=axis - 3, y=meet - 3, width=6, height=6))


class Fork:
    """A `parallel`: a bar, the branches, and a bar where all of them have to arrive."""

    def __init__(self, step: Parallel, arms: list[Arm]) -> None:
        self.step = step
        self.arms = Arms(arms)
        self.caption = caption(step)
        self.half = max(self.arms.offsets[-1], 0) + BAR_OVERHANG
        self.left = max(self.arms.left, self.half, self.caption.width / 2 + LABEL_PAD)
        self.right = max(self.arms.right, self.half, self.caption.width / 2 + LABEL_PAD)
        self.leads_on = True
        self.above = LABEL_HEIGHT + 2 + BAR_HEIGHT
        self.height = self.above + self.arms.height + BUS + BAR_HEIGHT

    def draw(self, into: Drawing, axis: float, top: float) -> None:
        """Puts the caption, the bars and the branches there."""
        text = Words(axis, top + 14, self.caption, "caption-parallel", centred=True)
        width = self.caption.width + 2 * LABEL_PAD
        into.shapes.append(
            Shape(
                role="tab", kind="parallel", step=self.step.id, tooltip=words.tooltip(self.step),
                x=axis - width / 2, y=top, width=width, height=LABEL_HEIGHT, texts=(text,),
            )
        )  # fmt: skip
        self._bar(into, axis, top + LABEL_HEIGHT + 2)
        self.arms.draw(into, axis, top + self.above)
        self._bar(into, axis, top + self.height - BAR_HEIGHT)

    def _bar(self, into: Drawing, axis: float, y: float) -> None:
        bar = Shape(role="bar", kind="parallel", x=axis - self.half, y=y, width=2 * self.half, height=BAR_HEIGHT)
        into.shapes.append(bar)


def caption(step: Step, width_max: float = 380.0) -> Line:
    """What stands over a group: kind, id, what it is about, and its marks."""
    pieces = [words.kind_of(step)]
    if not step.anonymous:
        pieces.append(step.id)
    if what := words.detail(step):
        pieces.append(f"· {what}")
    pieces += [f"· {mark.text}" for mark in words.marks(step)]
    if step.when is not None:
        pieces.append(f"· when {words.one_line(step.when)}")
    return fit(" ".join(pieces), CAPTION, width_max)
