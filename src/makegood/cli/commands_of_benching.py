"""The command that measures this machine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(bench)


def bench(
    repetitions: Annotated[int, typer.Option(min=1, help="How often each figure is taken, interleaved.")] = 3,
    workflows: Annotated[int, typer.Option(min=50, help="Workflows of five steps in each measurement.")] = 3000,
    loop_steps: Annotated[
        int, typer.Option(min=100, max=50_000, help="N: steps of one execution, which is measured at N and at 2N.")
    ] = 5_000,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="SECTION",
            help="steps, alone, http, loops, start-up; on PostgreSQL postgres, starts, due; may be repeated.",
        ),
    ] = None,
    postgres: Annotated[
        bool, typer.Option("--postgres", help="Measure PostgreSQL too, on a server of its own in a temporary folder.")
    ] = False,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Measure PostgreSQL too, in databases made and dropped on this server."),
    ] = None,
    due: Annotated[int, typer.Option(min=1, help="Executions that are due at once when a server starts.")] = 100_000,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure this machine: the engine, and the ceilings without one, in one run."""
    import json as as_text

    from makegood.cli.benching.databases import Databases, private_server
    from makegood.cli.benching.figures import as_json, as_lines, measure
    from makegood.errors import InputError
    from makegood.storage import is_postgres

    sections = _sections(only, on_postgres=postgres or database is not None)
    if database is not None and not is_postgres(database):
        raise InputError(f"--database {database!r}: bench measures SQLite by itself; name a postgresql:// server.")
    with nullcontext(database) if database is not None or not postgres else private_server() as server:
        figures = measure(
            repetitions, workflows, loop_steps, sections, lambda text: typer.echo(text, err=True),
            databases=None if server is None else Databases(server), due=due,
        )  # fmt: skip
    if json:
        typer.echo(as_text.dumps(as_json(figures), indent=2))
    else:
        for line in as_lines(figures):
            typer.echo(line)


def _sections(only: list[str] | None, *, on_postgres: bool) -> Sequence[str]:
    """What is measured: what is asked for, or all that can be."""
    from makegood.cli.benching.figures import ON_POSTGRES, SECTIONS
    from makegood.errors import InputError, nearest

    every = (*SECTIONS, *ON_POSTGRES)
    for each in only or ():
        if each not in every:
            raise InputError(f"--only {each!r}: there is no such section.{nearest(each, every)}")
        if each in ON_POSTGRES and not on_postgres:
            raise InputError(f"--only {each} is measured on PostgreSQL: add --postgres, or --database postgresql://...")
    return only or (every if on_postgres else SECTIONS)
