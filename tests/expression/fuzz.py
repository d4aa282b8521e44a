"""Random expressions, whole and mangled: nothing but our own errors, and nothing that takes long.

`python -m tests.expression.fuzz 200000 [seed]` prints a summary.
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import dataclass, field

from makegood.errors import MakegoodError
from makegood.expression import compile_expression, compile_mapping, compile_template, to_json
from makegood.expression.functions import FUNCTIONS

CPU_S_MAX = 0.1

_LITERALS = (
    "0", "1", "2", "-1", "7", "0x1F", "9223372036854775807", "-9223372036854775808", "0.0", "1.5", "-2.5e3", "1e308",
    "true", "false", "null", "''", "'a'", "'abc'", '"äö😀"', "r'\\d+'", "b'\\xff'", "b'abc'", "'''x\ny'''", "'1h'",
    "'2024-02-29T23:59:59.5Z'", "'%s %d %.3f'", "'(a|b)*c'", "'Europe/Paris'", "'+02:00'", "[]", "{}", "int", "string",
)  # fmt: skip
_PATHS = (
    "text", "number", "ratio", "flag", "nothing", "items", "words", "rows", "record", "record.a", "record['b']", "huge",
    "rows[0].id", "record.?c", "record[?'a']", "items[1]", "deep", "long", "started", "record.a.b", "missing", "twins",
)  # fmt: skip
_BINARY = ("+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||")
_MACROS = ("all", "exists", "exists_one", "filter", "map")
_NOISE = "()[]{}.,:?!+-*/%<>=&|'\"`\\ \n\t$abrux019_é😀\x00"


def _bindings() -> dict[str, object]:
    deep: object = 1
    for _ in range(190):
        deep = [deep]
    twins: object = "x" * 50
    for _ in range(40):
        twins = [twins, twins]
    return {
        "text": "hello world",
        "number": 42,
        "ratio": 2.5,
        "flag": True,
        "nothing": None,
        "items": list(range(3000)),
        "words": [f"word{position}" for position in range(2000)],
        "rows": [{"id": position, "name": f"n{position}"} for position in range(1000)],
        "record": {"a": {"b": 1}, "b": [1, 2.5, "x", None], "1": 1},
        "huge": 10**300,
        "deep": deep,
        "long": "ab" * 300_000,
        "started": "2024-05-01T00:00:00Z",
        "twins": twins,
    }


class Generator:
    """Expressions by the grammar, from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self._functions = sorted(FUNCTIONS)
        self._variables: list[str] = []

    def expression(self, depth: int) -> str:
        """One expression that nests about so deep."""
        pick = self.random.random()
        if depth <= 0 or pick < 0.12:
            return self._leaf()
        if pick < 0.40:
            return f"{self.expression(depth - 1)} {self.random.choice(_BINARY)} {self.expression(depth - 1)}"
        if pick < 0.55:
            return self._call(depth)
        if pick < 0.70:
            return self._macro(depth)
        return self._other(depth)

    def mangled(self, source: str) -> str:
        """The source with a few characters lost, doubled, swapped or added."""
        characters = list(source)
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(characters) + 1)
            change = self.random.randrange(4)
            if change == 0 or not characters:
                characters.insert(at, self.random.choice(_NOISE))
            elif change == 1:
                del characters[at : at + self.random.randint(1, 3)]
            elif change == 2:
                characters[at:at] = characters[at : at + self.random.randint(1, 20)]
            else:
                other = self.random.randrange(len(characters))
                at = min(at, len(characters) - 1)
                characters[at], characters[other] = characters[other], characters[at]
        return "".join(characters)

    def _leaf(self) -> str:
        if self._variables and self.random.random() < 0.4:
            return self.random.choice(self._variables)
        return self.random.choice(_LITERALS if self.random.random() < 0.5 else _PATHS)

    def _call(self, depth: int) -> str:
        name = self.random.choice(self._functions)
        function = FUNCTIONS[name]
        if function.method and (not function.free or self.random.random() < 0.5):
            arguments = self._arguments(self.random.choice(function.method), depth)
            return f"({self.expression(depth - 1)}).{name}({arguments})"
        return f"{name}({self._arguments(self.random.choice(function.free), depth)})"

    def _arguments(self, count: int, depth: int) -> str:
        return ", ".join(self.expression(depth - 2) for _ in range(count))

    def _macro(self, depth: int) -> str:
        source = self.random.choice(("items", "words", "rows", "[1, 2, 3]", self.expression(depth - 1)))
        variable = self.random.choice("xyz")
        self._variables.append(variable)
        body = self.expression(depth - 1)
        self._variables.pop()
        return f"{source}.{self.random.choice(_MACROS)}({variable}, {body})"

    def _other(self, depth: int) -> str:
        one, other = self.expression(depth - 1), self.expression(depth - 2)
        form = self.random.randrange(11)
        return (
            f"({one})",
            f"!({one})",
            f"-({one})",
            f"({one}) ? {other} : {self.expression(depth - 2)}",
            f"[{one}, {other}, ?optional.of({other})]",
            f"{{'k': {one}, {other}: 1}}",
            f"({one})[{other}]",
            f"({one}).?a.orValue({other})",
            "has(record.a.b)",
            f"({one}).map(x, [x, x]).map(x, [x, x]).map(x, x == {other})",
            f"'%s %d %e'.format([{one}, {other}, 1.5])",
        )[form]


