"""The commands that work on definition files: run, check, schema, graph."""

from __future__ import annotations

from typing import Annotated

import typer

from makegood.app.keys import SECTIONS, SERVICES, keys_of
from makegood.cli import options

File = Annotated[str, typer.Argument(metavar="FILE", help="Workflow definition, YAML or JSON.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=_configuration())(run)
    for command in (check, schema, graph):
        app.command()(command)


def _configuration() -> str:
    """Which keys can be configured, for `--help`."""
    told = (f"[{'services.NAME' if each == SERVICES else each}] {', '.join(keys_of(each))}" for each in SECTIONS)
    return f"Configuration keys: {'; '.join(told)}."


def run(
    file: File,
    input: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option("--input", metavar="JSON|@FILE|-", help="The input; null if left out.")
    ] = None,
    config: options.Config = None,
    service: options.Services = None,
    id: Annotated[  # noqa: A002 - the option's name
        str | None,
        typer.Option("--id", metavar="ID", help="The execution's id; running it again goes on with the same one."),
    ] = None,
    database: options.Database = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="How long to wait for the end, e.g. 30s.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the whole execution as JSON; no progress.")] = False,
) -> None:
    """Run a workflow to its end, with live progress; print its result.

    Exit codes: 0 completed, 1 failed, 2 bad usage, definition or input, 3 compensated, 4 compensation failed,
    5 suspended or still running at --timeout, 6 database unavailable or held by another engine,
    130 interrupted (run it again with the same --id to go on).
    """
    from makegood.cli.running import Wish, run

    wish = Wish(
        file=file,
        input=input,
        config=config,
        services=service or (),
        id=id,
        database=database,
        timeout=timeout,
        json=json,
    )
    raise typer.Exit(run(wish))


def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Workflow definitions.", show_default=False)],
    config: options.Config = None,
    service: options.Services = None,
    json: options.Json = False,
) -> None:
    """Say everything that is wrong or risky in definitions; exit code 2 if there are errors."""
    from makegood.cli.checking import check_files

    raise typer.Exit(check_files(files, config, service or [], json=json))


def schema() -> None:
    """Print the JSON Schema of definitions, for editors."""
    from makegood.cli.output import print_json
    from makegood.language import schema

    print_json(schema())


def graph(
    file: File,
    format: Annotated[  # noqa: A002 - the option's name
        str | None,
        typer.Option("--format", metavar="svg|mermaid|json", help="Otherwise what --output's suffix says; svg."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", metavar="FILE", help="Write there instead of stdout.")
    ] = None,
) -> None:
    """Draw a definition."""
    from makegood.cli.drawing import draw

    draw(file, format, output)
