"""`makegood check`: everything that registration would say about definitions, without a database."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from makegood.app.config import load_config
from makegood.app.files import name_from, read_definition
from makegood.app.wiring import registry_of
from makegood.cli import exits
from makegood.cli.given import read_services
from makegood.cli.output import print_json
from makegood.errors import DefinitionError, InputError, Problem
from makegood.language import load


def check_files(files: list[str], config: str | None, services: list[str], *, json: bool) -> int:
    """Print the problems of each file, in order; the exit code.

    Services are checked where some are known: by `--service`, `--config`, or the configuration that is there.
    """
    registry = registry_of(load_config(config), read_services(services))
    known = frozenset(registry.names()) or None
    found = [(file, problem) for file in files for problem in _problems(file, known)]
    if json:
        print_json([_as_json(file, problem) for file, problem in found])
    else:
        for file, problem in found:
            print(problem.located(file))
    return exits.USAGE if any(problem.severity == "error" for _, problem in found) else exits.COMPLETED


def _problems(file: str, services: frozenset[str] | None) -> tuple[Problem, ...]:
    try:
        return load(read_definition(file), source=file, name=name_from(file), services=services).warnings
    except DefinitionError as error:
        return error.problems
    except InputError as error:
        return (Problem(str(error).removeprefix(f"{file}: "), line=1, column=1, code="unreadable"),)


def _as_json(file: str, problem: Problem) -> dict[str, Any]:
    return {"file": file, **asdict(problem)}
