"""What differs between two definitions, step by step. Pure: knows no versions, no store, no executions.

A step is known by its id, so one that was renamed is one that went and one that came. Short and long forms
of the same are no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from makegood.language.keys import KIND_KEYS
from makegood.language.pairing import Layout, Place, moved, pair
from makegood.language.telling import kind_of, tell_definition, tell_step
from makegood.model import Definition, Step


class Absent(Enum):
    """What stands for a value that is not there; null is one that is."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference.

    Attributes:
        change: `added`, `removed` and `moved` are of steps; `changed` is of a key of a step, or of the
            definition itself.
        step: Id of the step, or the path of a wrapper that has none; None means the definition itself.
        kind: Its kind, as it is now, or as it was if it was removed; None for the definition itself.
        key: Of `changed`: the way to what differs, such as `retry.max_attempts` or `input.nights`.
        before: The value of the key; the step that was removed, as `{key: value}`; or where it stood,
            `{in, part, after}`. `ABSENT` when there was none.
        after: The same as it is now.
    """

    change: Literal["added", "removed", "moved", "changed"]
    step: str | None = None
    kind: str | None = None
    key: str | None = None
    before: Any = ABSENT
    after: Any = ABSENT

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON; `before` and `after` are left out where there is none."""
        told = {"change": self.change, "step": self.step, "kind": self.kind, "key": self.key}
        if self.before is not ABSENT:
            told["before"] = self.before
        if self.after is not ABSENT:
            told["after"] = self.after
        return told


def changes(old: Definition, new: Definition) -> list[Change]:
    """Every difference: those of the definition itself first, then those of the steps in the order of the text."""
    found = [_changed(None, None, *each) for each in _differences(tell_definition(old), tell_definition(new))]
    one, other = Layout(old), Layout(new)
    pairs = pair(one, other)
    olds = {now: name for name, now in pairs.items()}
    elsewhere = moved(one, other, pairs)
    gone = _removed(one, pairs)
    found.extend(gone.get(None, ()))
    for name, step in other.steps.items():
        if name not in olds:
            found.append(Change(change="added", step=name, kind=kind_of(step), after=_as_written(step)))
        else:
            if name in elsewhere:
                before, after = _whereabouts(one.places[olds[name]]), _whereabouts(other.places[name])
                found.append(Change(change="moved", step=name, kind=kind_of(step), before=before, after=after))
            told = _differences(tell_step(one.steps[olds[name]]), tell_step(step))
            found.extend(_changed(name, kind_of(step), *each) for each in told)
        found.extend(gone.get(name, ()))
    return found


def _removed(old: Layout, pairs: dict[str, str]) -> dict[str | None, list[Change]]:
    """The steps that went, each under the step of the new definition after which it stood."""
    gone: dict[str | None, list[Change]] = {}
    last: str | None = None
    for name, step in old.steps.items():
        if name in pairs:
            last = pairs[name]
        else:
            change = Change(change="removed", step=name, kind=kind_of(step), before=_as_written(step))
            gone.setdefault(last, []).append(change)
    return gone


def _as_written(step: Step) -> dict[str, Any]:
    """A step that has no counterpart, without what only says that nothing special is meant."""
    told = tell_step(step)
    known = KIND_KEYS[told.pop("kind")]
    return {key: value for key, value in told.items() if known[key].form != "flag" or value is not known[key].default}


def _whereabouts(place: Place) -> dict[str, Any]:
    return {"in": place.owner, "part": place.part, "after": place.previous}


def _changed(step: str | None, kind: str | None, key: str, before: Any, after: Any) -> Change:
    return Change(change="changed", step=step, kind=kind, key=key, before=before, after=after)


def _differences(one: Any, other: Any, way: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Way, value before and value after of what differs, as deep as both sides have the same form."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            deeper = _deeper(way, key)
            yield from _differences(one.get(key, ABSENT), other.get(key, ABSENT), deeper)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for nth, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differences(left, right, f"{way}[{nth}]")
    elif type(one) is not type(other) or one != other:
        yield way, one, other


def _deeper(way: str, key: str) -> str:
    if not (key.isidentifier() and key.isascii()):
        return f"{way}[{key!r}]"
    return f"{way}.{key}" if way else key
