"""The orders of calls that a nested list allows: in order, any order, in order, ... level by level.

What is left of an expectation after some calls is again an expectation, so that a sequence is judged
name by name: `after` gives everything that may be left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Group:
    """A list: `ordered`, or in any order; merged when what is inside has an order of its own."""

    ordered: bool
    parts: tuple[Part, ...]


Part = str | Group
_DONE = Group(ordered=True, parts=())


def group(raw: Any, *, ordered: bool = True) -> Part:
    """The list of an expectation."""
    if isinstance(raw, str):
        return raw
    inner = (group(each, ordered=not ordered) for each in raw)
    return _group(ordered, [each for each in inner if each != _DONE])


def _group(ordered: bool, parts: Sequence[Part]) -> Part:
    if not parts:
        return _DONE
    if len(parts) == 1:
        return parts[0]
    return Group(ordered, tuple(parts) if ordered else tuple(sorted(parts, key=repr)))


def after(part: Part, name: str) -> set[Part]:
    """What may be left once a call of that name has come; empty when it may not come now."""
    if isinstance(part, str):
        return {_DONE} if part == name else set()
    found: set[Part] = set()
    for place, each in enumerate(part.parts[:1] if part.ordered else part.parts):
        for left in after(each, name):
            middle = [] if left == _DONE else [left]
            found.add(_group(part.ordered, [*part.parts[:place], *middle, *part.parts[place + 1 :]]))
    return found


def allows(expected: Sequence[Any], seen: Sequence[str]) -> bool:
    """Whether a sequence is one of the orders that a nested list allows."""
    left = {group(expected)}
    for name in seen:
        left = {rest for each in left for rest in after(each, name)}
        if not left:
            return False
    return _DONE in left


Mark = Literal["same", "missing", "surplus"]


def aligned(expected: Sequence[Any], seen: Sequence[str]) -> list[tuple[Mark, str]]:
    """What was expected beside what came: the allowed order that is nearest to it, call by call."""
    likely = _likely_order(expected, seen)
    found: list[tuple[Mark, str]] = []
    for _, start, end, other_start, other_end in SequenceMatcher(None, likely, seen, autojunk=False).get_opcodes():
        if likely[start:end] == list(seen[other_start:other_end]):
            found += [("same", name) for name in likely[start:end]]
            continue
        found += [("missing", name) for name in likely[start:end]]
        found += [("surplus", name) for name in seen[other_start:other_end]]
    return found


def _likely_order(expected: Sequence[Any], seen: Sequence[str]) -> list[str]:
    """One order that is allowed, and follows what came as long as it can."""
    lefts, order, waiting = {group(expected)}, list[str](), list[str]()
    for name in seen:
        rests = {rest for each in lefts for rest in after(each, name)}
        lefts = rests or lefts
        (order if rests else waiting).append(name)
    left = min(lefts, key=repr)
    while left != _DONE:
        firsts = _firsts(left)
        name = next((each for each in waiting if each in firsts), firsts[0])
        if name in waiting:
            waiting.remove(name)
        order.append(name)
        left = min(after(left, name), key=repr)
    return order


def _firsts(part: Part) -> list[str]:
    if isinstance(part, str):
        return [part]
    return [name for each in (part.parts[:1] if part.ordered else part.parts) for name in _firsts(each)]
