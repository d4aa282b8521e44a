"""Which scenarios are meant: paths, folders and globs to files, files to scenarios, a filter of names."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from glob import glob
from pathlib import Path

from makegood.errors import ConfigurationError, InputError
from makegood.simulation.scenario import Scenario, read_scenario_file

SUFFIXES = (".yaml", ".yml", ".json")


def find(paths: Sequence[str], only: str | None) -> list[Scenario]:
    """The scenarios of some paths, in order, each file once.

    Raises:
        InputError: A file cannot be read or has mistakes (all of them are told), an id comes twice, or there is
            nothing to test.
    """
    chosen = _filter(only)
    found: dict[str, Scenario] = {}
    problems: list[str] = []
    for file in dict.fromkeys(file for path in paths for file in _files(path)):
        try:
            scenarios = read_scenario_file(file)
        except InputError as error:
            problems.append(str(error))
            continue
        for each in scenarios:
            if each.id in found:
                problems.append(f"{_place(each)}: the id {each.id!r} is taken by {_place(found[each.id])}. Change one.")
            found.setdefault(each.id, each)
    if problems:
        raise InputError("\n".join(problems))
    if not found:
        raise InputError(f"there are no scenarios in {', '.join(paths)}.")
    left = [each for each in found.values() if chosen(f"{each.id} {each.title}".lower())]
    if not left:
        raise InputError(f"-k {only!r} leaves none of the {len(found)} scenarios.")
    return left


def _place(scenario: Scenario) -> str:
    return f"{scenario.origin.source}:{scenario.origin.line}"


def _files(path: str) -> list[str]:
    if os.path.isdir(path):
        return _in_folder(path)
    if os.path.exists(path):
        return [os.path.normpath(path)]
    matches = sorted(glob(path, recursive=True))
    if not matches:
        raise InputError(f"{path}: there is no such file or folder. See that the path is right.")
    return [file for match in matches for file in (_in_folder(match) if os.path.isdir(match) else [match])]


def _in_folder(folder: str) -> list[str]:
    inside = [path for path in sorted(Path(folder).rglob("*")) if path.suffix in SUFFIXES and path.is_file()]
    is_one = "scenarios" in Path(folder).resolve().parts
    marked = [
        path for path in inside
        if is_one or "scenarios" in path.relative_to(folder).parts[:-1] or path.stem.endswith(".scenarios")
    ]  # fmt: skip
    return [str(path) for path in marked or (path for path in inside if path.parent == Path(folder))]


def _filter(expression: str | None) -> Callable[[str], bool]:
    """`a or not b and c`: words that a name holds; `and` binds tighter than `or`, `not` tighter than both."""
    if expression is None:
        return lambda _name: True
    terms = [
        [_word(factor.split(), expression) for factor in _split(term, "and")]
        for term in _split(expression.lower().split(), "or")
    ]
    return lambda name: any(all((word in name) != negated for negated, word in term) for term in terms)


def _split(words: Sequence[str] | str, at: str) -> list[str]:
    parts: list[list[str]] = [[]]
    for word in words.split() if isinstance(words, str) else words:
        if word == at:
            parts.append([])
        else:
            parts[-1].append(word)
    return [" ".join(part) for part in parts]


def _word(words: list[str], expression: str) -> tuple[bool, str]:
    negated = words[:1] == ["not"]
    rest = words[1:] if negated else words
    if not rest or "not" in rest:
        raise ConfigurationError(f"-k {expression!r}: write words with `and`, `or` and `not` between them.")
    return negated, " ".join(rest)
