"""A drawing written down as SVG. No decisions about places: `layout` has made them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape

from makegood.language.graph.drawing import Drawing, Path, Point, Shape, Words
from makegood.language.graph.icons import ICONS
from makegood.language.graph.layout import layout
from makegood.language.graph.style import style_sheet
from makegood.language.graph.text import clean
from makegood.language.graph.words import handling, one_line
from makegood.model import Definition

CORNER = 8.0
TIP = 7.0


def to_svg(definition: Definition) -> str:
    """The picture as one self-contained SVG document, light or dark as the reader's screen is."""
    return "\n".join(_document(definition, layout(definition))) + "\n"


def _document(definition: Definition, drawing: Drawing) -> Iterator[str]:
    name = re.sub(r"[^A-Za-z0-9_-]", "-", definition.name)
    width, height = _number(drawing.width), _number(drawing.height)
    steps = sum(shape.step is not None for shape in drawing.shapes)
    said = f"Workflow {definition.name}: {steps} steps from top to bottom; {handling(definition)}."
    if definition.description:
        said = f"{one_line(definition.description)} {said}"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mg-graph" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" aria-labelledby="mg-title-{name} mg-desc-{name}">'
    )
    yield f'<title id="mg-title-{name}">Workflow {_escaped(definition.name)}</title>'
    yield f'<desc id="mg-desc-{name}">{_escaped(said)}</desc>'
    yield f"<style>{style_sheet()}</style>"
    yield f'<rect class="mg-paper" width="{width}" height="{height}"/>'
    # Frames lie under the lines that cross their borders, everything else over the lines.
    yield from (_shape(shape) for shape in drawing.shapes if shape.holds)
    yield from (_path(path) for path in drawing.paths)
    yield from (_shape(shape) for shape in drawing.shapes if not shape.holds)
    yield from (_words(text) for text in drawing.texts)
    yield "</svg>"


def _escaped(text: str) -> str:
    return escape(clean(text), quote=True)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _words(text: Words) -> str:
    css = f"mg-{text.line.face.name}" + (f" mg-{text.css}" if text.css else "")
    anchor = ' text-anchor="middle"' if text.centred else ""
    at = f'x="{_number(text.x)}" y="{_number(text.y)}"'
    return f'<text class="{css}" {at}{anchor}>{_escaped(text.line.text)}</text>'


def _path(path: Path) -> str:
    css = "back" if path.css == "undo" else path.css
    line = f'<path class="mg-{css}" d="{_rounded(path.points)}"/>'
    if not path.arrow:
        return line
    (x0, y0), (x, y) = path.points[-2:]
    along, across = _unit(x - x0), _unit(y - y0)
    back_x, back_y = x - along * TIP, y - across * TIP
    half = TIP * 0.55
    corners = [(x, y), (back_x - across * half, back_y + along * half), (back_x + across * half, back_y - along * half)]
    points = " ".join(f"{_number(a)},{_number(b)}" for a, b in corners)
    return f'{line}<polygon class="mg-tip-{css}" points="{points}"/>'


def _unit(value: float) -> float:
    return (value > 0) - (value < 0)


def _rounded(points: tuple[Point, ...]) -> str:
    """The path with its corners rounded; all lines are horizontal or vertical."""
    pieces = [f"M{_number(points[0][0])} {_number(points[0][1])}"]
    for number in range(1, len(points) - 1):
        before, here, after = points[number - 1 : number + 2]
        start, end = _towards(here, before), _towards(here, after)
        pieces.append(f"L{_number(start[0])} {_number(start[1])}")
        pieces.append(f"Q{_number(here[0])} {_number(here[1])} {_number(end[0])} {_number(end[1])}")
    pieces.append(f"L{_number(points[-1][0])} {_number(points[-1][1])}")
    return "".join(pieces)


def _towards(here: Point, there: Point) -> Point:
    """The point where the rounding of a corner begins."""
    length = abs(there[0] - here[0]) + abs(there[1] - here[1])
    reach = min(CORNER, length / 2)
    return here[0] + _unit(there[0] - here[0]) * reach, here[1] + _unit(there[1] - here[1]) * reach


def _shape(shape: Shape) -> str:
    css = f"mg-{shape.role}" if shape.role not in ("dot", "bar", "start", "end", "chip") else "mg-mark"
    css += f" mg-mark-{shape.kind}" if shape.role == "chip" else f" mg-k-{shape.kind}" if shape.kind else ""
    css += f" mg-{shape.css}" if shape.css else ""
    parts = [f"<title>{_escaped(shape.tooltip)}</title>" if shape.tooltip else "", _outline(shape)]
    if shape.icon is not None:
        name, x, y = shape.icon
        parts.append(f'<path class="mg-icon" transform="translate({_number(x)} {_number(y)})" d="{ICONS[name]}"/>')
    parts += [_words(text) for text in shape.texts]
    name = f' data-step="{_escaped(shape.step)}"' if shape.step is not None else ""
    return f'<g class="{css}"{name}>{"".join(parts)}</g>'


