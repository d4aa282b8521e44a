"""A laid-out picture: shapes, lines and texts at their places, in pixels, y downwards. Data only."""

from __future__ import annotations

from dataclasses import dataclass, field

from makegood.language.graph.text import Line

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text; `x` is its start, or its middle when centred; `y` is its baseline."""

    x: float
    y: float
    line: Line
    css: str = ""
    centred: bool = False


@dataclass(slots=True, kw_only=True)
class Shape:
    """Something with an outline.

    Attributes:
        role: What is drawn: `card`, `child`, `pill`, `flag`, `slip`, `stop`, `decision`, `bar`, `undo`,
            `chip`, `label`, `frame`, `dot`, `start`, `end`.
        kind: The step's kind, which decides the colour; or the mark's.
        step: The step it stands for, if it is the one shape that does.
        holds: Whether other shapes lie within, as in a frame.
        inside: Whether it lies on its step's box, as a mark does.
    """

    role: str
    x: float
    y: float
    width: float
    height: float
    kind: str = ""
    step: str | None = None
    tooltip: str = ""
    texts: tuple[Words, ...] = ()
    icon: tuple[str, float, float] | None = None
    css: str = ""
    holds: bool = False
    inside: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """A line through points, with rounded corners. `css` is `flow`, `undo`, `error` or `again`."""

    points: tuple[Point, ...]
    css: str = "flow"
    arrow: bool = False


@dataclass(slots=True)
class Drawing:
    """The whole picture. Shapes are in drawing order: what holds comes before what it holds."""

    width: float = 0.0
    height: float = 0.0
    shapes: list[Shape] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    texts: list[Words] = field(default_factory=list)

    def line(self, *points: Point, css: str = "flow", arrow: bool = False) -> None:
        """Adds a line; points that say the same twice are left out."""
        kept = [point for number, point in enumerate(points) if number == 0 or point != points[number - 1]]
        if len(kept) > 1:
            self.paths.append(Path(tuple(kept), css, arrow))
