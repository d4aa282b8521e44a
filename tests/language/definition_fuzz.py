"""Definitions that nobody means: mutated texts and trees. Nothing but DefinitionError may come of them.

Run more of them with `python -m tests.language.definition_fuzz 20000`.
"""

# ruff: noqa: E501 -- a case is one row of its table, however long

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from makegood.errors import DefinitionError
from makegood.language import load, load_canonical, load_tree
from makegood.language.changes import changes
from makegood.language.keys import KIND_KEYS, TOP
from makegood.model import Definition

SCENARIOS = Path(__file__).parents[1] / "scenarios"
SECONDS_MAX = 20.0
"""For one definition, on a machine that does other things too: what must not be is minutes."""

WORDS = [
    *TOP, *{key for keys in KIND_KEYS.values() for key in keys},
    "${steps.a}", "${", "}", "$${", "steps.a.b", "input.x", "1 +", "true", "null", "~", "&a", "*a", "!!str", "<<", "- ",
    ": ", "? ", "{", "}", "[", "]", "'", '"', "|", ">", "#", "%", "@", "\t", "\n", "\r\n", "\0", "\x85", "\u2028", "\ufeff",
    "\ud800", "é😀", "1e999", ".nan", "0x", "9" * 5000, "PT1H", "-3s", "a.b", "a..b", "x" * 300, "---", "...", ",", "\\u12",
    "ServiceCall", "Parallel", "Conditional", "FailFast", "definition",
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 1.5, 10**30, "", "a", "a.b", "x.y", "${input.x}", "${steps.a}", "${", "true", "1h", [], {}, [[]],
    [[], {}], {"id": "a"}, {"id": "b", "call": "x.y"}, {"call": "x.y", "input": "${steps.b}"}, {"when": "true", "steps": []},
    float("inf"), object(), (1, 2), {1: 2}, "\ud800", [{"ServiceCall": {}}], {"parallel": [{"id": "p", "set": 1}]},
    {"$ref": "#"}, {"type": "objec"}, {"pattern": "("}, {"$ref": "http://localhost/x"}, {"until": "${input.x}"},
]  # fmt: skip


def seeds() -> list[Any]:
    """The trees that mutation begins with."""
    trees = [
        scenario["definition"]
        for path in sorted(SCENARIOS.glob("*.yaml"))
        for scenario in yaml.safe_load(path.read_text())
    ]
    call = {
        "ServiceCall": {
            "id": "a",
            "service_name": "s",
            "method": "m",
            "compensation": {"service_name": "s", "method": "u"},
        }
    }
    choice = {"Conditional": {"id": "c", "condition": "true", "true_branch": {"Parallel": {"id": "p", "steps": []}}}}
    return [*trees, {"name": "old", "steps": [call, choice], "error_handling": "Retry"}]


def mutated_text(text: str, chance: random.Random) -> str | bytes:
    """A few cuts, copies and insertions."""
    for _ in range(chance.randint(1, 5)):
        at, end = sorted(chance.randint(0, len(text)) for _ in range(2))
        end = min(end, at + chance.choice((0, 1, 3, 30)))
        piece = chance.choice(
            ("", chance.choice(WORDS), text[at:end] * chance.randint(1, 3), chr(chance.randint(0, 0x2FF)))
        )
        text = text[:at] + piece + text[end:]
    if chance.random() < 0.2:
        raw = bytearray(text.encode(errors="surrogatepass"))
        for _ in range(chance.randint(0, 3)):
            raw[chance.randrange(len(raw)) :][:1] = bytes([chance.randint(0, 255)])
            raw.insert(chance.randint(0, len(raw)), chance.randint(0, 255))
        return bytes(raw)
    return text


def mutated_tree(tree: Any, chance: random.Random) -> Any:
    """A copy with a few values and keys replaced, removed or moved."""
    for _ in range(chance.randint(1, 4)):
        tree = _changed(tree, chance)
    return tree


def _changed(value: Any, chance: random.Random) -> Any:
    if not isinstance(value, dict | list) or not value or chance.random() < 0.15:
        return chance.choice(VALUES)
    if isinstance(value, list):
        copy = list(value)
        at = chance.randrange(len(copy))
        deed = chance.random()
        if deed < 0.1:
            del copy[at]
        elif deed < 0.2:
            copy.append(copy[at])
        else:
            copy[at] = _changed(copy[at], chance)
        return copy
    mapping = dict(value)
    key = chance.choice(list(mapping))
    deed = chance.random()
    if deed < 0.1:
        del mapping[key]
    elif deed < 0.25:
        mapping[chance.choice(WORDS)] = mapping[key]
    elif deed < 0.35:
        mapping[chance.choice(WORDS)] = chance.choice(VALUES)
    else:
        mapping[key] = _changed(mapping[key], chance)
    return mapping


def attempt(trees: list[Any], chance: random.Random) -> bool:
    """Load one mutated definition; whether it was one. Anything but a DefinitionError comes out of here."""
    tree = chance.choice(trees)
    deed: Callable[[], Any]
    kind = chance.randrange(3)
    if kind == 0:
        changed = mutated_tree(tree, chance)
        deed = lambda: load_tree(changed, services=["cards"], services_discoverable=chance.random() < 0.5)  # noqa: E731
    else:
        plain = yaml.safe_dump(tree) if kind == 1 else json.dumps(tree, indent=chance.choice((None, 2)))
        text = mutated_text(plain, chance)
        deed = lambda: load(text, format=chance.choice(("yaml", "json", None)), name="fuzz")  # noqa: E731
    try:
        definition = deed().definition
    except DefinitionError as error:
        problems = error.problems
    else:
        _loads_again(definition)
        _compared(load_tree(tree).definition, definition)
        return True
    assert problems
    assert all(problem.message and problem.code != "invalid" for problem in problems)
    return False


def _loads_again(definition: Definition) -> None:
    """What is stored of a definition gives it back, by every way."""
    assert load_canonical(definition.tree) == definition
    assert load_tree(definition.tree).definition == definition
    assert load(json.dumps(definition.tree), format="json").definition == definition


def _compared(one: Definition, other: Definition) -> None:
    """What says that there is no difference is right, in both directions."""
    assert changes(other, other) == []
    found, back = changes(one, other), changes(other, one)
    json.dumps([each.as_json() for each in found])
    if not found or not back:
        assert found == back
        assert replace(one, version=None) == replace(other, version=None)


def fuzz(count: int, seed: int = 1) -> int:
    """Load so many mutated definitions; how many of them were definitions all the same."""
    trees = seeds()
    loaded = 0
    for nth in range(count):
        chance = random.Random(f"{seed} {nth}")
        begun = time.perf_counter()
        try:
            loaded += attempt(trees, chance)
        except BaseException:
            print(f"with seed {seed}, number {nth}:", file=sys.stderr)
            raise
        took = time.perf_counter() - begun
        assert took < SECONDS_MAX, f"seed {seed}, number {nth} took {took:.1f} s"
    return loaded


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    start = time.perf_counter()
    good = fuzz(wanted, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(f"{wanted} definitions, {good} of them good, in {time.perf_counter() - start:.1f} s")