def _outline(shape: Shape) -> str:
    x, y, width, height = shape.x, shape.y, shape.width, shape.height
    match shape.role:
        case "card" | "child":
            return _card(shape)
        case "decision":
            return _polygon(x, y, width, height, [(14, 0), (-14, 0), (0, 0.5), (-14, 1), (14, 1), (0, 0.5)])
        case "stop":
            return _polygon(
                x, y, width, height, [(10, 0), (-10, 0), (0, 10), (0, -10), (-10, 1), (10, 1), (0, -10), (0, 10)]
            )
        case "flag":
            return _flag(x, y, width, height)
        case "slip":
            corners = [(x + 11, y), (x + width, y), (x + width - 11, y + height), (x, y + height)]
            return _closed(corners)
        case "pill":
            return _rect("mg-box", x, y, width, height, height / 2)
        case "dot":
            return f'<circle class="mg-dot" cx="{_number(x + width / 2)}" cy="{_number(y + height / 2)}" r="3"/>'
        case "start" | "end":
            return _terminal(shape)
        case "tab":
            return ""
        case "frame":
            # The paper underneath keeps the tints of nested frames from adding up.
            return _rect("mg-paper", x, y, width, height, 12) + _rect("mg-tint", x, y, width, height, 12)
        case _:
            css = {"chip": "mg-chip", "label": "mg-tag", "bar": "mg-bar"}.get(shape.role, "mg-plate")
            radius = {"bar": 2.5, "undo": 12.0}.get(shape.role, height / 2)
            return _rect(css, x, y, width, height, radius)


def _rect(css: str, x: float, y: float, width: float, height: float, radius: float) -> str:
    size = f'width="{_number(width)}" height="{_number(height)}" rx="{_number(radius)}"'
    return f'<rect class="{css}" x="{_number(x)}" y="{_number(y)}" {size}/>'


def _closed(corners: list[Point]) -> str:
    points = " ".join(f"{_number(a)},{_number(b)}" for a, b in corners)
    return f'<polygon class="mg-box" points="{points}" stroke-linejoin="round"/>'


def _polygon(x: float, y: float, width: float, height: float, corners: list[tuple[float, float]]) -> str:
    """Corners as distances from the left or (negative) right side, and from the top; fractions are shares.

    The pair (0, share) alternates between the right and the left side, in drawing order.
    """
    placed: list[Point] = []
    half = len(corners) / 2
    for number, (across, down) in enumerate(corners):
        on_right = across < 0 or (across == 0 and number < half)
        px = x + width + across if on_right else x + across
        py = y + (down * height if 0 <= down <= 1 else down if down > 0 else height + down)
        placed.append((px, py))
    return _closed(placed)


def _card(shape: Shape) -> str:
    x, y, width, height = shape.x, shape.y, shape.width, shape.height
    box = _rect("mg-box", x, y, width, height, 8)
    if shape.role == "child":
        top, bottom = _number(y), _number(y + height)
        rails = "".join(f"M{_number(at)} {top}V{bottom}" for at in (x + 6, x + width - 6))
        return f'{box}<path class="mg-rail" d="{rails}"/>'
    accent = _rect("mg-accent", x + 4.5, y + 10, 3, height - 20, 1.5)
    if shape.css != "pivot":
        return box + accent
    cx, cy = x + width / 2, y + height
    gem = f"M{_number(cx)} {_number(cy - 7)}l7 7l-7 7l-7 -7z"
    return f'{box}{accent}<path class="mg-gem" d="{gem}"/>'


def _flag(x: float, y: float, width: float, height: float) -> str:
    notch = 11.0
    corners = [
        (x, y), (x + width, y), (x + width, y + height), (x, y + height), (x + notch, y + height / 2),
    ]  # fmt: skip
    return _closed(corners)


def _terminal(shape: Shape) -> str:
    cx, cy = _number(shape.x + shape.width / 2), _number(shape.y + shape.height / 2)
    if shape.role == "start":
        return f'<circle class="mg-start" cx="{cx}" cy="{cy}" r="9"/>'
    return f'<circle class="mg-end" cx="{cx}" cy="{cy}" r="9"/><circle class="mg-core" cx="{cx}" cy="{cy}" r="5"/>'
