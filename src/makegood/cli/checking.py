"""`makegood check`: everything that registration would say about definitions, without a database."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from makegood.app.config import load_config
from makegood.app.contracts import Contracts, contracts_of, load_held
from makegood.app.wiring import registry_of
from makegood.cli import exits
from makegood.cli.given import read_services
from makegood.cli.loop import run_async
from makegood.cli.output import print_json
from makegood.errors import DefinitionError, InputError, Problem
from makegood.language import Callee, Loaded, callees, pivots
from makegood.language.files import name_from, read_definition
from makegood.model import Definition


def check_files(files: list[str], config: str | None, services: list[str], *, json: bool) -> int:
    """Print the problems of each file, in order; the exit code.

    Of definitions that are given together it is known which call which: one with a pivot cannot be a child.
    Services are checked where some are known: by `--service`, `--config`, or the configuration that is there.
    """
    settings = load_config(config)
    registry = registry_of(settings, read_services(services))
    contracts = contracts_of(settings, registry)
    known = frozenset(registry.names()) or None
    read = {file: _read(file, known, {}, contracts) for file in files}
    told = {file: each if isinstance(each, tuple) else each.warnings for file, each in read.items()}
    sound = {file: each.definition for file, each in read.items() if isinstance(each, Loaded)}
    children = _pivots(sound.values())
    for file, definition in sound.items():
        if not children.keys().isdisjoint(callees(definition)):
            again = _read(file, known, children, contracts)
            told[file] = again if isinstance(again, tuple) else again.warnings
    found = [(file, problem) for file in files for problem in told[file]]
    if json:
        print_json([_as_json(file, problem) for file, problem in found])
    else:
        for file, problem in found:
            print(problem.located(file))
    return exits.USAGE if any(problem.severity == "error" for _, problem in found) else exits.COMPLETED


def _pivots(definitions: Collection[Definition]) -> dict[Callee, tuple[str, ...]]:
    """The pivots of those definitions that have some, by how a step may call them."""
    found: dict[Callee, tuple[str, ...]] = {}
    for each in definitions:
        own = pivots(each)
        if own:
            found[each.name, None] = own
            if each.version is not None:
                found[each.name, each.version] = own
    return found


def _read(
    file: str, services: frozenset[str] | None, children: dict[Callee, tuple[str, ...]], contracts: Contracts
) -> Loaded | tuple[Problem, ...]:
    """A definition without mistakes, or its problems."""
    try:
        raw = read_definition(file)
        known = {"source": file, "name": name_from(file), "services": services, "children": children}
        return run_async(load_held(raw, contracts, **known))
    except DefinitionError as error:
        return error.problems
    except InputError as error:
        return (Problem(str(error).removeprefix(f"{file}: "), line=1, column=1, code="unreadable"),)


def _as_json(file: str, problem: Problem) -> dict[str, Any]:
    return {"file": file, **asdict(problem)}
