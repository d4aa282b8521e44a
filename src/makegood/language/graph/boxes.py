"""The box of one step, measured: its lines of text, its marks and its undo. What holds others is in `blocks`."""

from __future__ import annotations

from dataclasses import dataclass

from makegood.language.graph import words
from makegood.language.graph.drawing import Drawing, Shape, Words
from makegood.language.graph.text import CODE, SMALL, TITLE, Line, fit, wrap
from makegood.model import Step

TEXT_MAX = 230.0
CONDITION_LINES = 3
BOX_MIN = 132.0
PAD_X = 14.0
PAD_Y = 11.0
ICON = 16.0
ICON_GAP = 8.0
CHIP_HEIGHT = 17.0
CHIP_GAP = 5.0
CHIP_PAD = 7.0
ROW_GAP = 7.0
UNDO_LINK = 20.0
UNDO_HEIGHT = 24.0
TITLE_LINE = 17.0
CODE_LINE = 16.0

ROLES = {
    "call": "card",
    "workflow": "child",
    "wait": "pill",
    "signal": "flag",
    "set": "slip",
    "fail": "stop",
    "if": "decision",
    "switch": "decision",
}
SLANTED = {"flag": 12.0, "slip": 12.0, "decision": 16.0, "pill": 10.0, "stop": 8.0, "child": 7.0}
"""How much wider than its text a shape is on either side, because its sides are not straight."""


@dataclass(frozen=True, slots=True)
class Chip:
    """A mark, measured."""

    mark: words.Mark
    line: Line

    @property
    def width(self) -> float:
        """With the room around its text."""
        return self.line.width + 2 * CHIP_PAD


class StepBox:
    """One step's box with its undo beside it; the axis runs through the middle of the box."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.kind = words.kind_of(step)
        self.role = ROLES[self.kind]
        self.title = fit(words.title(step), TITLE, TEXT_MAX - ICON - ICON_GAP)
        self.details = self._details()
        self.rows = _rows([Chip(mark, fit(mark.text, SMALL, TEXT_MAX)) for mark in words.marks(step)])
        self.width = self._width()
        self.height = self._height()
        self.undo = self._undo()
        self.left = self.width / 2
        self.right = self.width / 2 + (UNDO_LINK + self._undo_width() if self.undo else 0)
        self.leads_on = self.kind != "fail" or step.when is not None

    def _details(self) -> list[tuple[Line, str]]:
        found = []
        if detail := words.detail(self.step):
            lines = CONDITION_LINES if self.role == "decision" else 1
            found += [(line, "muted") for line in wrap(detail, CODE, TEXT_MAX, lines)]
        if self.step.when is not None:
            found.append((fit(f"when {words.one_line(self.step.when)}", CODE, TEXT_MAX), "when"))
        return found

    def _undo(self) -> Line | None:
        compensation = words.undo(self.step)
        return None if compensation is None else fit(f"undo: {compensation.call}", SMALL, TEXT_MAX)

    def _undo_width(self) -> float:
        return (self.undo.width if self.undo else 0) + ICON + 22

    def _width(self) -> float:
        head = ICON + ICON_GAP + self.title.width
        rows = [sum(chip.width for chip in row) + CHIP_GAP * (len(row) - 1) for row in self.rows]
        text = max([head, *(line.width for line, _ in self.details), *rows])
        slant = SLANTED.get(self.role, 0.0)
        return float(round(max(text + 2 * PAD_X + 2 * slant, BOX_MIN)))

    def _height(self) -> float:
        chips = len(self.rows) * (CHIP_HEIGHT + CHIP_GAP) - CHIP_GAP + ROW_GAP if self.rows else 0
        return 2 * PAD_Y + TITLE_LINE + CODE_LINE * len(self.details) + chips

    def draw(self, into: Drawing, axis: float, top: float) -> None:
        """Puts the box with its top there, its undo to the right."""
        left = axis - self.width / 2
        start = left + PAD_X + SLANTED.get(self.role, 0.0)
        baseline = top + PAD_Y + 12.5
        texts = [Words(start + ICON + ICON_GAP, baseline, self.title)]
        for number, (line, css) in enumerate(self.details):
            texts.append(Words(start, baseline + CODE_LINE * (number + 1) + 1, line, css))
        pivot = any(chip.mark.kind == "pivot" for row in self.rows for chip in row)
        into.shapes.append(
            Shape(
                role=self.role, kind=self.kind, step=self.step.id, tooltip=words.tooltip(self.step),
                x=left, y=top, width=self.width, height=self.height, texts=tuple(texts),
                icon=(self.kind, start, top + PAD_Y), css="pivot" if pivot else "",
            )
        )  # fmt: skip
        below = top + PAD_Y + TITLE_LINE + CODE_LINE * len(self.details) + ROW_GAP
        for number, row in enumerate(self.rows):
            draw_chips(into, row, start, below + number * (CHIP_HEIGHT + CHIP_GAP))
        self._draw_undo(into, axis + self.width / 2, top + self.height / 2)

    def _draw_undo(self, into: Drawing, edge: float, middle: float) -> None:
        compensation = words.undo(self.step)
        if self.undo is None or compensation is None:
            return
        x, y = edge + UNDO_LINK, middle - UNDO_HEIGHT / 2
        into.line((x, middle), (edge, middle), css="undo", arrow=True)
        into.shapes.append(
            Shape(
                role="undo", kind="undo", x=x, y=y, width=self._undo_width(), height=UNDO_HEIGHT,
                tooltip=words.undo_tooltip(compensation), icon=("undo", x + 9, y + 4),
                texts=(Words(x + 12 + ICON, middle + 3.7, self.undo),),
            )
        )  # fmt: skip


def _rows(chips: list[Chip]) -> list[list[Chip]]:
    """The chips in as few rows as their order allows."""
    rows: list[list[Chip]] = []
    used = 0.0
    for chip in chips:
        if not rows or used + CHIP_GAP + chip.width > TEXT_MAX:
            rows.append([])
            used = -CHIP_GAP
        rows[-1].append(chip)
        used += CHIP_GAP + chip.width
    return rows


def draw_chips(into: Drawing, chips: list[Chip], x: float, y: float) -> float:
    """Puts the chips side by side; returns where they end."""
    for chip in chips:
        text = Words(x + CHIP_PAD, y + 12, chip.line)
        into.shapes.append(
            Shape(
                role="chip", kind=chip.mark.kind, x=x, y=y, width=chip.width, height=CHIP_HEIGHT,
                tooltip=chip.mark.says, texts=(text,), inside=True,
            )
        )  # fmt: skip
        x += chip.width + CHIP_GAP
    return x
