"""`makegood workflows diff`: what differs between two definitions, and where the live executions of each stand."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.text import Text

from makegood.app.reading import reading
from makegood.cli.loop import run_async
from makegood.cli.output import json_text, print_json
from makegood.cli.places import Place
from makegood.cli.words import short
from makegood.engine.census import LIVE, Census
from makegood.errors import InputError
from makegood.language import load
from makegood.language.changes import ABSENT, Change, changes
from makegood.language.files import name_from, read_definition
from makegood.model import Definition

LOOK_INTO_MAX = 100_000
VALUE_MAX = 120
_STORED = re.compile(r"([a-z][a-z0-9_-]{0,62})(?:@(.*))?")
_MARKS = {"added": ("+", "green"), "removed": ("-", "red"), "moved": (">", "cyan"), "changed": ("~", "yellow")}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    """One of the two definitions.

    Attributes:
        version: None of a file.
        census: Its live executions; None of a file.
    """

    source: str
    definition: Definition
    version: int | None = None
    census: Census | None = None


def diff_workflows(place: Place, before: str, after: str, look_into: int, *, json: bool) -> None:
    """Print the differences, and the live executions of the versions that are stored.

    Args:
        before: `name@version`, `name` for its newest version, or a file: anything that cannot be a name.
        after: The same.
        look_into: Executions whose step is looked up at most.

    Raises:
        NotFound: There is no such workflow or version.
        DefinitionError, InputError: A file cannot be read, or what is asked for is none.
    """
    if not 0 <= look_into <= LOOK_INTO_MAX:
        raise InputError(f"--look-into {look_into}: between 0 and {LOOK_INTO_MAX} executions are looked into.")
    asked = [_asked(before), _asked(after)]
    sides = run_async(_sides(place, [before, after], asked, look_into))
    found = changes(sides[0].definition, sides[1].definition)
    if json:
        print_json(_as_json(sides, found))
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in _lines(sides, found):
        console.print(line)


def _asked(argument: str) -> tuple[str, int | None] | None:
    """Name and version of a stored definition; None for a file."""
    named = _STORED.fullmatch(argument)
    if named is None:
        return None
    name, version = named.groups()
    if version is None:
        return name, None
    if not (version.isascii() and version.isdigit() and 0 < int(version[:10]) < 2**31 and len(version) <= 10):
        raise InputError(f"{argument!r}: a version is a positive number. Write {name}@1, for example.")
    return name, int(version)


async def _sides(
    place: Place, sources: list[str], asked: list[tuple[str, int | None] | None], look_into: int
) -> list[_Side]:
    files = {
        source: load(read_definition(source), source=source, name=name_from(source)).definition
        for source, stored in zip(sources, asked, strict=True)
        if stored is None
    }
    if all(each is None for each in asked):
        return [_Side(source=source, definition=files[source]) for source in sources]
    async with reading(place.path) as store:
        programs = [None if each is None else await store.loaded(*each) for each in asked]
        wanted: dict[str, set[int]] = {}
        for each in programs:
            if each is not None:
                wanted.setdefault(each.definition.name, set()).add(each.version)
        counted = {name: await store.census(name, versions, look_into=look_into) for name, versions in wanted.items()}
    return [
        _Side(source=source, definition=files[source])
        if program is None
        else _Side(
            source=f"{program.definition.name}@{program.version}",
            definition=program.definition,
            version=program.version,
            census=counted[program.definition.name][program.version],
        )
        for source, program in zip(sources, programs, strict=True)
    ]


# --- as JSON ---


def _as_json(sides: list[_Side], found: list[Change]) -> dict[str, Any]:
    before, after = ({"source": e.source, "workflow": e.definition.name, "version": e.version} for e in sides)
    return {
        "before": before,
        "after": after,
        "changes": [each.as_json() for each in found],
        "executions": [_counted(side, side.census) for side in _stored(sides)],
    }


def _stored(sides: list[_Side]) -> list[_Side]:
    """The sides that are stored, each version once."""
    return list({each.source: each for each in sides if each.census is not None}.values())


def _counted(side: _Side, census: Census | None) -> dict[str, Any]:
    assert census is not None
    standing = sorted(census.standing.items(), key=lambda each: (-each[1], each[0]))
    return {
        "workflow": side.definition.name,
        "version": side.version,
        "live": {status: census.live[status] for status in LIVE},
        "standing": [
            {"step": step, "doing": doing, "status": status, "executions": count}
            for (step, doing, status), count in standing
        ],
        "looked_into": census.looked_into,
        "complete": census.whole,
    }


# --- as text ---


def _lines(sides: list[_Side], found: list[Change]) -> Iterator[Text]:
    yield Text(f"{sides[0].source} -> {sides[1].source}", style="bold")
    if not found:
        yield Text("no difference")
    for _, group in groupby(found, key=lambda each: (each.step, each.change in _WHOLE)):
        yield Text("")
        yield from _of_step(list(group))
    for number, side in enumerate(_stored(sides)):
        if number == 0:
            yield Text("")
            yield Text("live executions", style="bold")
        assert side.census is not None
        yield from _executions(side.source, side.census)


_WHOLE = frozenset({"added", "removed"})


def _of_step(found: list[Change]) -> Iterator[Text]:
    """The changes of one step, or of the definition itself."""
    first = found[0]
    title = "the definition itself" if first.step is None else f"{first.step} ({first.kind})"
    if first.change in _WHOLE:
        line = _marked(first.change, title, bold=True)
        yield line.append(f"  {first.change}  {_value(first.after if first.change == 'added' else first.before)}")
        return
    yield Text(title, style="bold")
    for each in found:
        if each.change == "moved":
            yield _marked("moved", f"  moved  {_place(each.before)} -> {_place(each.after)}")
        else:
            yield _marked("changed", f"  {each.key}  {_value(each.before)} -> {_value(each.after)}")


def _marked(change: str, text: str, *, bold: bool = False) -> Text:
    mark, style = _MARKS[change]
    line = Text(f"{mark} ", style=style)
    return line.append(text, style="bold" if bold else "default")


def _place(place: dict[str, Any]) -> str:
    owner = "" if place["in"] is None else f"in {place['in']} ({place['part']}), "
    return owner + ("first" if place["after"] is None else f"after {place['after']}")


def _value(value: Any) -> str:
    return "(none)" if value is ABSENT else short(json_text(value, indent=None), VALUE_MAX)


_VERBS = {"calling": "at", "waiting": "waiting at", "child": "in the workflow called by", "undoing": "undoing"}


def _executions(source: str, census: Census) -> Iterator[Text]:
    told = ", ".join(f"{census.live[status]:,} {status}" for status in LIVE if census.live[status])
    yield Text(f"  {source}  {told or 'none'}{'' if census.complete else ', and more that were not counted'}")
    places: Counter[tuple[str, str]] = Counter()
    for (step, doing, status), count in census.standing.items():
        verb = _VERBS.get(doing, "held at")
        places[f"suspended {verb}" if status == "suspended" and doing != "held" else verb, step] += count
    for (verb, step), count in sorted(places.items(), key=lambda each: (-each[1], each[0])):
        yield Text(f"    {count:,} {verb} {step}")
    if not census.whole:
        yield Text(
            f"    (steps of {census.looked_into:,} executions, the newest of each state; --look-into N for more)"
        )