@dataclass
class Summary:
    """What came of a run."""

    runs: int = 0
    values: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    slowest_s: float = 0.0


def run(count: int, seed: int) -> Summary:
    """Compile and evaluate so many random expressions."""
    generator = Generator(seed)
    bindings = _bindings()
    summary = Summary()
    for number in range(count):
        source = generator.expression(generator.random.randint(1, 6))
        if number % 3 == 0:
            source = generator.mangled(source)
        _one(summary, source, bindings, number)
    return summary


def _one(summary: Summary, source: str, bindings: dict[str, object], number: int) -> None:
    summary.runs += 1
    started = time.process_time()
    try:
        compiled = _compiled(source, bindings, number)
        started = time.process_time()
        value = compiled.evaluate(bindings)
        taken = time.process_time() - started
        summary.values += 1
        if number % 7 == 0:
            to_json(value, size_max=100_000)
    except MakegoodError as error:
        taken = time.process_time() - started
        name = type(error).__name__
        summary.errors[name] = summary.errors.get(name, 0) + 1
        str(error)
    except Exception as error:
        taken = 0.0
        summary.crashes.append(f"{type(error).__name__}: {error}: {source!r}"[:2000])
    summary.slowest_s = max(summary.slowest_s, taken)
    if taken > CPU_S_MAX:
        summary.slow.append(f"{taken:.3f} s: {source!r}"[:2000])


def _compiled(source: str, bindings: dict[str, object], number: int) -> object:
    names = bindings.keys() if number % 2 else None
    if number % 11 == 0:
        return compile_mapping({"a": [f"${{{source}}}", "$${x"], "b": f"<${{{source}}}>"}, names=names)
    if number % 13 == 0:
        return compile_template(f"a ${{{source}}} b", names=names)
    return compile_expression(source, names=names)


def main() -> None:
    """Run, and print what came of it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    summary = run(count, seed)
    print(f"seed {seed}: {summary.runs} runs, {summary.values} values, errors {summary.errors}")
    print(f"slowest {summary.slowest_s * 1000:.1f} ms CPU; over {CPU_S_MAX * 1000:.0f} ms: {len(summary.slow)}")
    print(f"crashes: {len(summary.crashes)}")
    for line in (*summary.crashes[:20], *summary.slow[:20]):
        print(line)
    sys.exit(1 if summary.crashes or summary.slow else 0)


if __name__ == "__main__":
    main()
