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
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure this machine: the engine, and the ceilings without one, in one run."""
    import json as as_text

    from makegood.cli.benching.figures import as_json, as_lines, measure

    figures = measure(repetitions, workflows, lambda text: typer.echo(text, err=True))
    if json:
        typer.echo(as_text.dumps(as_json(figures), indent=2))
    else:
        for line in as_lines(figures):
            typer.echo(line)
