"""The command that measures this machine."""

from __future__ import annotations

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
        typer.Option("--only", metavar="SECTION", help="steps, alone, http, loops or start-up; may be repeated."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure this machine: the engine, and the ceilings without one, in one run."""
    import json as as_text

    from makegood.cli.benching.figures import SECTIONS, as_json, as_lines, measure
    from makegood.errors import InputError, nearest

    for each in only or ():
        if each not in SECTIONS:
            raise InputError(f"--only {each!r}: there is no such section.{nearest(each, SECTIONS)}")
    figures = measure(repetitions, workflows, loop_steps, only or SECTIONS, lambda text: typer.echo(text, err=True))
    if json:
        typer.echo(as_text.dumps(as_json(figures), indent=2))
    else:
        for line in as_lines(figures):
            typer.echo(line)
