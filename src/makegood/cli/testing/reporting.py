"""Results as lines, as JSON and as a JUnit report."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from makegood.simulation.telling import Difference
from makegood.simulation.world import START_MS

if TYPE_CHECKING:
    from makegood.cli.testing.running import Result

CRASHES_TOLD_MAX = 3
"""Crashes whose differences are told for one scenario; the others are most likely the same."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def told(result: Result, *, verbose: bool) -> Iterator[str]:
    """One scenario: a line, and below it what came otherwise."""
    scenario = result.scenario
    crashes = f", {result.crashes} crashes" if result.crashes else ""
    title = f"  {scenario.title}" if scenario.title else ""
    yield f"{'ok  ' if result.passed else 'FAIL'}  {scenario.id}{title}  ({result.duration_ms:.1f} ms{crashes})"
    if verbose:
        for at_ms, method, reply in result.calls:
            yield f"      {at_ms - START_MS:>8} ms  {method}: {reply}"
    if not result.passed:
        yield f"      {scenario.origin.source}:{scenario.origin.line}"
        for line in difference_lines(result):
            yield f"      {line}"


def difference_lines(result: Result) -> Iterator[str]:
    """Everything that came otherwise, in lines."""
    yield from _lines(result.differences)
    for number, found in islice(result.crashed.items(), CRASHES_TOLD_MAX):
        yield f"with a crash after record {number}:"
        yield from (f"  {line}" for line in _lines(found))
    if len(result.crashed) > CRASHES_TOLD_MAX:
        yield f"and with crashes after {len(result.crashed) - CRASHES_TOLD_MAX} other records"


def _lines(found: Sequence[Difference]) -> Iterator[str]:
    for each in found:
        yield f"{each.key}:" if each.details and each.key == "calls" else str(each)
        yield from (f"  {line}" for line in each.details)


def summary(results: Sequence[Result]) -> str:
    """The last line."""
    failed = sum(not each.passed for each in results)
    crashes = sum(each.crashes for each in results)
    parts = [f"{len(results) - failed} passed", f"{failed} failed"]
    if crashes:
        parts.append(f"{crashes} crashes")
    return f"{', '.join(parts)} in {sum(each.duration_ms for each in results) / 1000:.2f} s"


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """For programs."""
    return {
        "passed": sum(each.passed for each in results),
        "failed": sum(not each.passed for each in results),
        "scenarios": [_scenario_json(each) for each in results],
    }


def _scenario_json(result: Result) -> dict[str, Any]:
    scenario = result.scenario
    return {
        "id": scenario.id,
        "title": scenario.title,
        "file": scenario.origin.source,
        "line": scenario.origin.line,
        "passed": result.passed,
        "duration_ms": round(result.duration_ms, 3),
        "calls": [{"at_ms": at - START_MS, "method": method, "reply": reply} for at, method, reply in result.calls],
        "differences": [_difference_json(each) for each in result.differences],
        "crashes": result.crashes,
        "crashed": {
            str(number): [_difference_json(each) for each in found] for number, found in result.crashed.items()
        },
    }


def _difference_json(each: Difference) -> dict[str, Any]:
    return {"key": each.key, "message": each.message, "details": list(each.details)}


def as_junit(results: Sequence[Result]) -> str:
    """The report that CI systems read: one suite for each file."""
    files: dict[str, list[Result]] = {}
    for each in results:
        files.setdefault(each.scenario.origin.source, []).append(each)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for file, inside in files.items():
        failed = sum(not each.passed for each in inside)
        seconds = sum(each.duration_ms for each in inside) / 1000
        lines.append(
            f'  <testsuite name={_attribute(file)} tests="{len(inside)}" failures="{failed}" time="{seconds:.3f}">'
        )
        for each in inside:
            lines += _case(each, file)
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>", ""])


def _case(result: Result, file: str) -> list[str]:
    seconds = result.duration_ms / 1000
    head = f'    <testcase name={_attribute(result.scenario.id)} classname={_attribute(file)} time="{seconds:.3f}"'
    if result.passed:
        return [f"{head}/>"]
    text = list(difference_lines(result))
    return [
        f"{head}>",
        f"      <failure message={_attribute(text[0])}>{escape(_clean(chr(10).join(text)))}</failure>",
        "    </testcase>",
    ]


def _attribute(text: str) -> str:
    return quoteattr(_clean(text))


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
