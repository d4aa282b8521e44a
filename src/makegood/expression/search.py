"""Finding text in text in linear time, whatever the texts are.

Python's own search falls back to a quadratic method below certain sizes, and always when it
searches backwards. Here a haystack that could hurt is padded beyond those sizes, and backwards
is forwards over reversed text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from makegood.expression.budget import Scope

# CPython, Objects/stringlib/fastsearch.h: from 30,000 characters on every search is linear.
_LINEAR_FROM: Final = 30_000
_COMPARISONS_MAX: Final = 1 << 16
_SHORT_NEEDLE_MAX: Final = 5


class Haystack:
    """A text in which one needle is sought, perhaps many times.

    Args:
        scope: Pays for the search: a step for each 128 characters.
        text: Where to look.
        needle: What to look for; not empty.
    """

    __slots__ = ("_last", "_needle", "_text")

    def __init__(self, scope: Scope, text: str, needle: str) -> None:
        self._text = text
        self._needle = needle
        self._last = len(text) - len(needle)
        comparisons = len(text) * len(needle)
        if len(needle) <= _SHORT_NEEDLE_MAX or comparisons <= _COMPARISONS_MAX:
            scope.spend(1 + (len(text) >> 7) + (min(comparisons, _COMPARISONS_MAX) >> 10))
        else:
            scope.spend(1 + (_LINEAR_FROM + len(text) + len(needle) >> 7))
            self._text = text + "\0" * _LINEAR_FROM

    def find(self, start: int = 0) -> int:
        """The first position from `start` on, or -1."""
        at = self._text.find(self._needle, start)
        # What is found across the padding is no match, and nothing after it can be one.
        return at if at <= self._last else -1

    def positions(self, most: int) -> Iterator[int]:
        """Positions that do not overlap, at most so many; negative is all."""
        at = self.find()
        while at >= 0 and most != 0:
            yield at
            most -= 1
            at = self.find(at + len(self._needle))
