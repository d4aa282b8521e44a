"""How wide text is, without a font at hand: a table on the wide side of the usual system fonts."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

ELLIPSIS = "…"

_NARROW = dict.fromkeys("ijlI|!'.,:;`", 0.34)
_SLIM = dict.fromkeys('frt()[]{}"-/\\ ·', 0.44)
_WIDE = dict.fromkeys("mwMW@%—×…", 1.0)
_CAPITALS = dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZ&+=<>~#_", 0.76)
_EM = {**_NARROW, **_SLIM, **_CAPITALS, **_WIDE}
_OTHER_EM = 0.62
_MONO_EM = 0.615
_FULL_EM = 1.1

_NO_TEXT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069\u200e\u200f]"
)


@dataclass(frozen=True, slots=True)
class Face:
    """One way of setting text.

    Attributes:
        name: Its CSS class without the prefix.
        size: Height of an em in pixels.
        mono: Whether all letters are equally wide.
        weight: Factor on the width; bold letters are wider.
    """

    name: str
    size: float
    mono: bool = False
    weight: float = 1.0


TITLE = Face("title", 13, weight=1.07)
CODE = Face("code", 11.5, mono=True)
SMALL = Face("small", 10.5)
CAPTION = Face("caption", 11.5, weight=1.07)
HEADING = Face("heading", 20, weight=1.1)
NOTE = Face("note", 12)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text, cut to fit, in one face."""

    text: str
    face: Face
    width: float


def clean(text: str) -> str:
    """Text that XML can carry and that no hidden character reorders."""
    return _NO_TEXT.sub("\ufffd", text)


def fit(text: str, face: Face, width_max: float) -> Line:
    """The text on one line, cut with an ellipsis where it would be wider."""
    shown = " ".join(clean(text).split())
    width, keep = 0.0, 0
    room = width_max - _advance(ELLIPSIS, face)
    for number, each in enumerate(shown):
        width += _advance(each, face)
        if width <= room:
            keep = number + 1
        if width > width_max:
            shown = shown[:keep].rstrip() + ELLIPSIS
            return Line(shown, face, sum(_advance(letter, face) for letter in shown))
    return Line(shown, face, width)


def wrap(text: str, face: Face, width_max: float, lines_max: int) -> list[Line]:
    """The text on up to so many lines, broken between words; the last one is cut when there is more."""
    rest = clean(text).split()
    lines: list[Line] = []
    while rest and len(lines) < lines_max - 1:
        count, width = 0, 0.0
        for word in rest:
            width += sum(_advance(each, face) for each in word) + (_advance(" ", face) if count else 0.0)
            if width > width_max and count:
                break
            count += 1
        lines.append(fit(" ".join(rest[:count]), face, width_max))
        rest = rest[count:]
    return [*lines, fit(" ".join(rest), face, width_max)] if rest else lines


@lru_cache(maxsize=4096)
def _advance(each: str, face: Face) -> float:
    if unicodedata.combining(each):
        return 0.0
    if unicodedata.east_asian_width(each) in "WF" or ord(each) > 0xFFFF:
        return _FULL_EM * face.size
    if face.mono:
        return _MONO_EM * face.size
    return _EM.get(each, _OTHER_EM if ord(each) < 0x250 else 0.8) * face.size * face.weight
